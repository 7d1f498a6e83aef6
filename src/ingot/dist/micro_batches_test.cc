// Tests of the order of micro-batches.
#include "ingot/dist/micro_batches.h"

#include <gtest/gtest.h>

namespace ingot::dist {
namespace {

// What Figure 4 (bottom) of the paper draws for the first and the last of 4 stages, 8
// micro-batches.
TEST(MicroBatches, EachStageHasAsFewAtHandAsItMust) {
  for (int behind = 0; behind < 4; ++behind) {
    int at_hand = 0, most = 0, next_forward = 0, next_backward = 0;
    for (const MicroBatchTurn& turn : OneForwardOneBackward(8, behind)) {
      if (turn.is_backward) {
        EXPECT_EQ(turn.micro_batch, next_backward++);
        --at_hand;
      } else {
        EXPECT_EQ(turn.micro_batch, next_forward++);
        most = std::max(most, ++at_hand);
      }
      EXPECT_GE(at_hand, 0);
    }
    EXPECT_EQ(next_forward, 8);
    EXPECT_EQ(next_backward, 8);
    EXPECT_EQ(most, behind + 1);
  }
}

TEST(MicroBatches, FewerThanStagesAllGoForwardFirst) {
  const auto turns = OneForwardOneBackward(2, 3);
  ASSERT_EQ(turns.size(), 4u);
  EXPECT_FALSE(turns[0].is_backward);
  EXPECT_FALSE(turns[1].is_backward);
  EXPECT_TRUE(turns[2].is_backward);
  EXPECT_TRUE(turns[3].is_backward);
}

}  // namespace
}  // namespace ingot::dist
