// How the logical shards of a step are dealt to the workers of a group, and which parts of the
// fixed tree over the shards each of them can compute alone.
//
// TreeReduce adds x[i + stride] to x[i] for stride 1, 2, 4, ...: one binary tree over the shards. A
// worker that holds a range of shards computes the subtrees that lie inside of it; only their sums
// travel, and whoever has all of them finishes the tree. So the bits are those of one process.
#pragma once

#include <cstdint>
#include <vector>

namespace ingot::dist {

struct ShardRange {
  int begin = 0;
  int end = 0;
  int size() const { return end - begin; }
  bool operator==(const ShardRange&) const = default;
};

// Consecutive ranges that differ by one shard at most, for each worker; workers beyond the number
// of shards get none.
std::vector<ShardRange> DealShards(int shards, int workers);

// The largest subtrees of the tree over `shards` that lie inside of a range, in their order: shards
// [i * 2^k, min((i + 1) * 2^k, shards)) each.
std::vector<ShardRange> SubtreesOf(ShardRange range, int shards);

// One addition of the tree above the subtrees: the sum of subtree `from` is added to that of
// `into`.
struct TreeAddition {
  int into = 0;
  int from = 0;
  bool operator==(const TreeAddition&) const = default;
};

// What is left to do with the sums of all subtrees, which stand in the order of their shards and
// cover all of them: afterwards the first holds the whole sum.
std::vector<TreeAddition> AdditionsAbove(const std::vector<ShardRange>& subtrees, int shards);

}  // namespace ingot::dist
