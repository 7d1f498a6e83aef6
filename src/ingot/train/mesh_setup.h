// The parts of a model that is spread over a mesh of workers: what each computes and holds.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ingot/compiler/compile.h"
#include "ingot/dist/distributed_program.h"
#include "ingot/dist/mesh.h"
#include "ingot/passes/split_tensor.h"
#include "ingot/runtime/step_program.h"
#include "ingot/train/job.h"
#include "ingot/train/step_graph.h"

namespace ingot::train {

// One part, of place (tensor, pipeline); workers that differ along `data` alone hold the same.
struct MeshPart {
  std::vector<std::shared_ptr<const runtime::StepProgram>> programs;
  std::map<std::string, passes::TensorSlice>
      slices;                       // of parameters and state that it has a part of
  std::vector<std::string> layers;  // that it computes
  uint64_t planned_bytes = 0;
  int recompute_segments = 0;  // as TrainingSetup has it
};

struct MeshSetup {
  dist::MeshShape shape;
  std::vector<MeshPart> parts;            // by MeshShape::part_of
  std::vector<dist::SumOutput> sums;      // of a step
  std::vector<std::string> split_layers;  // by `tensor`
  int micro_batches = 1;

  dist::MeshPosition PositionOf(int rank) const {
    return {shape, shape.place_of(rank), sums, micro_batches};
  }
};

struct MeshRequest {
  const Job* job = nullptr;
  const nn::Network* network = nullptr;           // whole
  const std::vector<StepGraph>* steps = nullptr;  // of the whole
  int64_t shards = 1;
  std::optional<float> x_scale;
  compiler::CompileOptions compile;
};

// Throws Error: kInvalidInput for what does not go with a mesh, kUnsupported where the network
// cannot be spread, kOutOfMemory where a part does not fit the job's memory_limit.
MeshSetup MakeMesh(const MeshRequest& request, const ir::OpRegistry& registry);

// For `ingot train --explain`.
std::string ExplainMesh(const MeshSetup& mesh);

}  // namespace ingot::train
