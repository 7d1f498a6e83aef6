// Dealing shards: any dealing adds in the order of the one tree.
#include "ingot/dist/dealing.h"

#include <string>

#include <gtest/gtest.h>

namespace ingot::dist {
namespace {

// The order of the additions as text: "((0+1)+(2+3))".
std::vector<std::string> Leaves(ShardRange range) {
  std::vector<std::string> texts;
  for (int i = range.begin; i < range.end; ++i) texts.push_back(std::to_string(i));
  return texts;
}

std::string TreeSum(std::vector<std::string> x) {
  for (size_t stride = 1; stride < x.size(); stride *= 2) {
    for (size_t i = 0; i + stride < x.size(); i += 2 * stride) {
      x[i] = "(" + x[i] + "+" + x[i + stride] + ")";
    }
  }
  return x[0];
}

TEST(Dealing, EveryShardIsDealtOnce) {
  for (int shards = 1; shards <= 20; ++shards) {
    for (int workers = 1; workers <= 24; ++workers) {
      const std::vector<ShardRange> ranges = DealShards(shards, workers);
      ASSERT_EQ(ranges.size(), static_cast<size_t>(workers));
      int at = 0;
      for (const ShardRange& range : ranges) {
        ASSERT_EQ(range.begin, at);
        at = range.end;
        if (workers <= shards) {
          ASSERT_GE(range.size(), shards / workers);
          ASSERT_LE(range.size(), (shards + workers - 1) / workers);
        }
      }
      ASSERT_EQ(at, shards);
    }
  }
}

TEST(Dealing, AlignedRangesAreOneSubtree) {
  EXPECT_EQ(SubtreesOf({0, 4}, 8), (std::vector<ShardRange>{{0, 4}}));
  EXPECT_EQ(SubtreesOf({6, 8}, 8), (std::vector<ShardRange>{{6, 8}}));
  EXPECT_EQ(SubtreesOf({0, 8}, 8), (std::vector<ShardRange>{{0, 8}}));
  EXPECT_EQ(SubtreesOf({0, 3}, 8), (std::vector<ShardRange>{{0, 2}, {2, 3}}));
  EXPECT_EQ(SubtreesOf({3, 6}, 8), (std::vector<ShardRange>{{3, 4}, {4, 6}}));
  EXPECT_EQ(SubtreesOf({4, 6}, 6), (std::vector<ShardRange>{{4, 6}}));
  EXPECT_EQ(SubtreesOf({0, 6}, 6), (std::vector<ShardRange>{{0, 6}}));
}

TEST(Dealing, AnyDealingAddsInTheOrderOfTheOneTree) {
  for (int shards = 1; shards <= 24; ++shards) {
    const std::string expected = TreeSum(Leaves({0, shards}));
    for (int workers = 1; workers <= shards; ++workers) {
      std::vector<ShardRange> subtrees;
      for (const ShardRange& range : DealShards(shards, workers)) {
        for (const ShardRange& subtree : SubtreesOf(range, shards)) subtrees.push_back(subtree);
      }
      std::vector<std::string> sums;
      for (const ShardRange& subtree : subtrees) sums.push_back(TreeSum(Leaves(subtree)));
      for (const TreeAddition& addition : AdditionsAbove(subtrees, shards)) {
        std::string& into = sums[static_cast<size_t>(addition.into)];
        into = "(" + into + "+" + sums[static_cast<size_t>(addition.from)] + ")";
      }
      ASSERT_EQ(sums[0], expected) << shards << " shards, " << workers << " workers";
    }
  }
}

}  // namespace
}  // namespace ingot::dist
