// CompileStep: a step graph -> a StepProgram that runtime::StepEngine runs.
//
// The step graph of a training job, with a batch of B samples in S logical shards:
//   inputs   Role::kData       [B, ...] each, cut into shards by ingot.ShardMap
//            Role::kParameter, Role::kState
//            Role::kScalar     "learning_rate" f32[], "step" i64[] (counted from 1),
//                              "random_key" i64[3] = seed, step (from 0), first sample of the shard
//   nodes    ingot.ShardMap (what is computed for each shard), ingot.TreeReduce (where shards
//   meet),
//            the optimizer's update for each parameter
//   outputs  new parameters and state, aliased to their inputs; f32[] sums ("loss_sum",
//            "weight_sum", metric sums); [B, ...] rows ("output": predictions), by name
// An evaluation graph has no aliased outputs.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ingot/ir/graph.h"
#include "ingot/ir/op.h"

namespace ingot::runtime {
class StepProgram;
class Telemetry;
}  // namespace ingot::runtime

namespace ingot::compiler {

struct CompileOptions {
  // Passes that are switched off by name ("fuse_elementwise"); unknown names are errors.
  std::vector<std::string> disabled_passes;
  // Measures every kernel of the program (runtime/telemetry.h); null: none.
  std::shared_ptr<runtime::Telemetry> telemetry;
  // Above 1: only what crosses from one of so many segments of the forward pass to the next is
  // kept, the rest computed again (passes/recompute_activations.h); and weight gradients stay in
  // the shards, since those outside would need all activations.
  int recompute_segments = 0;
  // Weight gradients stay in the shards in any case.
  bool keep_weight_gradients_inside = false;
  std::string dump_directory;  // graphs before and after every pass; INGOT_DUMP in the environment
};

// What a compiled step consists of, for `ingot train --explain`, `ingot graph` and the summary.
struct StepPlan {
  std::vector<std::string> data_inputs;  // names in the order of BatchSource::Fill's pointers
  std::vector<std::string> sums;         // names in the order of on_sums
  std::vector<std::string> rows;         // names in the order of on_rows
  int64_t batch = 0;
  int64_t shards = 0;
  double flops = 0;          // of one step, a multiply-add counted as two
  uint64_t arena_bytes = 0;  // for each thread
  uint64_t state_bytes = 0;  // parameters and optimizer state
  std::string digest;        // of the choice of kernels; equal digests, equal bits
  std::string description;   // stages, tasks and kernels as text
};

// Throws Error(kUnsupported) naming an op without a kernel, kInvalidInput for a graph that is not a
// step graph. The registry must outlive the program.
std::shared_ptr<const runtime::StepProgram> CompileStep(const ir::Graph& step,
                                                        const ir::OpRegistry& registry,
                                                        const CompileOptions& options = {});

const StepPlan& PlanOf(const runtime::StepProgram& program);

// Bytes that an engine with so many threads takes for these programs.
uint64_t EngineBytes(const std::vector<std::shared_ptr<const runtime::StepProgram>>& programs,
                     int threads);

// What the network does for one sample, as far as that decides on the number of shards.
struct SampleWork {
  int64_t largest_layer_parameters = 0;  // read for each place of the layer's output
  int64_t multiplications = 0;           // of all parameters with activations, forward
};

// The number of shards that `logical_shards: auto` means: a function of the job alone (batch and
// network), never of the machine.
int64_t ChooseShards(int64_t batch, const SampleWork& work);

}  // namespace ingot::compiler
