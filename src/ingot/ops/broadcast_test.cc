// Strides of broadcasting and strided copies.
#include "ingot/ops/broadcast.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/base/error.h"

namespace ingot::ops {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Dims = std::vector<int64_t>;

TEST(BroadcastStrides, AreZeroAlongRepeatedAxes) {
  EXPECT_THAT(BroadcastStrides(Dims{3}, Dims{2, 3}), ElementsAre(0, 1));
  EXPECT_THAT(BroadcastStrides(Dims{2, 1}, Dims{2, 3}), ElementsAre(1, 0));
  EXPECT_THAT(BroadcastStrides(Dims{2, 3}, Dims{2, 3}), ElementsAre(3, 1));
  EXPECT_THAT(BroadcastStrides(Dims{}, Dims{4, 5}), ElementsAre(0, 0));
  EXPECT_THAT(BroadcastStrides(Dims{}, Dims{}), ElementsAre());
}

TEST(BroadcastStrides, RefuseWhatDoesNotFitNamingBothShapes) {
  try {
    BroadcastStrides(Dims{2}, Dims{4, 3});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidInput);
    EXPECT_THAT(error.message(), HasSubstr("[2]"));
    EXPECT_THAT(error.message(), HasSubstr("[4, 3]"));
  }
  EXPECT_THROW(BroadcastStrides(Dims{1, 3}, Dims{3}), Error);
  EXPECT_THROW(BroadcastStrides(Dims{3}, Dims{1}), Error);
}

TEST(BroadcastIndex, WalksSeveralOperandsAtOnce) {
  const Dims row = {3};
  const Dims column = {2, 1};
  const Dims to = {2, 3};
  auto index = BroadcastIndex<2>(to, {row, column});
  std::string seen;
  for (int i = 0; i < 6; ++i, index.Next()) {
    seen += std::to_string(index[0]) + std::to_string(index[1]) + " ";
  }
  EXPECT_EQ(seen, "00 10 20 01 11 21 ");
  EXPECT_EQ(index[0], 0) << "after the last element the walk stands at the first again";
  EXPECT_EQ(index[1], 0);
}

template <typename T>
void CheckCopies() {
  const std::vector<T> matrix = {1, 2, 3, 4, 5, 6};
  std::vector<T> transposed(6);
  GatherStrided(matrix.data(), 0, {1, 3}, Dims{3, 2}, transposed.data(), sizeof(T));
  EXPECT_THAT(transposed, ElementsAre(1, 4, 2, 5, 3, 6));
  std::vector<T> back(6);
  ScatterStrided(transposed.data(), Dims{3, 2}, back.data(), 0, {1, 3}, sizeof(T));
  EXPECT_EQ(back, matrix);
  std::vector<T> reversed(3);
  GatherStrided(matrix.data(), 5, {-1}, Dims{3}, reversed.data(), sizeof(T));
  EXPECT_THAT(reversed, ElementsAre(6, 5, 4));
}

TEST(StridedCopies, KeepElementsOfEverySize) {
  CheckCopies<uint8_t>();
  CheckCopies<uint16_t>();
  CheckCopies<float>();
  CheckCopies<double>();
}

TEST(StridedCopies, RefuseElementsWithoutASize) {
  char from = 0;
  char to = 0;
  EXPECT_THROW(GatherStrided(&from, 0, {}, Dims{}, &to, 0), Error);
}

}  // namespace
}  // namespace ingot::ops
