// Winograd's products with filters that are transformed in every call, beside the direct products.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "backends/cpu/buffer_test_util.h"
#include "backends/cpu/convolution.h"
#include "backends/cpu/kernel_table.h"
#include "backends/cpu/winograd.h"
#include "backends/cpu/winograd_gradient.h"
#include "ingot/base/align.h"

namespace ingot::cpu {
namespace {

std::vector<float> Numbers(size_t count, uint32_t seed) {
  std::vector<float> values(count);
  for (float& value : values) {
    seed = seed * 1664525u + 1013904223u;
    value = static_cast<float>(seed >> 8) * 0x1p-23f - 1;
  }
  return values;
}

ConvolutionShape Shape(int64_t samples, int64_t rows, int64_t columns, int64_t channels,
                       int64_t outputs, int64_t pad) {
  ConvolutionShape shape;
  shape.samples = samples;
  shape.channels = channels;
  shape.outputs = outputs;
  shape.rows = {rows, rows + 2 * pad - 2, 3, 1, 1, pad};
  shape.columns = {columns, columns + 2 * pad - 2, 3, 1, 1, pad};
  return shape;
}

// What the error bound of winograd.h is of: the largest result.
void ExpectClose(const std::vector<float>& seen, const std::vector<float>& expected) {
  float largest = 0;
  for (const float value : expected) largest = std::max(largest, std::fabs(value));
  for (size_t i = 0; i < seen.size(); ++i) {
    ASSERT_NEAR(seen[i], expected[i], 2e-5f * largest) << "element " << i;
  }
}

class WinogradTraining : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { UseInstructionSet(GetParam()); }
  void TearDown() override { UseInstructionSet(""); }

