// A GPT with clipping by the global norm against a training trace made with PyTorch: by the
// reference kernels, and compiled.
#include <cstring>

#include "ingot/runtime/step_program.h"
#include "ingot/train/golden_trace_test_util.h"
#include "ingot/train/step_program_test_util.h"

namespace ingot::train {
namespace {

constexpr int64_t kBatch = 8;
constexpr int64_t kLength = 32;
constexpr const char* kName = "gpt_adamw_clip";

StepGraph BuildStep(DType precision, int64_t shards) {
  const nn::Network network = MakeNetwork(
      "[{embedding: {vocabulary: 64, width: 48}, name: tok}, {position_embedding: {}, name: pos}, "
      "{repeat: {times: 2, layers: [{transformer_block: {heads: 4, causal: true, activation: "
      "gelu_tanh}, name: block}]}, name: blocks}, {layer_norm: {}, name: ln}, {tied_dense: tok, "
      "name: head}]",
      "softmax_cross_entropy", {DType::kI64, Shape{kLength}, 64}, {DType::kI64, Shape{kLength}, 64},
      precision);
  nn::OptimizerOptions optimizer =
      Optimizer("adamw: {learning_rate: 0.003, beta2: 0.95, weight_decay: 0.1}");
  optimizer.clip_norm = 1;
  return BuildStepGraph(network, optimizer, kBatch, shards, Ops(), precision);
}

// The values of the trace's model by the names of ours.
std::map<std::string, Tensor> Initial() {
  const formats::SafetensorsFile golden = Golden(kName);
  std::map<std::string, Tensor> values;
  const auto get = [&](const std::string& name) { return golden.Get("init." + name); };
  const auto norm = [&](const std::string& to, const std::string& from) {
    values[to + ".scale"] = get(from + ".weight");
    values[to + ".bias"] = get(from + ".bias");
  };
  const auto linear = [&](const std::string& to, const std::string& from) {
    values[to + ".weight"] = Transposed(get(from + ".weight"));
    values[to + ".bias"] = get(from + ".bias");
  };
  values["tok.weight"] = get("tok.weight");
  values["pos.weight"] = get("pos.weight");
  for (const char* block : {"blocks.0.", "blocks.1."}) {
    const std::string from = block;
    const std::string to = from + "block.";
    norm(to + "norm_1", from + "ln1");
    norm(to + "norm_2", from + "ln2");
    linear(to + "attention.qkv", from + "qkv");
    linear(to + "attention.output", from + "proj");
    linear(to + "feed_forward.up", from + "fc1");
    linear(to + "feed_forward.down", from + "fc2");
  }
  norm("ln", "ln");
  return values;
}

// Step s sees the rows 8 s to 8 s + 7 of the trace's x, whose tokens are their own next labels.
class TraceTokens : public runtime::BatchSource {
 public:
  TraceTokens() : rows_(Golden(kName).Get("x").Cast(DType::kI64)) {}
  void Fill(int64_t step, int64_t first, int64_t count,
            std::span<void* const> inputs) const override {
    const int64_t* all = rows_.data<int64_t>().data();
    for (int64_t i = 0; i < count; ++i) {
      const int64_t* row = all + (step * kBatch + first + i) * (kLength + 1);
      std::copy_n(row, kLength, static_cast<int64_t*>(inputs[0]) + i * kLength);
      std::copy_n(row + 1, kLength, static_cast<int64_t*>(inputs[1]) + i * kLength);
    }
  }

 private:
  Tensor rows_;
};

std::vector<double> Interpreted(DType precision, int64_t shards) {
  Trainer trainer(BuildStep(precision, shards));
  for (const auto& [name, value] : Initial()) trainer.Set(name, value, precision);
  const TraceTokens tokens;
  Tensor x(DType::kI64, Shape{kBatch, kLength});
  Tensor y(DType::kI64, Shape{kBatch, kLength});
  const std::vector<void*> inputs = {x.raw(), y.raw()};
  std::vector<double> losses;
  for (int64_t s = 0; s < 50; ++s) {
    tokens.Fill(s, 0, kBatch, inputs);
    losses.push_back(trainer.Step(x, y, 0.003));
  }
  return losses;
}

struct Trained {
  std::vector<double> losses;
  std::map<std::string, Tensor> states;
};

Trained Compiled(int64_t shards, int threads) {
  const StepGraph step = BuildStep(DType::kF32, shards);
  const auto program = compiler::CompileStep(*step.graph, Ops());
  // Shards, gradients, their norms, the scale, the updates.
  EXPECT_EQ(program->stages.size(), 5u);
  runtime::StepEngine engine({program}, threads);
  for (const auto& [name, tensor] : InitialStates(step)) engine.WriteState(name, tensor);
  for (const auto& [name, value] : Initial()) engine.WriteState(name, value.Cast(DType::kF32));
  const TraceTokens tokens;
  Trained trained;
  runtime::StepRequest request;
  request.count = 50;
  request.source = &tokens;
  request.scalars = [](int64_t, std::span<float> scalars) { scalars[0] = 0.003f; };
  request.on_sums = [&](int64_t, std::span<const float> sums) {
    trained.losses.push_back(double{sums[0]} / double{sums[1]});
  };
  engine.Run(request);
  for (const std::string& name : engine.StateNames()) {
    trained.states[name] = engine.ReadState(name);
  }
  return trained;
}

TEST(GoldenTransformerTest, FollowsTheTraceInF64) {
  ExpectFollowsF64(Golden(kName), Interpreted(DType::kF64, 3));
}

TEST(GoldenTransformerTest, CompiledFollowsTheTrace) {
  ExpectFollowsF32(Golden(kName), Compiled(2, 2).losses);
}

TEST(GoldenTransformerTest, HasTheSameBitsForEveryNumberOfThreads) {
  const Trained alone = Compiled(4, 1);
  for (const int threads : {2, 3, 7}) {
    const Trained seen = Compiled(4, threads);
    EXPECT_EQ(seen.losses, alone.losses) << threads << " threads";
    for (const auto& [name, tensor] : alone.states) {
      EXPECT_EQ(std::memcmp(seen.states.at(name).raw(), tensor.raw(), tensor.bytes()), 0)
          << name << " with " << threads << " threads";
    }
  }
}

}  // namespace
}  // namespace ingot::train
