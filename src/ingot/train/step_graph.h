// The step of a job as one graph: forward, loss, backward for each logical shard, the reduction
// over shards in a fixed tree, and the optimizer's update. What compiler::CompileStep compiles.
//
// With a batch of B samples in S shards (all floats of the network's precision):
//   inputs   "x" [B, ...], "y" [B, ...] Role::kData; the parameters, Role::kParameter; the
//            optimizer's state, Role::kState; Role::kScalar: "random_key" i64[3] (seed, step from
//            0, 0) where a layer draws random numbers, "learning_rate" [], and "step" i64[] (from
//            1) where the optimizer counts
//   nodes    ingot.ShardMap over x and y, one ingot.TreeReduce for each of its partial outputs, one
//            update for each parameter
// With mixed precision, besides: rounded copies of parameters as inputs "NAME.bf16", which the
// updates replace; with f16 the state of the loss scale, an ingot.LossScale between gradients and
// updates, and an ingot.KeepWhenSkipped behind every update.
//   outputs  every parameter and state tensor under its input's name, aliased to that input;
//            "loss_sum" [], "weight_sum" [] (samples), "NAME_sum" [] for each metric, f32 or as the
//            metric's op gives it
// The loss that is minimised is loss_sum / weight_sum = the mean over the batch: the gradient of
// every sample is weighted by 1 / B.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "ingot/ir/graph.h"
#include "ingot/ir/op.h"
#include "ingot/nn/network.h"
#include "ingot/nn/optimizer.h"

namespace ingot::train {

// Products of 16-bit numbers in a network of f32 (passes/mixed_precision.h).
struct MixedPrecision {
  DType type = DType::kUndefined;  // kBf16 or kF16; kUndefined: all is f32
  // Layers whose products stay f32, with all that is in them: patterns of their paths ("head",
  // "blocks.0", "*.attention").
  std::vector<std::string> keep_f32;
  // Of f16: the loss is scaled, so that small gradients do not vanish
  // (ops/families/loss_scaling.cc).
  double loss_scale = 65536;
  int64_t growth_interval = 2000;

  bool is_active() const { return type != DType::kUndefined; }
  bool scales_loss() const { return type == DType::kF16; }
};

// State tensors of a step that scales its loss.
inline constexpr const char* kLossScale = "loss_scale";
inline constexpr const char* kGoodSteps = "loss_scale.good_steps";
inline constexpr const char* kSkippedSteps = "loss_scale.skipped_steps";

// Scalar inputs, f32, of a step whose gradients are added up over several (ops/families/
// accumulation.cc): whether they go on from the last step's, and whether the update waits for more.
inline constexpr const char* kContinues = "accumulation_continues";
inline constexpr const char* kWaits = "update_waits";
// "layers.0.weight.accumulated": the sum so far.
inline constexpr const char* kAccumulatedSuffix = ".accumulated";

struct StepGraph {
  std::unique_ptr<ir::Graph> graph;
  std::vector<nn::ParameterSpec> parameters;
  std::vector<nn::StateSpec> state;  // empty for evaluation
  std::vector<std::string> sums;     // names of the outputs: "loss_sum", "weight_sum", ...
  std::vector<std::string> rows;     // names of the outputs of a row for each sample: "output"
  int64_t batch = 0;
  int64_t shards = 0;  // as asked for, but no more than the batch
};

// Of a network that is one part of a model on a mesh (mesh_setup.h): what its step needs to know of
// the others. A stage of a pipeline takes rows from the one before, and gives back their gradient;
// the last one alone has the loss.
struct StepMesh {
  std::set<std::string> cut_parameters;  // of which this place has a part
  int stages = 1;
  int stage = 0;

  bool is_first() const { return stage == 0; }
  bool is_last() const { return stage + 1 == stages; }
};

// What `logical_shards: auto` means for batches of so many samples.
int64_t ChooseShards(const nn::Network& network, int64_t batch);

// One training step. With `accumulate` above 1 gradients are those of the mean over so many steps.
// With `x_scale` its input "x" is u8, and what the network sees is that times the scale, in f32: a
// quarter of the bytes then goes from the shards to the weight gradient of the first layer.
// `precision` must be the network's. The registry must outlive the graph.
// Throws Error(kInvalidInput) for a network without a loss, batch or shards below 1, or another
// precision; and what passes::Gradients throws.
StepGraph BuildStepGraph(const nn::Network& network, const nn::OptimizerOptions& optimizer,
                         int64_t batch, int64_t shards, const ir::OpRegistry& registry,
                         DType precision = DType::kF32, const MixedPrecision& mixed = {},
                         int64_t accumulate = 1, std::optional<float> x_scale = std::nullopt,
                         const StepMesh* mesh = nullptr);

enum class EvaluationOutputs {
  kSums,         // loss and metrics
  kSumsAndRows,  // and "output" [B, ...]
  kRows,         // "output" alone: no labels, no input "y"
};

// One step of evaluation: no gradient, no update, no aliased output. The network should be built
// with training = false. Throws as BuildStepGraph.
StepGraph BuildEvaluationGraph(const nn::Network& network, int64_t batch, int64_t shards,
                               const ir::OpRegistry& registry,
                               EvaluationOutputs outputs = EvaluationOutputs::kSums,
                               DType precision = DType::kF32);

}  // namespace ingot::train
