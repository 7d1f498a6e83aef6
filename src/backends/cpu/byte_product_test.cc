// Products of bytes give exactly the sums, at the largest numbers and depths too, on every
// instruction set and whatever the number of threads.
#include "backends/cpu/byte_product.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include <gtest/gtest.h>

#include "backends/cpu/byte_depthwise.h"
#include "backends/cpu/byte_winograd.h"
#include "backends/cpu/kernel_table.h"
#include "ingot/base/align.h"
#include "ingot/runtime/thread_team.h"
#include "ingot/tensor/tensor.h"

namespace ingot::cpu {
namespace {

ConvolutionShape Shape(int64_t channels, int64_t outputs, int64_t groups, int64_t kernel,
                       int64_t stride, int64_t dilation, int64_t pad) {
  ConvolutionShape shape;
  shape.samples = 2;
  shape.channels = channels;
  shape.outputs = outputs;
  shape.groups = groups;
  for (ConvolutionAxis* axis : {&shape.rows, &shape.columns}) {
    axis->input = axis == &shape.rows ? 9 : 7;
    axis->kernel = kernel;
    axis->stride = stride;
    axis->dilation = dilation;
    axis->pad = pad;
    axis->output = (axis->input + 2 * pad - (kernel - 1) * dilation - 1) / stride + 1;
  }
  return shape;
}

uint32_t Next(uint32_t& seed) {
  seed = seed * 1664525u + 1013904223u;
  return seed >> 8;
}

struct Case {
  ConvolutionShape shape;
  bool is_signed;
  int32_t zero;
  std::vector<uint8_t> x;
  std::vector<int16_t> w;  // [output][tap][channel of the group], without their zero point

  Case(const ConvolutionShape& s, bool is_signed_x, int32_t x_zero)
      : shape(s), is_signed(is_signed_x), zero(x_zero) {
    uint32_t seed = 7;
    x.resize(static_cast<size_t>(s.samples * s.rows.input * s.columns.input * s.channels));
    for (uint8_t& each : x) {  // half of them at the ends
      const uint32_t kind = Next(seed) % 4;
      each = static_cast<uint8_t>(kind == 0 ? 0 : kind == 1 ? 255 : Next(seed) % 256);
    }
    w.resize(static_cast<size_t>(s.outputs * Depth()));
    for (int16_t& each : w) {
      const uint32_t kind = Next(seed) % 4;
      each = static_cast<int16_t>(kind == 0   ? -255
                                  : kind == 1 ? 255
                                              : static_cast<int>(Next(seed) % 511) - 255);
    }
  }

  int64_t Depth() const {
    return shape.rows.kernel * shape.columns.kernel * shape.channels / shape.groups;
  }
  int64_t Positions() const { return shape.samples * shape.rows.output * shape.columns.output; }

  int64_t At(int64_t position, int64_t o) const {
    const int64_t column = position % shape.columns.output;
    const int64_t row = position / shape.columns.output % shape.rows.output;
    const int64_t sample = position / shape.columns.output / shape.rows.output;
    const int64_t in_group = shape.channels / shape.groups;
    const int64_t first = o / (shape.outputs / shape.groups) * in_group;
    int64_t sum = 0;
    size_t at = static_cast<size_t>(o * Depth());
    for (int64_t i = 0; i < shape.rows.kernel; ++i) {
      for (int64_t j = 0; j < shape.columns.kernel; ++j) {
        const int64_t y = row * shape.rows.stride - shape.rows.pad + i * shape.rows.dilation;
        const int64_t c =
            column * shape.columns.stride - shape.columns.pad + j * shape.columns.dilation;
        for (int64_t k = 0; k < in_group; ++k, ++at) {
          if (y < 0 || y >= shape.rows.input || c < 0 || c >= shape.columns.input) continue;
          const uint8_t byte = x[static_cast<size_t>(
              ((sample * shape.rows.input + y) * shape.columns.input + c) * shape.channels + first +
              k)];
          const int64_t value = is_signed ? static_cast<int8_t>(byte) : int64_t{byte};
          sum += (value - zero) * w[at];
        }
      }
    }
    return sum;
  }

  template <class Product>
  void RunWith(const Product& product, ByteOperands call, runtime::Team& team) const {
    std::vector<std::byte> packed(product.packed_bytes());
    product.Pack(
        [&](int64_t o, int16_t* line) {
          const auto begin = w.begin() + o * Depth();
          std::copy(begin, begin + Depth(), line);
        },
        packed.data());
    const size_t stride = AlignUp(product.scratch_bytes());
    const auto scratch = AllocateBytes(stride * team.threads());
    call.x = reinterpret_cast<const std::byte*>(x.data());
    call.x_signed = is_signed;
    call.x_zero = zero;
    product.Run(packed.data(), call, scratch.get(), stride, team);
  }

