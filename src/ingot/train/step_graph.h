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
//   outputs  every parameter and state tensor under its input's name, aliased to that input;
//            "loss_sum" [], "weight_sum" [] (samples), "NAME_sum" [] for each metric, f32 or as the
//            metric's op gives it
// The loss that is minimised is loss_sum / weight_sum = the mean over the batch: the gradient of
// every sample is weighted by 1 / B.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ingot/ir/graph.h"
#include "ingot/ir/op.h"
#include "ingot/nn/network.h"
#include "ingot/nn/optimizer.h"

namespace ingot::train {

struct StepGraph {
  std::unique_ptr<ir::Graph> graph;
  std::vector<nn::ParameterSpec> parameters;
  std::vector<nn::StateSpec> state;  // empty for evaluation
  std::vector<std::string> sums;     // names of the outputs: "loss_sum", "weight_sum", ...
  std::vector<std::string> rows;     // names of the outputs of a row for each sample: "output"
  int64_t batch = 0;
  int64_t shards = 0;  // as asked for, but no more than the batch
};

// One training step. `precision` must be the network's. The registry must outlive the graph.
// Throws Error(kInvalidInput) for a network without a loss, batch or shards below 1, or another
// precision; and what passes::Gradients throws.
StepGraph BuildStepGraph(const nn::Network& network, const nn::OptimizerOptions& optimizer,
                         int64_t batch, int64_t shards, const ir::OpRegistry& registry,
                         DType precision = DType::kF32);

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
