// Losses and metrics of sequences: labels [batch, T], scores [batch, T, V].
#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/nn/network_test_util.h"

namespace ingot::nn {
namespace {

using testing::HasSubstr;

TEST(SequenceLossTest, IsTheMeanOverThePositions) {
  Spec spec{.layers = "[{dense: 3}]",
            .loss = "softmax_cross_entropy: {label_smoothing: 0.1}",
            .metrics = "[accuracy, top_k: 2, perplexity, bits_per_byte]",
            .x = {DType::kF32, Shape{2, 4}},
            .y = {DType::kI64, Shape{2}, 3}};
  const Network network = Build(spec);
  EXPECT_EQ(network.output("output")->type().ToString(), "f32[batch, 2, 3]");
  EXPECT_EQ(network.output("loss")->type().ToString(), "f32[batch]");
  const Tensor x =
      Tensor::Of<float>({2, 2, 4}, {1, 2, 3, 4, -1, 0, 1, 2, 2, 2, -3, 1, 0, 1, 0, -1});
  const std::vector<int64_t> labels = {2, 0, 1, 1};
  const auto outputs = Evaluate(network, x, Tensor::Of<int64_t>({2, 2}, {2, 0, 1, 1}));
  const std::vector<double> logits = outputs.at("output").ToDoubles();
  for (size_t b = 0; b < 2; ++b) {
    double smoothed = 0, plain = 0, hits = 0, seconds = 0;
    for (size_t t = 0; t < 2; ++t) {
      const size_t row = 2 * b + t;
      double sum = 0, all = 0, above = 0;
      const double at = logits[3 * row + static_cast<size_t>(labels[row])];
      for (size_t c = 0; c < 3; ++c) {
        sum += std::exp(logits[3 * row + c]);
        all += logits[3 * row + c];
        above += logits[3 * row + c] > at ? 1 : 0;
      }
      plain += (std::log(sum) - at) / 2;
      smoothed += (std::log(sum) - 0.9 * at - 0.1 * all / 3) / 2;
      hits += above == 0 ? 0.5 : 0;
      seconds += above < 2 ? 0.5 : 0;
    }
    EXPECT_NEAR(outputs.at("loss").ToDoubles()[b], smoothed, 1e-5);
    EXPECT_NEAR(outputs.at("perplexity").ToDoubles()[b], plain, 1e-5);
    EXPECT_NEAR(outputs.at("bits_per_byte").ToDoubles()[b], plain / std::log(2.0), 1e-5);
    EXPECT_EQ(outputs.at("accuracy").ToDoubles()[b], hits);
    EXPECT_EQ(outputs.at("top_2").ToDoubles()[b], seconds);
  }
}

TEST(SequenceLossTest, LengthsThatDifferAreNamed) {
  const Error error = Thrown(
      {.layers = "[{dense: 3}]", .x = {DType::kF32, Shape{2, 4}}, .y = {DType::kI64, Shape{5}, 3}});
  EXPECT_THAT(error.message(),
              HasSubstr("softmax_cross_entropy takes class numbers [batch, 2] for an output "
                        "[batch, 2, 3], but the labels are i64[batch, 5]"));
}

TEST(SequenceLossTest, ClassesAreChecked) {
  const Error error = Thrown(
      {.layers = "[{dense: 3}]", .x = {DType::kF32, Shape{2, 4}}, .y = {DType::kI64, Shape{2}, 7}});
  EXPECT_THAT(error.message(), HasSubstr("but the labels have 7 classes"));
}

}  // namespace
}  // namespace ingot::nn
