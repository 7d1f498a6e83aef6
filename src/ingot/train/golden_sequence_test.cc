// Recurrent networks and transformers against training traces made with PyTorch.
#include "ingot/train/golden_trace_test_util.h"
#include "ingot/train/step_program_test_util.h"

namespace ingot::train {
namespace {

// The rows of a tensor in blocks of `size`, in another order.
Tensor Blocks(const Tensor& x, const std::vector<size_t>& order) {
  const std::vector<double> from = x.ToDoubles();
  const size_t size = from.size() / order.size();
  std::vector<double> to;
  for (const size_t block : order) {
    const auto first = from.begin() + static_cast<std::ptrdiff_t>(block * size);
    to.insert(to.end(), first, first + static_cast<std::ptrdiff_t>(size));
  }
  return Tensor::Of<double>(x.shape(), std::span<const double>(to));
}

// With an axis of extent 1 in front: the one direction of a recurrent op.
Tensor OneDirection(const Tensor& x) {
  std::vector<int64_t> dims = {1};
  for (const int64_t extent : x.shape().dims()) dims.push_back(extent);
  const std::vector<double> values = x.ToDoubles();
  return Tensor::Of<double>(Shape(dims), std::span<const double>(values));
}

Tensor Joined(const Tensor& a, const Tensor& b) {
  std::vector<double> values = a.ToDoubles();
  const std::vector<double> more = b.ToDoubles();
  values.insert(values.end(), more.begin(), more.end());
  const auto size = static_cast<int64_t>(values.size());
  return Tensor::Of<double>(Shape{size}, std::span<const double>(values));
}

constexpr int64_t kBatch = 64;

StepGraph BuildLstmStep(DType precision) {
  const nn::Network network =
      MakeNetwork("[{lstm: 32, name: cell}, {dense: 10, name: out}]", "softmax_cross_entropy",
                  {precision, Shape{28, 28}}, {DType::kI64, Shape{}, 10}, precision);
  return BuildStepGraph(network,
                        Optimizer("rmsprop: {learning_rate: 0.001, alpha: 0.99, momentum: 0.5}"),
                        kBatch, 2, Ops(), precision);
}

std::map<std::string, Tensor> InitialLstm() {
  const formats::SafetensorsFile golden = Golden("lstm_rmsprop");
  // PyTorch stacks the gates i, f, g, o; ONNX i, o, f, g.
  const std::vector<size_t> gates = {0, 3, 1, 2};
  const auto read = [&](const std::string& name) {
    return Blocks(golden.Get("init.cell." + name), gates);
  };
  return {{"cell.input_weight", OneDirection(read("weight_ih_l0"))},
          {"cell.state_weight", OneDirection(read("weight_hh_l0"))},
          {"cell.bias", OneDirection(Joined(read("bias_ih_l0"), read("bias_hh_l0")))},
          {"out.weight", Transposed(golden.Get("init.out.weight"))},
          {"out.bias", golden.Get("init.out.bias")}};
}

std::vector<double> TrainLstm(DType precision) {
  Trainer trainer(BuildLstmStep(precision));
  for (const auto& [name, value] : InitialLstm()) trainer.Set(name, value, precision);
  MnistBatches batches(precision, kBatch, Shape{28, 28});
  std::vector<double> losses;
  const int64_t steps = Golden("lstm_rmsprop").Get("loss").shape()[0];
  for (int64_t s = 0; s < steps; ++s) {
    batches.Fill(s);
    losses.push_back(trainer.Step(batches.x(), batches.y(), 0.001));
  }
  return losses;
}

std::vector<double> CompiledLstm(int threads) {
  const StepGraph step = BuildLstmStep(DType::kF32);
  const auto program = compiler::CompileStep(*step.graph, Ops());
  runtime::StepEngine engine({program}, threads);
  for (const auto& [name, tensor] : InitialStates(step)) engine.WriteState(name, tensor);
  for (const auto& [name, value] : InitialLstm()) engine.WriteState(name, value.Cast(DType::kF32));
  const auto batches = MnistTraceBatches(DType::kF32, kBatch);
  StepTestOutcome outcome;
  engine.Run(StepTestRequest(step, compiler::PlanOf(*program), *batches,
                             Golden("lstm_rmsprop").Get("loss").shape()[0], 0.001f, outcome));
  std::vector<double> losses;
  for (const std::vector<double>& sums : outcome.sums) losses.push_back(sums[0] / sums[1]);
  return losses;
}

TEST(GoldenSequenceTest, LstmRmspropFollowsTheTraceInF64) {
  ExpectFollowsF64(Golden("lstm_rmsprop"), TrainLstm(DType::kF64));
}

TEST(GoldenSequenceTest, LstmRmspropFollowsTheTraceInF32) {
  ExpectFollowsF32(Golden("lstm_rmsprop"), TrainLstm(DType::kF32));
}

TEST(GoldenSequenceTest, CompiledFollowsTheTrace) {
  const std::vector<double> losses = CompiledLstm(2);
  ExpectFollowsF32(Golden("lstm_rmsprop"), losses);
  EXPECT_EQ(CompiledLstm(3), losses);
}

}  // namespace
}  // namespace ingot::train