  template <class Product>
  std::vector<int32_t> Run(const Product& product, runtime::Team& team) const {
    std::vector<int32_t> y(static_cast<size_t>(Positions() * shape.outputs));
    ByteOperands call;
    if constexpr (std::is_same_v<Product, ByteDepthwise>) {
      // As f32, which holds the sums of so few taps.
      const std::vector<float> ones(static_cast<size_t>(shape.outputs), 1);
      std::vector<float> floats(y.size());
      call.finish.scale = ones.data();
      call.finish.to = floats.data();
      RunWith(product, call, team);
      std::copy(floats.begin(), floats.end(), y.begin());
    } else {
      call.sums = y.data();
      RunWith(product, call, team);
    }
    return y;
  }
};

class ByteProductTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { UseInstructionSet(GetParam()); }
  void TearDown() override { UseInstructionSet(""); }

  template <class Product>
  static void Check(const Case& test, const Product& product) {
    runtime::NoTeam alone;
    runtime::ThreadTeam team(3);
    const std::vector<int32_t> y = test.Run(product, alone);
    EXPECT_EQ(test.Run(product, team), y);
    size_t i = 0;
    for (int64_t position = 0; position < test.Positions(); ++position) {
      for (int64_t o = 0; o < test.shape.outputs; ++o, ++i) {
        ASSERT_EQ(y[i], test.At(position, o)) << test.Depth() << ": " << position << ", " << o;
      }
    }
  }
};

TEST_P(ByteProductTest, GivesTheSums) {
  const Case cases[] = {
      {Shape(1, 1, 1, 1, 1, 1, 0), false, 0},        // the least
      {Shape(37, 70, 1, 1, 1, 1, 0), false, 120},    // neither fours nor whole panels
      {Shape(1203, 33, 1, 1, 1, 1, 0), false, 255},  // several blocks of the depth
      {Shape(64, 24, 1, 1, 2, 1, 0), true, -3},      // one tap, with a stride
      {Shape(5, 19, 1, 3, 2, 1, 1), true, 127},      // padding
      {Shape(6, 20, 2, 3, 1, 2, 2), false, 3},       // groups and dilation
      {Shape(130, 66, 1, 3, 1, 1, 1), true, -128},
  };
  for (const Case& test : cases) {
    Check(test, ByteProduct(test.shape));
  }
}

TEST_P(ByteProductTest, GivesTheSumsOfDepthwiseFilters) {
  const Case cases[] = {
      {Shape(1, 1, 1, 3, 1, 1, 1), false, 7},       // fewer channels than a block has
      {Shape(13, 13, 13, 3, 2, 1, 1), true, -128},  //
      {Shape(16, 16, 16, 3, 1, 1, 1), false, 255},  // one block
      {Shape(37, 37, 37, 3, 2, 1, 0), true, 127},   // the last block begins earlier
      {Shape(64, 64, 64, 3, 1, 2, 2), false, 120}, {Shape(20, 20, 20, 5, 1, 1, 2), false, 3},
      {Shape(33, 33, 33, 2, 1, 1, 1), true, -5},  // an even number of taps
      {Shape(18, 18, 18, 1, 2, 1, 0), false, 9},
  };
  for (const Case& test : cases) Check(test, ByteDepthwise(test.shape));
}

// What most networks want: sums times a scale below 1, rounded to bytes.
template <typename T>
void CheckDepthwiseBytes(const Case& test) {
  const std::vector<float> scales(static_cast<size_t>(test.shape.outputs), 0x1p-7F);
  constexpr int kZero = std::is_signed_v<T> ? -3 : 100;
  std::vector<T> y(static_cast<size_t>(test.Positions() * test.shape.outputs) + 1, T(77));
  ByteOperands call;
  call.finish.scale = scales.data();
  call.finish.zero = kZero;
  call.finish.type = std::is_signed_v<T> ? RequantizeCall::Type::kI8 : RequantizeCall::Type::kU8;
  call.finish.to = y.data();
  runtime::NoTeam alone;
  test.RunWith(ByteDepthwise(test.shape), call, alone);
  size_t i = 0;
  for (int64_t position = 0; position < test.Positions(); ++position) {
    for (int64_t o = 0; o < test.shape.outputs; ++o, ++i) {
      const double value = std::nearbyint(static_cast<double>(test.At(position, o)) * 0x1p-7);
      ASSERT_EQ(y[i],
                static_cast<T>(std::clamp<double>(value + kZero, std::numeric_limits<T>::min(),
                                                  std::numeric_limits<T>::max())))
          << position << ", " << o;
    }
  }
  EXPECT_EQ(y.back(), T(77));
}

TEST_P(ByteProductTest, GivesTheBytesOfDepthwiseFilters) {
  const Case cases[] = {
      {Shape(32, 32, 32, 3, 1, 1, 1), false, 255}, {Shape(16, 16, 16, 3, 2, 1, 1), false, 0},
      {Shape(40, 40, 40, 3, 1, 1, 0), true, -128},  // the last block begins earlier
      {Shape(37, 37, 37, 3, 2, 1, 0), true, 127},  {Shape(48, 48, 48, 3, 1, 1, 2), false, 120},
      {Shape(16, 16, 16, 3, 2, 1, 2), true, 5},    {Shape(16, 16, 16, 3, 3, 1, 1), false, 9},
      {Shape(24, 24, 24, 3, 1, 2, 2), false, 9},   {Shape(20, 20, 20, 5, 1, 1, 2), false, 3},
  };
  for (const Case& test : cases) {
    CheckDepthwiseBytes<uint8_t>(test);
    CheckDepthwiseBytes<int8_t>(test);
  }
}

TEST_P(ByteProductTest, GivesTheSumsByWinograd) {
  const Case cases[] = {
      {Shape(16, 16, 1, 3, 1, 1, 1), false, 0},
      {Shape(37, 33, 1, 3, 1, 1, 0), false, 255},
      {Shape(40, 70, 1, 3, 1, 1, 1), true, -128},
      {Shape(50, 20, 1, 3, 1, 1, 2), true, 5},
  };
  for (const Case& test : cases) {
    for (const int64_t side : {2, 4}) Check(test, ByteWinograd(test.shape, side));
  }
}

// The largest sums that F(4x4, 3x3) may have, and no larger ones.
TEST_P(ByteProductTest, WinogradHoldsTheLargestSums) {
  Case test(Shape(57, 16, 1, 3, 1, 1, 0), false, 0);
  std::fill(test.x.begin(), test.x.end(), uint8_t{255});
  for (size_t i = 0; i < test.w.size(); ++i) {
    test.w[i] = i < test.w.size() / 2 ? int16_t{255} : int16_t{-255};
  }
  ASSERT_LT(test.At(0, 0), 1 << 25);
  ASSERT_GT(test.At(0, 0), (1 << 25) - (1 << 20));
  Check(test, ByteWinograd(test.shape, 4));
  EXPECT_EQ(ByteWinograd::SideFor(test.shape, 1 << 29), 0);
}

// Weights that are bytes: of quads that stand as they are, of masked ones, and of both; so small
// that two of them fit, or not.
TEST_P(ByteProductTest, GivesTheSumsOfBytesByBytes) {
  const Case shapes[] = {
      {Shape(4, 16, 1, 1, 1, 1, 0), false, 0},     // the input is read where it stands
      {Shape(64, 40, 1, 1, 1, 1, 0), false, 120},  //
      {Shape(64, 24, 1, 1, 1, 1, 0), true, -3},    // with a sign
      {Shape(37, 70, 1, 1, 1, 1, 0), true, 127},   // neither fours nor whole panels
      {Shape(64, 24, 1, 1, 2, 1, 0), false, 255},  // one tap, with a stride
      {Shape(3, 19, 1, 3, 2, 1, 1), false, 9},     // padding
      {Shape(130, 66, 1, 3, 1, 1, 1), true, -128},
      {Shape(24, 40, 2, 1, 1, 1, 0), false, 77},  // groups, read where they stand
      {Shape(6, 20, 2, 3, 1, 2, 2), true, 3},     // and dilation
  };
  for (Case test : shapes) {
    const std::vector<int16_t> wide = test.w;
    for (const int64_t masked : {0, 1, 3}) {  // none, all, each third
      for (const int smaller : {2, 4, 5}) {
        for (size_t i = 0; i < wide.size(); ++i) {
          const int64_t quad = static_cast<int64_t>(i) % test.Depth() / 4;
          const bool large = masked > 0 && quad % masked == 0;
          const int value = wide[i] / 2 - (wide[i] < -253 ? 1 : 0);  // [-128, 127]
          test.w[i] = static_cast<int16_t>(large ? value : value / smaller);
        }
        Check(test, ByteProduct(test.shape, ByteProduct::Weights::kBytes));
      }
    }
  }
}

// Bytes and weights whose sums of 16 bits are as far as they go, and weights one beyond that.
TEST_P(ByteProductTest, CutsNoSumAtTheLimits) {
  Case test(Shape(20, 24, 1, 1, 1, 1, 0), false, 0);
  const int16_t pairs[][2] = {{64, 64},   {65, 64},    {32, 32},   {33, 32},
                              {-32, -32}, {-33, -32},  {64, -64},  {127, 1},
                              {127, 2},   {-128, 0},   {-127, -1}, {-128, -1},
                              {-64, -64}, {127, -127}, {127, 127}, {-128, -128}};
  for (const auto& pair : pairs) {
    for (size_t i = 0; i < test.w.size(); ++i) test.w[i] = pair[i % 2];
    for (const int kind : {0, 1, 2}) {  // all 255, first of each two, second of each two
      for (size_t i = 0; i < test.x.size(); ++i) {
        test.x[i] = kind == 0 || i % 2 + 1 == static_cast<size_t>(kind) ? 255 : 0;
      }
      Check(test, ByteProduct(test.shape, ByteProduct::Weights::kBytes));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(EverySet, ByteProductTest, testing::ValuesIn(InstructionSets()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace ingot::cpu
