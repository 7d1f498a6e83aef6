// Plans of transfers: see transfer_plan.h.
#include "ingot/dist/transfer_plan.h"

#include <utility>

namespace ingot::dist {
namespace {

using runtime::MeshValue;

uint64_t BytesOf(const runtime::StepProgram& program, const MeshValue& value, ShardRange shards) {
  if (!value.is_rows) return value.bytes;
  const uint64_t row = program.parts[value.slot_value.part].slot_row_bytes[value.slot_value.index];
  uint64_t bytes = 0;
  for (int s = shards.begin; s < shards.end; ++s) {
    bytes += row * static_cast<uint64_t>(program.shard_rows(s));
  }
  return bytes;
}

// A sum along the tree over the places of a group.
ExchangePlan PlanOfSum(const MeshValue& value, uint64_t bytes, std::vector<int> group, int own,
                       Channel channel) {
  const int leaves = static_cast<int>(group.size());
  ExchangePlan plan = MakeExchangePlan(DealShards(leaves, leaves), leaves);
  plan.AddSegment(value.name, value.dtype, bytes);
  plan.peers = std::move(group);
  plan.own = own;
  plan.channel = channel;
  plan.Place(0, own);
  return plan;
}

}  // namespace

TransferPlan MakeTransferPlan(const runtime::StepProgram& program,
                              const std::vector<MeshValue>& values, ShardRange shards,
                              const MeshShape& shape, const MeshPlace& place, TransferHalf half) {
  TransferPlan plan;
  const std::vector<int> stages = shape.pipeline_group(place);
  const auto stage = static_cast<size_t>(place.pipeline);
  for (const MeshValue& value : values) {
    TransferAction action;
    action.value = value;
    action.shards = shards;
    const bool turns = value.what == MeshValue::What::kTurns;
    if (half == TransferHalf::kSecond && !turns) continue;
    switch (value.what) {
      case MeshValue::What::kSum: {
        const bool along = value.along_pipeline;
        action.channel = along ? Channel::kPipeline : Channel::kTensor;
        action.plan = PlanOfSum(value, BytesOf(program, value, shards),
                                along ? stages : shape.tensor_group(place),
                                along ? place.pipeline : place.tensor, action.channel);
        break;
      }
      case MeshValue::What::kComes:
        action.kind = TransferAction::Kind::kReceive;
        action.peer = stages[stage - 1];
        action.channel = Channel::kForward;
        break;
      case MeshValue::What::kTurns:
        action.kind = half == TransferHalf::kFirst ? TransferAction::Kind::kSend
                                                   : TransferAction::Kind::kReceive;
        action.peer = stages[stage + 1];
        action.channel = half == TransferHalf::kFirst ? Channel::kForward : Channel::kBackward;
        break;
      case MeshValue::What::kGoes:
        action.kind = TransferAction::Kind::kSend;
        action.peer = stages[stage - 1];
        action.channel = Channel::kBackward;
        break;
    }
    if (plan.name.empty()) plan.name = value.name;
    plan.actions.push_back(std::move(action));
  }
  return plan;
}

}  // namespace ingot::dist
