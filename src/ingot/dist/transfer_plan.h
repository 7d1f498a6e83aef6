// TransferPlan: what a place of a mesh gives to and takes from those that hold other parts of the
// model, in one task of a step.
#pragma once

#include <string>
#include <vector>

#include "ingot/dist/exchange_plan.h"
#include "ingot/dist/mesh.h"
#include "ingot/runtime/step_program.h"

namespace ingot::dist {

struct TransferAction {
  enum class Kind : uint8_t { kSum, kSend, kReceive };
  Kind kind = Kind::kSum;
  runtime::MeshValue value;
  ShardRange shards;  // whose rows
  int peer = -1;      // of kSend and kReceive
  Channel channel = Channel::kAll;
  ExchangePlan plan;  // of kSum: of the packed values
};

struct TransferPlan {
  std::vector<TransferAction> actions;
  std::string name;
};

// What happens to values at their place in the forward direction, where they go or come, and (of
// kTurns) where they come back.
enum class TransferHalf : uint8_t { kFirst, kSecond };

// `rows`: of the shards in that range, the row bytes of each value times them. Empty where nothing
// is to be done in this half.
TransferPlan MakeTransferPlan(const runtime::StepProgram& program,
                              const std::vector<runtime::MeshValue>& values, ShardRange shards,
                              const MeshShape& shape, const MeshPlace& place, TransferHalf half);

}  // namespace ingot::dist
