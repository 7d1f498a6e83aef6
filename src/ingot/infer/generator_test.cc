// Text by a cache of keys and values against text by the whole window.
#include "ingot/infer/generator.h"

#include <cmath>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "ingot/base/config.h"
#include "ingot/base/test_folder.h"
#include "ingot/train/trainer.h"

namespace ingot::infer {
namespace {

// Trains a decoder of these blocks for a few steps.
void TrainModel(const std::string& blocks, const std::string& run) {
  const std::string job = R"(
epochs: 0
steps: 3
evaluate: false
data:
  source: {synthetic: {shape: [16], vocabulary: 40, labels: next_token, samples: 16}}
  batch: 8
model:
  layers:
    - {embedding: {vocabulary: 40, width: 24}, name: tokens}
)" + blocks + R"(
loss: softmax_cross_entropy
metrics: []
optimizer: {adam: {learning_rate: 0.05}}
log: {tensorboard: false}
)";
  train::TrainRequest request;
  request.job = train::ReadJob(ParseConfig(job, "job.yaml"));
  request.out = run;
  request.threads = 1;
  train::Train(request);
}

struct Case {
  const char* name;
  const char* blocks;
  bool cached;
};

class CachedDecoderTest : public testing::TestWithParam<Case> {};

INSTANTIATE_TEST_SUITE_P(
    Models, CachedDecoderTest,
    testing::Values(
        Case{"gpt",
             "    - position_embedding\n"
             "    - transformer_block: {heads: 3, causal: true, activation: gelu_tanh}\n"
             "    - transformer_block: {heads: 2, causal: true, dropout: 0.1}\n"
             "    - layer_norm\n    - {tied_dense: tokens}",
             true},
        Case{"llama",
             "    - transformer_block: {heads: 6, kv_heads: 2, causal: true, rotary: true, "
             "activation: swiglu, norm: rms_norm, bias: false}\n"
             "    - rms_norm\n    - {dense: {units: 40, bias: false}}",
             true},
        Case{"sees_what_comes_after",
             "    - transformer_block: {heads: 3, causal: false}\n    - {dense: 40}", false},
        Case{"recurrent", "    - {lstm: {units: 16, return: sequence}}\n    - {dense: 40}", false}),
    [](const auto& info) { return info.param.name; });

TEST_P(CachedDecoderTest, GivesTheScoresOfTheWholeWindow) {
  const TestFolder folder;
  TrainModel(GetParam().blocks, folder / "run");
  PredictorOptions options;
  options.threads = 1;
  Predictor predictor = Predictor::Load(folder / "run", options);
  SamplingOptions likeliest;
  likeliest.temperature = 0;
  Generator generator(predictor, likeliest);
  ASSERT_EQ(generator.is_cached(), GetParam().cached);
  if (!GetParam().cached) return;
  const std::unique_ptr<CachedDecoder> decoder = CachedDecoder::Make(predictor);
  ASSERT_NE(decoder, nullptr);
  Tensor window(predictor.input().dtype, Shape{1, 16});
  std::vector<int64_t> tokens;
  for (int64_t i = 0; i < 16; ++i) tokens.push_back((i * 17 + 3) % 40);
  ConvertElements(tokens.data(), DType::kI64, window.raw(), window.dtype(), 16);
  const std::vector<double> expected = predictor.Predict(window).ToDoubles();
  for (int pass = 0; pass < 2; ++pass, decoder->Reset()) {
    for (size_t t = 0; t < 16; ++t) {
      const std::span<const float> scores = decoder->Next(tokens[t]);
      ASSERT_EQ(scores.size(), 40u);
      for (size_t i = 0; i < 40; ++i) {
        ASSERT_NEAR(scores[i], expected[t * 40 + i], 2e-5 * (1 + std::abs(expected[t * 40 + i])))
            << "place " << t << ", token " << i;
      }
    }
  }
  // Up to the end of the context the texts are the same, and beyond it goes on.
  std::vector<int64_t> cached = {1, 2, 3}, whole = {1, 2, 3};
  generator.Continue(cached, 40, [](int64_t) { return true; });
  generator.DropCache();
  generator.Continue(whole, 13, [](int64_t) { return true; });
  EXPECT_EQ(cached.size(), 43u);
  EXPECT_EQ(std::vector<int64_t>(cached.begin(), cached.begin() + 16), whole);
}

}  // namespace
}  // namespace ingot::infer
