// Depthwise convolutions against plain loops, on every instruction set. Whole numbers, so that the
// sums are exact.
#include "backends/cpu/depthwise.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "backends/cpu/buffer_test_util.h"
#include "backends/cpu/kernel_table.h"

namespace ingot::cpu {
namespace {

struct Case {
  int64_t height, width, channels, kernel, stride, dilation, pad;
};

constexpr int64_t kSamples = 2;

ConvolutionShape ShapeOf(const Case& c) {
  const auto axis = [&](int64_t input) {
    const int64_t output = (input + 2 * c.pad - (c.kernel - 1) * c.dilation - 1) / c.stride + 1;
    return ConvolutionAxis{input, output, c.kernel, c.stride, c.dilation, c.pad};
  };
  ConvolutionShape shape;
  shape.samples = kSamples;
  shape.channels = shape.outputs = shape.groups = c.channels;
  shape.rows = axis(c.height);
  shape.columns = axis(c.width);
  return shape;
}

std::vector<float> WholeNumbers(int64_t count, int64_t seed) {
  std::vector<float> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>((static_cast<int64_t>(i) * 7919 + seed) % 13 - 6);
  }
  return values;
}

// The sum alone, without bias, residual and activation.
float SumAt(const ConvolutionShape& s, const std::vector<float>& x, const std::vector<float>& w,
            int64_t sample, int64_t row, int64_t column, int64_t channel) {
  float sum = 0;
  for (int64_t i = 0; i < s.rows.kernel; ++i) {
    for (int64_t j = 0; j < s.columns.kernel; ++j) {
      const int64_t y = row * s.rows.stride - s.rows.pad + i * s.rows.dilation;
      const int64_t z = column * s.columns.stride - s.columns.pad + j * s.columns.dilation;
      if (y < 0 || y >= s.rows.input || z < 0 || z >= s.columns.input) continue;
      const int64_t at = ((sample * s.rows.input + y) * s.columns.input + z) * s.channels + channel;
      sum += x[static_cast<size_t>(at)] *
             w[static_cast<size_t>((i * s.columns.kernel + j) * s.channels + channel)];
    }
  }
  return sum;
}

class Depthwise : public testing::TestWithParam<std::string> {
 protected:
  void Check(const Case& c, Epilogue epilogue, bool adds) {
    const ConvolutionShape s = ShapeOf(c);
    const int64_t pixels = kSamples * s.rows.output * s.columns.output;
    const std::vector<float> x =
        WholeNumbers(kSamples * c.height * c.width * c.channels, c.channels);
    const std::vector<float> w = WholeNumbers(c.kernel * c.kernel * c.channels, 3);
    const std::vector<float> bias = WholeNumbers(c.channels, 5);
    const std::vector<float> residual = WholeNumbers(pixels * c.channels, 1);
    std::vector<float> expected;
    for (int64_t i = 0; i < pixels * c.channels; ++i) {
      const int64_t channel = i % c.channels, pixel = i / c.channels;
      const int64_t column = pixel % s.columns.output, line = pixel / s.columns.output;
      float value = SumAt(s, x, w, line / s.rows.output, line % s.rows.output, column, channel) +
                    bias[static_cast<size_t>(channel)] +
                    (adds ? residual[static_cast<size_t>(i)] : 0);
      if (epilogue.kind == Epilogue::Kind::kRelu) value = std::max(value, 0.0F);
      if (epilogue.kind == Epilogue::Kind::kLeakyRelu && value < 0) value *= epilogue.alpha;
      if (epilogue.kind == Epilogue::Kind::kClip) {
        value = std::clamp(value, epilogue.alpha, epilogue.beta);
      }
      expected.push_back(value);
    }
    const int64_t lines = kSamples * s.rows.output;
    for (const int64_t cut : {lines, lines / 3, int64_t{1}}) {  // as threads may cut the work
      GuardedBuffer y(expected.size() * sizeof(float));
      PackedOperands operands{x.data(), bias.data(), adds ? residual.data() : nullptr, y.floats(),
                              epilogue};
      DepthwiseRows(s, w.data(), operands, 0, cut);
      DepthwiseRows(s, w.data(), operands, cut, lines);
      EXPECT_TRUE(y.Intact());
      EXPECT_TRUE(std::equal(expected.begin(), expected.end(), y.values().begin()))
          << c.height << "x" << c.width << "x" << c.channels << " kernel " << c.kernel << " stride "
          << c.stride << " dilation " << c.dilation << " pad " << c.pad << " cut " << cut;
    }
  }
};

TEST_P(Depthwise, IsWhatPlainLoopsGive) {
  const InstructionSetScope scope(GetParam());
  const Case cases[] = {
      {7, 7, 24, 3, 1, 1, 1},  {9, 12, 37, 3, 1, 1, 1}, {8, 14, 16, 3, 2, 1, 1},
      {7, 9, 19, 3, 2, 1, 1},  {11, 8, 16, 3, 1, 1, 0}, {10, 11, 18, 5, 1, 1, 2},
      {13, 9, 20, 5, 2, 1, 2}, {9, 9, 16, 3, 1, 2, 2},  {9, 10, 17, 3, 3, 1, 1},
      {5, 1, 16, 3, 1, 1, 1},  {1, 5, 16, 3, 1, 1, 1},  {2, 2, 33, 5, 1, 1, 2},
      {6, 7, 3, 3, 1, 1, 1},   {6, 6, 16, 3, 1, 1, 2},  {8, 8, 16, 7, 1, 1, 3},
  };
  for (const Case& c : cases) {
    Check(c, {}, false);
    Check(c, {Epilogue::Kind::kRelu, 0, 0}, false);
    Check(c, {Epilogue::Kind::kClip, -3, 6}, false);
    Check(c, {Epilogue::Kind::kLeakyRelu, 0.5F, 0}, false);
    Check(c, {Epilogue::Kind::kClip, 0, 6}, true);
  }
}

INSTANTIATE_TEST_SUITE_P(EverySet, Depthwise, testing::ValuesIn(InstructionSets()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace ingot::cpu
