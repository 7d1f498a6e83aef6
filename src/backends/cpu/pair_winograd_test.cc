// Integer Winograd gives exactly the direct sums, at the largest numbers and channels too, on every
// instruction set and whatever the number of threads.
#include "backends/cpu/pair_winograd.h"

#include <cstring>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "backends/cpu/kernel_table.h"
#include "ingot/base/align.h"
#include "ingot/runtime/thread_team.h"

namespace ingot::cpu {
namespace {

ConvolutionShape Shape(int64_t samples, int64_t rows, int64_t columns, int64_t channels,
                       int64_t outputs, int64_t pad) {
  ConvolutionShape shape;
  shape.samples = samples;
  shape.channels = (channels + 1) / 2;  // pairs
  shape.outputs = outputs;
  shape.rows = {rows, rows + 2 * pad - 2, 3, 1, 1, pad};
  shape.columns = {columns, columns + 2 * pad - 2, 3, 1, 1, pad};
  return shape;
}

// Numbers without their zero points: from -255 to 255, half of them at either end.
std::vector<int16_t> Numbers(int64_t count, uint32_t seed) {
  std::vector<int16_t> values(static_cast<size_t>(count));
  for (int16_t& value : values) {
    seed = seed * 1664525u + 1013904223u;
    const uint32_t kind = seed >> 30;
    value = static_cast<int16_t>(kind == 0   ? -255
                                 : kind == 1 ? 255
                                             : static_cast<int>((seed >> 8) % 511) - 255);
  }
  return values;
}

struct Case {
  ConvolutionShape shape;
  std::vector<int16_t> x, w;  // [pixels][2 * pairs], [outputs][2 * pairs][9]

  explicit Case(const ConvolutionShape& s)
      : shape(s),
        x(Numbers(s.samples * s.rows.input * s.columns.input * 2 * s.channels, 3)),
        w(Numbers(s.outputs * 2 * s.channels * 9, 4)) {}

  int64_t At(int64_t n, int64_t row, int64_t column, int64_t o) const {
    int64_t sum = 0;
    for (int64_t tap = 0; tap < 9; ++tap) {
      const int64_t y = row + tap / 3 - shape.rows.pad, c = column + tap % 3 - shape.columns.pad;
      if (y < 0 || y >= shape.rows.input || c < 0 || c >= shape.columns.input) continue;
      const int64_t pixel = (n * shape.rows.input + y) * shape.columns.input + c;
      const int64_t channels = 2 * shape.channels;
      for (int64_t i = 0; i < channels; ++i) {
        sum += int64_t{x[static_cast<size_t>(pixel * channels + i)]} *
               w[static_cast<size_t>((o * channels + i) * 9 + tap)];
      }
    }
    return sum;
  }

  std::vector<int32_t> Run(runtime::Team& team) const {
    const PairWinograd product(shape);
    std::vector<float> packed(product.packed_floats());
    product.Pack(
        [&](int64_t o, int64_t c, int64_t tap) {
          return w[static_cast<size_t>((o * 2 * shape.channels + c) * 9 + tap)];
        },
        packed.data());
    const size_t stride = AlignUp(product.scratch_bytes());
    const auto scratch = AllocateBytes(stride * team.threads());
    std::vector<int32_t> y(static_cast<size_t>(shape.samples * shape.rows.output *
                                               shape.columns.output * shape.outputs));
    PackedOperands call;
    call.x = reinterpret_cast<const float*>(x.data());
    call.y = reinterpret_cast<float*>(y.data());
    product.Run(packed.data(), call, scratch.get(), stride, team);
    return y;
  }
};

class PairWinogradTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { UseInstructionSet(GetParam()); }
  void TearDown() override { UseInstructionSet(""); }
};

TEST_P(PairWinogradTest, GivesTheDirectSums) {
  runtime::NoTeam alone;
  runtime::ThreadTeam team(3);
  for (const ConvolutionShape& shape :
       {Shape(1, 9, 7, 32, 40, 1), Shape(2, 8, 8, 34, 33, 0), Shape(1, 7, 30, 48, 64, 1),
        Shape(1, 8, 6, kMostWinogradChannels, 32, 1)}) {
    if (!PairWinograd::Pays(shape)) {
      EXPECT_TRUE(GetParam() == "SCALAR" || GetParam() == "EMU128") << GetParam();
      continue;
    }
    const Case test(shape);
    const std::vector<int32_t> y = test.Run(alone);
    EXPECT_EQ(test.Run(team), y);
    size_t i = 0;
    for (int64_t n = 0; n < shape.samples; ++n) {
      for (int64_t row = 0; row < shape.rows.output; ++row) {
        for (int64_t column = 0; column < shape.columns.output; ++column) {
          for (int64_t o = 0; o < shape.outputs; ++o, ++i) {
            ASSERT_EQ(y[i], test.At(n, row, column, o)) << row << ", " << column << ", " << o;
          }
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(EverySet, PairWinogradTest, testing::ValuesIn(InstructionSets()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace ingot::cpu
