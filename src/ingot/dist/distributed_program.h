// DistributedProgram: a step program as one worker of a group runs it: its own shards, sums of its
// subtrees of them, and in the place of every reduction an exchange.
//
// Each stage with reductions becomes up to three: the worker's shards and the sums of its subtrees,
// the exchange, and what is done with the whole sums. Changes of parameters and state all come
// after the last exchange, so that a step that is broken off has changed nothing.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ingot/dist/exchange_plan.h"
#include "ingot/dist/mesh.h"
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
  const MeshPosition* mesh = nullptr;  // not owned; null: every worker holds the whole model
};

// `plans` takes the exchanges, `transfers` (of a mesh) those of its parts; their index there is
// that of their tasks. `rank` and `workers` are those along the axis `data`. Throws
// Error(kUnsupported) where a step cannot be shared.
std::shared_ptr<const runtime::StepProgram> MakeDistributedProgram(
    std::shared_ptr<const runtime::StepProgram> base, const DistributedOptions& options,
    std::vector<ExchangePlan>& plans, std::vector<TransferPlan>* transfers = nullptr);

}  // namespace ingot::dist
