// A residual network with batch norm against a training trace made with PyTorch: by the reference
// kernels, and compiled into a step of many stages.
#include <cstring>

#include "ingot/runtime/step_program.h"
#include "ingot/train/golden_trace_test_util.h"
#include "ingot/train/step_program_test_util.h"

namespace ingot::train {
namespace {

constexpr int64_t kBatch = 32;
constexpr const char* kName = "resnet_bn_adamw";

std::string Block(const std::string& name, int filters, int stride) {
  const std::string width = std::to_string(filters);
  const std::string step = std::to_string(stride);
  std::string layers = "{residual: {layers: [{conv: {filters: " + width +
                       ", kernel: 3, stride: " + step +
                       ", padding: 1, bias: false}}, batch_norm, relu, {conv: {filters: " + width +
                       ", kernel: 3, padding: 1, bias: false}}, batch_norm]";
  if (stride > 1) {
    layers += ", shortcut: [{conv: {filters: " + width + ", kernel: 1, stride: " + step +
              ", padding: 0, bias: false}}, batch_norm]";
  }
  return layers + ", activation: relu}, name: " + name + "}";
}

std::string Layers() {
  return "[{reshape: [1, 28, 28]}, {conv: {filters: 8, kernel: 3, padding: 1, bias: false}, name: "
         "first}, {batch_norm: {}, name: norm}, relu, " +
         Block("a", 8, 1) + ", " + Block("b", 16, 2) + ", " + Block("c", 24, 2) +
         ", global_average_pool, flatten, {dense: 10, name: head}]";
}

StepGraph BuildStep(DType precision, int64_t shards) {
  const nn::Network network =
      MakeNetwork(Layers(), "softmax_cross_entropy", {precision, Shape{28, 28}},
                  {DType::kI64, Shape{}, 10}, precision);
  return BuildStepGraph(network, Optimizer("adamw: {learning_rate: 0.002, weight_decay: 0.05}"),
                        kBatch, shards, Ops(), precision);
}

// The values of the trace's model by the names of ours.
std::map<std::string, Tensor> Initial() {
  const formats::SafetensorsFile golden = Golden(kName);
  std::map<std::string, Tensor> values;
  const auto norm = [&](const std::string& to, const std::string& from) {
    values[to + ".scale"] = golden.Get("init." + from + ".weight");
    for (const char* part : {".bias", ".running_mean", ".running_var"}) {
      values[to + part] = golden.Get("init." + from + part);
    }
  };
  values["first.weight"] = golden.Get("init.0.weight");
  norm("norm", "1");
  const std::vector<std::pair<std::string, std::string>> blocks = {
      {"a", "3"}, {"b", "4"}, {"c", "5"}};
  for (const auto& [to, from] : blocks) {
    values[to + ".0.weight"] = golden.Get("init." + from + ".conv1.weight");
    values[to + ".3.weight"] = golden.Get("init." + from + ".conv2.weight");
    norm(to + ".1", from + ".bn1");
    norm(to + ".4", from + ".bn2");
    if (to == "a") continue;
    values[to + ".shortcut.0.weight"] = golden.Get("init." + from + ".down.0.weight");
    norm(to + ".shortcut.1", from + ".down.1");
  }
  values["head.weight"] = Transposed(golden.Get("init.8.weight"));
  values["head.bias"] = golden.Get("init.8.bias");
  return values;
}

std::vector<double> Interpreted(DType precision, int64_t shards, int64_t steps) {
  Trainer trainer(BuildStep(precision, shards));
  for (const auto& [name, value] : Initial()) trainer.Set(name, value, precision);
  MnistBatches batches(precision, kBatch, Shape{28, 28});
  std::vector<double> losses;
  for (int64_t s = 0; s < steps; ++s) {
    batches.Fill(s);
    losses.push_back(trainer.Step(batches.x(), batches.y(), 0.002));
  }
  return losses;
}

struct Trained {
  std::vector<double> losses;
  StepTestOutcome outcome;
};

Trained Compiled(int64_t shards, int threads, int64_t steps) {
  const StepGraph step = BuildStep(DType::kF32, shards);
  const auto program = compiler::CompileStep(*step.graph, Ops());
  // Eight sums forward and eight backward cut the shards into parts.
  EXPECT_GE(program->parts.size(), 15u);
  runtime::StepEngine engine({program}, threads);
  for (const auto& [name, tensor] : InitialStates(step)) engine.WriteState(name, tensor);
  for (const auto& [name, value] : Initial()) engine.WriteState(name, value.Cast(DType::kF32));
  const auto batches = MnistTraceBatches(DType::kF32, kBatch);
  Trained run;
  engine.Run(
      StepTestRequest(step, compiler::PlanOf(*program), *batches, steps, 0.002f, run.outcome));
  for (const std::vector<double>& sums : run.outcome.sums) run.losses.push_back(sums[0] / sums[1]);
  ReadStates(engine, run.outcome);
  return run;
}

TEST(GoldenResidualTest, FollowsTheTraceInF64) {
  ExpectFollowsF64(Golden(kName), Interpreted(DType::kF64, 3, 40));
}

TEST(GoldenResidualTest, CompiledFollowsTheTrace) {
  const formats::SafetensorsFile golden = Golden(kName);
  const Trained run = Compiled(2, 2, 40);
  ExpectFollowsF32(golden, run.losses);
  for (const char* part : {"running_mean", "running_var"}) {
    const auto seen = run.outcome.states.at(std::string("norm.") + part).ToDoubles();
    const auto expected = golden.Get(std::string("final.1.") + part).ToDoubles();
    for (size_t i = 0; i < seen.size(); ++i) EXPECT_NEAR(seen[i], expected[i], 1e-3) << part << i;
  }
}

TEST(GoldenResidualTest, HasTheSameBitsForEveryNumberOfThreads) {
  const Trained alone = Compiled(5, 1, 6);
  for (const int threads : {2, 3, 7}) {
    const Trained seen = Compiled(5, threads, 6);
    EXPECT_EQ(seen.losses, alone.losses) << threads << " threads";
    for (const auto& [name, tensor] : alone.outcome.states) {
      const Tensor& other = seen.outcome.states.at(name);
      EXPECT_EQ(std::memcmp(other.raw(), tensor.raw(), tensor.bytes()), 0)
          << name << " with " << threads << " threads";
    }
  }
}

}  // namespace
}  // namespace ingot::train
