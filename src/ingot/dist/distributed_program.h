// DistributedProgram: a step program as one worker of a group runs it: its own shards, sums of its
// subtrees of them, and in the place of every reduction an exchange.
//
// Each stage with reductions becomes up to three: the worker's shards and the sums of its subtrees,
// the exchange, and what is done with the whole sums. Changes of parameters and state all come
// after the last exchange, so that a step that is broken off has changed nothing. Where each worker
// updates its part of the parameters alone, sums go to the one that needs them, and the new
// parameters are gathered behind the updates.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ingot/dist/exchange_plan.h"
#include "ingot/dist/mesh.h"
#include "ingot/dist/ownership.h"
#include "ingot/dist/transfer_plan.h"
#include "ingot/runtime/step_program.h"

namespace ingot::dist {

struct DistributedProgram : public runtime::StepProgram {
  std::shared_ptr<const runtime::StepProgram> base;  // owns what kernels refer to
};

// Which part of a step a program is: all of it; all but the changes of parameters and state; or
// what is done with sums that another program gave.
enum class StepPart : uint8_t { kWhole, kGradients, kUpdates };

// What a step sums for those who watch: loss, number of samples, metrics.
struct SumOutput {
  std::string name;
  DType dtype = DType::kF32;
};
std::vector<SumOutput> SumsOf(const runtime::StepProgram& program);

// Where a program holds a part of the model: its place, and what the places must agree about.
struct MeshPosition {
  MeshShape shape;
  MeshPlace place;
  std::vector<SumOutput> sums;  // of the last stage of the pipeline, which has the loss
  int micro_batches = 1;        // that are in the pipeline one after the other
};

struct DistributedOptions {
  int rank = 0;
  int workers = 1;
  StepPart part = StepPart::kWhole;
  Codec codec = Codec::kPlain;  // of gradients that are large enough
  double top_k = 0.01;
  const MeshPosition* mesh = nullptr;    // not owned; null: every worker holds the whole model
  const Ownership* ownership = nullptr;  // not owned; null: every worker updates all parameters
  // Gradients that are exchanged while others are computed, of Codec::kPlain; not owned; null:
  // none.
  const Buckets* buckets = nullptr;
};

// What the programs of a worker exchange; the index of each is that of its task.
struct ExchangePlans {
  std::vector<ExchangePlan> exchanges;
  std::vector<TransferPlan> transfers;  // of a mesh
  std::vector<GatherPlan> gathers;      // where each worker updates its part
};

// Adds to `plans`. `rank` and `workers` are those along the axis `data`. Throws
// Error(kUnsupported) where a step cannot be shared.
std::shared_ptr<const runtime::StepProgram> MakeDistributedProgram(
    std::shared_ptr<const runtime::StepProgram> base, const DistributedOptions& options,
    ExchangePlans& plans);

}  // namespace ingot::dist
