// A run whose workers hold parts of the state: of a model on a mesh, or of the optimizer's state
// where each updates its part of the parameters. The lead brings the parts together for a
// checkpoint, and all do for a validation. See training_run.h.
//
// Where a worker is lost, its part is lost with it, and all go back to the newest checkpoint. One
// that joins is waited for at the end of a step, at which the lead takes all parts, and gives them
// out anew.
#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "ingot/base/error.h"
#include "ingot/base/text.h"
#include "ingot/compiler/compile.h"
#include "ingot/train/training_run.h"

namespace ingot::train {

bool TrainingRun::IsPart(const std::string& name) const {
  if (setup_.mesh) return true;
  const runtime::StepProgram& program = *setup_.programs[0];
  for (size_t i = 0; i < program.states.size(); ++i) {
    if (program.states[i].name == name) return dist::Ownership::IsPart(program, ownerships_[0], i);
  }
  return false;
}

// Lead alone: of what all hold, and what it has brought together.
Tensor TrainingRun::ReadWhole(const std::string& name) const {
  if (!IsSpread()) return is_over_ ? engine_->ViewState(name) : engine_->ReadState(name);
  const auto found = whole_.find(name);
  if (found != whole_.end()) return found->second;
  INGOT_ASSERT(!IsPart(name), "'" + name + "' was not brought together");
  return engine_->ReadState(name);
}

void TrainingRun::WriteWhole(const std::string& name, const Tensor& value) {
  if (IsSpread()) {
    whole_.insert_or_assign(name, value);
  } else {
    engine_->WriteState(name, value);
  }
}

// The engine of a worker that updates its part of the parameters.
void TrainingRun::EnterSharded() {
  if (holds_whole_) {
    for (const std::string& name : engine_->StateNames()) {
      if (!IsPart(name)) whole_.insert_or_assign(name, engine_->ReadState(name));
    }
  }
  ownerships_.clear();
  for (const auto& program : setup_.programs) {
    ownerships_.push_back(dist::DealUpdates(*program, Workers()));
    CheckDealtAlike(*program, ownerships_.back());
  }
  std::vector<std::shared_ptr<const runtime::StepProgram>> programs = setup_.programs;
  dist::ExchangePlans plans;
  if (Workers() > 1) {
    programs.clear();
    for (size_t i = 0; i < setup_.programs.size(); ++i) {
      dist::DistributedOptions options = ShareOptions();
      options.ownership = &ownerships_[i];
      options.buckets = &ownerships_[i].buckets;
      programs.push_back(dist::MakeDistributedProgram(setup_.programs[i], options, plans));
    }
  }
  engine_.reset();
  engine_ = std::make_unique<runtime::StepEngine>(std::move(programs), threads_);
  group_->exchange->SetPlans(std::move(plans));
  gathered_step_ = -1;
}

// The steps of short batches update the same state as those of full ones.
void TrainingRun::CheckDealtAlike(const runtime::StepProgram& program,
                                  const dist::Ownership& ownership) const {
  const runtime::StepProgram& first = *setup_.programs[0];
  for (size_t i = 0; i < program.states.size(); ++i) {
    const runtime::StateTensor part = dist::PartOfState(program, ownership, i, Rank());
    const runtime::StateTensor known = dist::PartOfState(first, ownerships_[0], i, Rank());
    if (part.name == known.name && part.first == known.first && part.shape == known.shape) continue;
    throw Error(
        ErrorCode::kUnsupported,
        fmt::format("train.shard_optimizer: batches of {} and of {} samples are computed in "
                    "steps that update '{}' in other places",
                    first.batch, program.batch, part.name),
        "make the number of samples a multiple of data.batch, or leave it out");
  }
}

// What a worker holds, and how it lies in the whole; of the optimizer's state, of parameters that
// all hold, everything.
std::vector<TrainingRun::HeldState> TrainingRun::HeldBy(int rank) const {
  std::vector<HeldState> held;
  if (setup_.mesh) {
    const dist::MeshShape& shape = setup_.mesh->shape;
    const MeshPart& part =
        setup_.mesh->parts[static_cast<size_t>(shape.part_of(shape.place_of(rank)))];
    for (const runtime::StateTensor& state : part.programs[0]->states) {
      const auto slice = part.slices.find(state.name);
      const bool is_cut = slice != part.slices.end();
      held.push_back(
          {state, is_cut ? slice->second.whole : state.shape, is_cut ? &slice->second : nullptr});
    }
    return held;
  }
  const runtime::StepProgram& program = *setup_.programs[0];
  for (size_t i = 0; i < program.states.size(); ++i) {
    held.push_back(
        {dist::PartOfState(program, ownerships_[0], i, rank), program.states[i].shape, nullptr});
  }
  return held;
}

Tensor TrainingRun::TakePart(const HeldState& held, const Tensor& whole) {
  if (held.slice != nullptr) return held.slice->Take(whole);
  Tensor part(held.state.dtype, held.state.shape);
  const auto first = static_cast<size_t>(held.state.first) * ItemSize(held.state.dtype);
  if (part.bytes() > 0) std::memcpy(part.raw(), whole.raw() + first, part.bytes());
  return part;
}

void TrainingRun::PutPart(const HeldState& held, const Tensor& part, Tensor& whole) {
  if (held.slice != nullptr) return held.slice->Put(part, whole);
  const auto first = static_cast<size_t>(held.state.first) * ItemSize(held.state.dtype);
  if (part.bytes() > 0) std::memcpy(whole.raw() + first, part.raw(), part.bytes());
}

// The lead has the whole from before, or begins, or takes the newest checkpoint, and gives each
// worker its part.
void TrainingRun::ShareSpreadState() {
  dist::GroupExchange& exchange = *group_->exchange;
  if (!IsLead()) {
    holds_whole_ = false;
    whole_.clear();
    ReceiveState(group_->view.lead);
    return;
  }
  if (!holds_whole_) {
    whole_.clear();
    epoch_sums_->Clear();
    interval_sums_->Clear();
    samples_per_rank_.clear();
    plateau_falls_ = 0;
    was_resumed_ = false;
    MakeMonitors();
    step_ = 0;
    saved_step_ = -1;
    Initialize();
    OpenLedger();
  }
  const std::string text = WriteRunState();
  for (int rank = 0; rank < Workers(); ++rank) {
    const bool is_own = rank == Rank();
    const uint64_t bytes = text.size();
    if (!is_own) exchange.Send(rank, &bytes, sizeof(bytes));
    if (!is_own) exchange.Send(rank, text.data(), text.size());
    for (const HeldState& held : HeldBy(rank)) {
      const auto known = whole_.find(held.state.name);
      Tensor value(held.state.dtype, held.state.shape);  // zeros
      if (known != whole_.end()) value = TakePart(held, known->second);
      if (is_own) {
        engine_->WriteState(held.state.name, value);
      } else {
        exchange.Send(rank, value.raw(), value.bytes());
      }
    }
  }
  holds_whole_ = false;
  whole_.clear();
}

// By all workers after the same step: the lead then has the whole state. A validation, a checkpoint
// and the end of the run may all want that of one step.
void TrainingRun::GatherState() {
  if (gathered_step_ == step_) return;
  dist::GroupExchange& exchange = *group_->exchange;
  const int lead = group_->view.lead;
  whole_.clear();
  for (const int holder : Holders()) {
    if (Rank() != holder && !IsLead()) continue;
    for (const HeldState& held : HeldBy(holder)) {
      if (!IsPart(held.state.name)) continue;  // the lead has it
      Tensor value(held.state.dtype, held.state.shape);
      if (Rank() == holder) value = engine_->ReadState(held.state.name);
      if (!IsLead()) {
        exchange.Send(lead, value.raw(), value.bytes());
        continue;
      }
      if (holder != lead) exchange.Receive(holder, value.raw(), value.bytes());
      auto& whole = whole_.try_emplace(held.state.name, held.state.dtype, held.whole).first->second;
      PutPart(held, value, whole);
    }
  }
  gathered_step_ = step_;
}

// The ranks that give their parts: of a mesh, of those that hold the same part the lead itself, or
// the first.
std::vector<int> TrainingRun::Holders() const {
  std::vector<int> holders;
  const int lead = group_->view.lead;
  const int count = setup_.mesh ? setup_.mesh->shape.parts() : Workers();
  for (int i = 0; i < count; ++i) {
    const bool leads =
        setup_.mesh && setup_.mesh->shape.part_of(setup_.mesh->shape.place_of(lead)) == i;
    holders.push_back(leads ? lead : i);
  }
  return holders;
}

// What the lead has brought together is not needed while steps are done.
void TrainingRun::ForgetWhole() {
  whole_.clear();
  gathered_step_ = -1;
}

// A worker wishes to join, and all have agreed on it behind the same step: the lead takes all parts
// into the next group. It leaves first, since who leaves breaks the group.
void TrainingRun::LeaveForNewGroup() {
  GatherState();
  dist::GroupExchange& exchange = *group_->exchange;
  char gathered = 1;
  if (IsLead()) {
    holds_whole_ = true;
    exchange.SendToOthers(&gathered, sizeof(gathered));
  } else {
    exchange.Receive(group_->view.lead, &gathered, sizeof(gathered));
  }
  throw runtime::ExchangeBroken("a worker joins");
}

// The model as it is evaluated, on every worker: for the time of a validation.
std::vector<formats::NamedTensor> TrainingRun::SharedModelParameters() {
  if (!ModelIsSpread()) return ModelParameters();
  GatherState();
  dist::GroupExchange& exchange = *group_->exchange;
  std::vector<formats::NamedTensor> parameters;
  if (IsLead()) {
    parameters = ModelParameters();
  } else {
    for (const nn::ParameterSpec& spec : setup_.network.parameters) {
      parameters.push_back({spec.name, Tensor(spec.dtype, spec.shape)});
    }
  }
  for (formats::NamedTensor& parameter : parameters) {
    Tensor& tensor = parameter.tensor;
    if (IsLead()) {
      exchange.SendToOthers(tensor.raw(), tensor.bytes());
    } else {
      exchange.Receive(group_->view.lead, tensor.raw(), tensor.bytes());
    }
  }
  return parameters;
}

bool TrainingRun::ModelIsSpread() const {
  if (setup_.mesh) return true;
  if (!IsSpread()) return false;
  return std::any_of(
      setup_.network.parameters.begin(), setup_.network.parameters.end(),
      [this](const nn::ParameterSpec& parameter) { return IsPart(ModelSource(parameter.name)); });
}

}  // namespace ingot::train
