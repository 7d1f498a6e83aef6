// Ranges of shards and the tree over them.
#include "ingot/dist/dealing.h"

#include <algorithm>
#include <map>

namespace ingot::dist {

std::vector<ShardRange> DealShards(int shards, int workers) {
  const int64_t used = std::min(shards, workers);
  std::vector<ShardRange> ranges;
  for (int64_t w = 0; w < workers; ++w) {
    const int64_t at = std::min(w, used);
    const int64_t next = std::min(w + 1, used);
    ranges.push_back(
        {static_cast<int>(at * shards / used), static_cast<int>(next * shards / used)});
  }
  return ranges;
}

std::vector<ShardRange> SubtreesOf(ShardRange range, int shards) {
  std::vector<ShardRange> subtrees;
  int at = range.begin;
  while (at < range.end) {
    int size = 1;
    // Twice as large while it begins where such a subtree does and ends inside of the range.
    while (at % (2 * size) == 0 && std::min(at + 2 * size, shards) <= range.end &&
           at + size < shards) {
      size *= 2;
    }
    const int end = std::min(at + size, shards);
    subtrees.push_back({at, end});
    at = end;
  }
  return subtrees;
}

std::vector<TreeAddition> AdditionsAbove(const std::vector<ShardRange>& subtrees, int shards) {
  std::map<int, int> index_of;  // by the first shard of what is summed so far
  for (size_t i = 0; i < subtrees.size(); ++i) index_of[subtrees[i].begin] = static_cast<int>(i);
  std::vector<TreeAddition> additions;
  for (int stride = 1; stride < shards; stride *= 2) {
    for (int i = 0; i + stride < shards; i += 2 * stride) {
      const auto into = index_of.find(i);
      const auto from = index_of.find(i + stride);
      if (into == index_of.end() || from == index_of.end()) continue;  // inside of a subtree
      additions.push_back({into->second, from->second});
      index_of.erase(from);
    }
  }
  return additions;
}

}  // namespace ingot::dist
