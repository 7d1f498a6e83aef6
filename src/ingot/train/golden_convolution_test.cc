// Convolutional networks against training traces made with PyTorch.
#include <numbers>

#include "ingot/train/golden_trace_test_util.h"

namespace ingot::train {
namespace {

std::vector<double> TrainCnn(DType precision) {
  constexpr int64_t kBatch = 32;
  constexpr double kSteps = 60;
  const formats::SafetensorsFile golden = Golden("cnn_momentum_cosine");
  const nn::Network network = MakeNetwork(
      "[{conv: {filters: 8, kernel: 3, padding: 1}}, relu, {max_pool: 2}, {conv: {filters: 16, "
      "kernel: 3, padding: 1}}, relu, {max_pool: 2}, flatten, {dense: 32}, relu, {dense: 10}]",
      "softmax_cross_entropy", {precision, Shape{1, 28, 28}}, {DType::kI64, Shape{}, 10},
      precision);
  Trainer trainer(BuildStepGraph(
      network,
      Optimizer("sgd: {learning_rate: 0.05, momentum: 0.9, nesterov: true, weight_decay: 1e-4}"),
      kBatch, 2, Ops(), precision));
  for (const std::string layer : {"0", "3", "7", "9"}) {
    const Tensor weight = golden.Get("init." + layer + ".weight");
    trainer.Set("layers." + layer + ".weight",
                weight.shape().rank() == 2 ? Transposed(weight) : weight, precision);
    trainer.Set("layers." + layer + ".bias", golden.Get("init." + layer + ".bias"), precision);
  }
  MnistBatches batches(precision, kBatch, Shape{1, 28, 28});
  std::vector<double> losses;
  for (int64_t s = 0; s < golden.Get("loss").shape()[0]; ++s) {
    batches.Fill(s);
    const double rate =
        0.05 * (1 + std::cos(std::numbers::pi * static_cast<double>(s) / kSteps)) / 2;
    losses.push_back(trainer.Step(batches.x(), batches.y(), rate));
  }
  return losses;
}

TEST(GoldenConvolutionTest, CnnMomentumCosineFollowsTheTraceInF64) {
  ExpectFollowsF64(Golden("cnn_momentum_cosine"), TrainCnn(DType::kF64));
}

TEST(GoldenConvolutionTest, CnnMomentumCosineFollowsTheTraceInF32) {
  ExpectFollowsF32(Golden("cnn_momentum_cosine"), TrainCnn(DType::kF32));
}

}  // namespace
}  // namespace ingot::train
