// A run of a model that is spread over the workers of a mesh: each has the engine of its part, and
// the lead brings the parts together for checkpoints and all do for a validation. See
// training_run.h.
#include <algorithm>

#include <fmt/format.h>

#include "ingot/base/error.h"
#include "ingot/train/training_run.h"

namespace ingot::train {

void TrainingRun::CheckMesh() const {
  if (!setup_.mesh) return;
  const dist::MeshShape& shape = setup_.mesh->shape;
  const int workers = request_.group ? request_.group->expected_workers : 1;
  if (workers == shape.workers()) return;
  throw Error(ErrorCode::kInvalidInput,
              fmt::format("the job's mesh ({}) has {} workers, but {} {} started", shape.ToString(),
                          shape.workers(), workers, workers == 1 ? "is" : "are"),
              fmt::format("start it with: ingot launch -n {}", shape.workers()));
}

const MeshPart& TrainingRun::OwnPart() const {
  const dist::MeshShape& shape = setup_.mesh->shape;
  return setup_.mesh->parts[static_cast<size_t>(shape.part_of(shape.place_of(Rank())))];
}

Tensor TrainingRun::ReadWhole(const std::string& name) const {
  if (!setup_.mesh) return engine_->ReadState(name);
  const auto found = whole_.find(name);
  INGOT_ASSERT(found != whole_.end(), "'" + name + "' was not brought together");
  return found->second;
}

void TrainingRun::WriteWhole(const std::string& name, const Tensor& value) {
  if (setup_.mesh) {
    whole_.insert_or_assign(name, value);
  } else {
    engine_->WriteState(name, value);
  }
}

// The engine of this worker's part, with its exchanges.
void TrainingRun::EnterMesh() {
  const MeshSetup& mesh = *setup_.mesh;
  INGOT_ASSERT(Workers() == mesh.shape.workers(), "a mesh has a worker at each place");
  const dist::MeshPosition position = mesh.PositionOf(Rank());
  dist::DistributedOptions options;
  options.rank = position.place.data;
  options.workers = mesh.shape.data;
  options.mesh = &position;
  std::vector<std::shared_ptr<const runtime::StepProgram>> programs;
  std::vector<dist::ExchangePlan> plans;
  std::vector<dist::TransferPlan> transfers;
  for (const auto& program : OwnPart().programs) {
    programs.push_back(dist::MakeDistributedProgram(program, options, plans, &transfers));
  }
  engine_ = std::make_unique<runtime::StepEngine>(std::move(programs), threads_);
  gathered_step_ = -1;
  group_->exchange->SetPlans(std::move(plans), std::move(transfers));
}

// The lead begins, or takes the newest checkpoint, and gives each worker its part.
void TrainingRun::ShareMeshState() {
  dist::GroupExchange& exchange = *group_->exchange;
  const MeshSetup& mesh = *setup_.mesh;
  if (!IsLead()) {
    ReceiveState(group_->view.lead);
    return;
  }
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
  const std::string text = WriteRunState();
  for (int rank = 0; rank < Workers(); ++rank) {
    const bool is_own = rank == Rank();
    const uint64_t bytes = text.size();
    if (!is_own) exchange.Send(rank, &bytes, sizeof(bytes));
    if (!is_own) exchange.Send(rank, text.data(), text.size());
    const auto part = static_cast<size_t>(mesh.shape.part_of(mesh.shape.place_of(rank)));
    const MeshPart& held = mesh.parts[part];
    for (const runtime::StateTensor& state : held.programs[0]->states) {
      const auto known = whole_.find(state.name);
      const auto slice = held.slices.find(state.name);
      Tensor value(state.dtype, state.shape);  // zeros
      if (known != whole_.end()) {
        value = slice == held.slices.end() ? known->second : slice->second.Take(known->second);
      }
      if (is_own) {
        engine_->WriteState(state.name, value);
      } else {
        exchange.Send(rank, value.raw(), value.bytes());
      }
    }
  }
  whole_.clear();
}

// By all workers after the same step: the lead then has the whole state. A validation, a checkpoint
// and the end of the run may all want that of one step.
void TrainingRun::GatherState() {
  if (gathered_step_ == step_) return;
  dist::GroupExchange& exchange = *group_->exchange;
  const MeshSetup& mesh = *setup_.mesh;
  const int lead = group_->view.lead;
  whole_.clear();
  for (int p = 0; p < mesh.shape.parts(); ++p) {
    const MeshPart& part = mesh.parts[static_cast<size_t>(p)];
    // Of those that hold the same part the lead itself, or the first.
    const bool leads = mesh.shape.part_of(mesh.shape.place_of(lead)) == p;
    const int holder = leads ? lead : p;
    if (Rank() != holder && !IsLead()) continue;
    for (const runtime::StateTensor& state : part.programs[0]->states) {
      Tensor value(state.dtype, state.shape);
      if (Rank() == holder) value = engine_->ReadState(state.name);
      if (!IsLead()) {
        exchange.Send(lead, value.raw(), value.bytes());
        continue;
      }
      if (holder != lead) exchange.Receive(holder, value.raw(), value.bytes());
      const auto slice = part.slices.find(state.name);
      if (slice == part.slices.end()) {
        whole_.insert_or_assign(state.name, std::move(value));
        continue;
      }
      auto& whole = whole_.try_emplace(state.name, state.dtype, slice->second.whole).first->second;
      slice->second.Put(value, whole);
    }
  }
  gathered_step_ = step_;
}

// The model as it is evaluated, on every worker: for the time of a validation.
std::vector<formats::NamedTensor> TrainingRun::SharedModelParameters() {
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
    if (!IsLead()) {
      exchange.Receive(group_->view.lead, tensor.raw(), tensor.bytes());
      continue;
    }
    for (int rank = 0; rank < Workers(); ++rank) {
      if (rank != Rank()) exchange.Send(rank, tensor.raw(), tensor.bytes());
    }
  }
  return parameters;
}

}  // namespace ingot::train
