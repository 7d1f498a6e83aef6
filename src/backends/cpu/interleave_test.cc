// Every number of rows and remainders of vectors, on every instruction set.
#include "backends/cpu/interleave.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "backends/cpu/buffer_test_util.h"
#include "backends/cpu/kernel_table.h"

namespace ingot::cpu {
namespace {

class InterleaveTest : public testing::TestWithParam<std::string> {};

TEST_P(InterleaveTest, PutsRowsSideBySide) {
  const InstructionSetScope scope(GetParam());
  for (size_t rows = 2; rows <= kMostInterleaved; ++rows) {
    for (const size_t count : {1, 7, 16, 33, 50}) {
      const size_t stride = count + 3;
      std::vector<float> from(rows * stride);
      for (size_t i = 0; i < from.size(); ++i) from[i] = static_cast<float>(i);
      GuardedBuffer to(rows * count * sizeof(float));
      Interleave(from.data(), stride, rows, count, to.floats());
      EXPECT_TRUE(to.Intact());
      for (size_t i = 0; i < rows * count; ++i) {
        EXPECT_EQ(to.values()[i], from[i % rows * stride + i / rows]) << rows << " x " << count;
      }
    }
  }
}

TEST_P(InterleaveTest, PutsBytesSideBySide) {
  const InstructionSetScope scope(GetParam());
  for (size_t rows = 2; rows <= kMostInterleaved; ++rows) {
    for (const size_t count : {1, 15, 16, 64, 131}) {
      const size_t stride = count + 3;
      std::vector<uint8_t> from(rows * stride);
      for (size_t i = 0; i < from.size(); ++i) from[i] = static_cast<uint8_t>(7 * i);
      GuardedBuffer to(rows * count);
      auto* bytes = reinterpret_cast<uint8_t*>(to.data());
      Interleave(from.data(), stride, rows, count, bytes);
      EXPECT_TRUE(to.Intact());
      for (size_t i = 0; i < rows * count; ++i) {
        EXPECT_EQ(bytes[i], from[i % rows * stride + i / rows]) << rows << " x " << count;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(EverySet, InterleaveTest, testing::ValuesIn(InstructionSets()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace ingot::cpu