  static std::vector<float> Run(const WinogradProduct& product, const std::vector<float>& packed,
                                const std::vector<float>& x, const float* bias, size_t results) {
    GuardedBuffer scratch(AlignUp(product.scratch_bytes()));
    std::vector<float> y(results);
    PackedOperands call;
    call.x = x.data();
    call.bias = bias;
    call.y = y.data();
    runtime::NoTeam alone;
    product.Run(packed.data(), call, reinterpret_cast<std::byte*>(scratch.floats()), 0, alone);
    EXPECT_TRUE(scratch.Intact());
    return y;
  }
};

INSTANTIATE_TEST_SUITE_P(EverySet, WinogradTraining, testing::ValuesIn(InstructionSets()),
                         [](const auto& info) { return info.param; });

const ConvolutionShape kShapes[] = {Shape(2, 17, 19, 16, 32, 1), Shape(1, 24, 24, 32, 48, 0),
                                    Shape(3, 8, 8, 64, 16, 1), Shape(8, 4, 4, 48, 64, 1)};

TEST_P(WinogradTraining, TheProductIsTheDirectOne) {
  for (const ConvolutionShape& shape : kShapes) {
    if (!WinogradProduct::Pays(shape)) continue;
    const auto x = Numbers(static_cast<size_t>(shape.samples * shape.rows.input *
                                               shape.columns.input * shape.channels),
                           1);
    const auto w = Numbers(static_cast<size_t>(9 * shape.channels * shape.outputs), 2);
    const auto bias = Numbers(static_cast<size_t>(shape.outputs), 3);
    std::vector<float> expected(static_cast<size_t>(shape.samples * shape.rows.output *
                                                    shape.columns.output * shape.outputs));
    ConvolutionOperands direct;
    GuardedBuffer scratch(ConvolutionForwardScratchFloats(shape) * sizeof(float));
    direct.x = x.data();
    direct.w = w.data();
    direct.bias = bias.data();
    direct.y = expected.data();
    direct.scratch = scratch.floats();
    ConvolutionForward(shape, direct);

    const WinogradProduct product(shape);
    std::vector<float> packed(product.packed_floats());
    product.PackRows(w.data(), false, packed.data());
    ExpectClose(Run(product, packed, x, bias.data(), expected.size()), expected);
  }
}

TEST_P(WinogradTraining, TheGradientOfTheInputIsTheDirectOne) {
  for (const ConvolutionShape& shape : kShapes) {
    const ConvolutionShape back = InputGradientShape(shape);
    if (!WinogradProduct::Pays(back)) continue;
    const auto dy = Numbers(static_cast<size_t>(shape.samples * shape.rows.output *
                                                shape.columns.output * shape.outputs),
                            4);
    const auto w = Numbers(static_cast<size_t>(9 * shape.channels * shape.outputs), 5);
    std::vector<float> expected(static_cast<size_t>(shape.samples * shape.rows.input *
                                                    shape.columns.input * shape.channels));
    ConvolutionOperands direct;
    GuardedBuffer scratch(ConvolutionInputGradientScratchFloats(shape) * sizeof(float));
    direct.x = dy.data();
    direct.w = w.data();
    direct.y = expected.data();
    direct.scratch = scratch.floats();
    ConvolutionInputGradient(shape, direct);

    const WinogradProduct product(back);
    std::vector<float> packed(product.packed_floats());
    GuardedBuffer columns(9 * static_cast<size_t>(back.channels) * Tiles().width() * sizeof(float));
    product.PackColumns(w.data(), true, columns.floats(), packed.data());
    EXPECT_TRUE(columns.Intact());
    ExpectClose(Run(product, packed, dy, nullptr, expected.size()), expected);
  }
}

TEST_P(WinogradTraining, TheGradientOfTheWeightsIsTheDirectOne) {
  // The last two have several blocks of tiles, and more outputs than whole panels.
  std::vector<ConvolutionShape> shapes(std::begin(kShapes), std::end(kShapes));
  shapes.push_back(Shape(9, 30, 31, 32, 16, 1));
  shapes.push_back(Shape(2, 22, 48, 80, 112, 2));
  int tried = 0;
  for (const ConvolutionShape& shape : shapes) {
    if (!WinogradWeightGradient::Pays(shape)) continue;
    ++tried;
    const auto x = Numbers(static_cast<size_t>(shape.samples * shape.rows.input *
                                               shape.columns.input * shape.channels),
                           7);
    const auto dy = Numbers(static_cast<size_t>(shape.samples * shape.rows.output *
                                                shape.columns.output * shape.outputs),
                            8);
    const auto count = static_cast<size_t>(9 * shape.channels * shape.outputs);
    std::vector<float> expected(count);
    ConvolutionOperands direct;
    GuardedBuffer scratch(ConvolutionWeightGradientScratchFloats(shape) * sizeof(float));
    direct.x = x.data();
    direct.w = dy.data();
    direct.y = expected.data();
    direct.scratch = scratch.floats();
    ConvolutionWeightGradient(shape, direct);

    const WinogradWeightGradient gradient(shape);
    GuardedBuffer own(gradient.scratch_floats() * sizeof(float));
    GuardedBuffer result(count * sizeof(float), sizeof(float));
    gradient.Run(x.data(), dy.data(), result.floats(), own.floats());
    EXPECT_TRUE(own.Intact());
    EXPECT_TRUE(result.Intact());
    ExpectClose({result.floats(), result.floats() + count}, expected);
  }
  EXPECT_EQ(tried, Tiles().lanes >= 4 && Tiles().lanes <= 16 ? 4 : 0);
}

// Packing by vectors is packing one by one.
TEST_P(WinogradTraining, FiltersAreTransformedAlike) {
  const ConvolutionShape shape = kShapes[0];
  const auto c = static_cast<size_t>(shape.channels), o = static_cast<size_t>(shape.outputs);
  const auto w = Numbers(9 * c * o, 6);
  std::vector<float> by_output(w.size());  // [O, C, 3, 3]
  for (size_t tap = 0; tap < 9; ++tap) {
    for (size_t i = 0; i < c; ++i) {
      for (size_t j = 0; j < o; ++j) by_output[(j * c + i) * 9 + tap] = w[(tap * c + i) * o + j];
    }
  }
  const WinogradProduct product(shape);
  std::vector<float> rows(product.packed_floats()), expected(product.packed_floats());
  product.PackRows(w.data(), false, rows.data());
  product.Pack(by_output.data(), expected.data());
  for (size_t i = 0; i < 36 * c * o; ++i) ASSERT_NEAR(rows[i], expected[i], 5e-7) << i;
}

}  // namespace
}  // namespace ingot::cpu
