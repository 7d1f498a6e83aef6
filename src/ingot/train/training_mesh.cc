// A run of a model that is spread over the workers of a mesh: each has the engine of its part. What
// is brought together when, training_spread.cc says. See training_run.h.
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
  dist::ExchangePlans plans;
  for (const auto& program : OwnPart().programs) {
    programs.push_back(dist::MakeDistributedProgram(program, options, plans));
  }
  engine_ = std::make_unique<runtime::StepEngine>(std::move(programs), threads_);
  gathered_step_ = -1;
  group_->exchange->SetPlans(std::move(plans));
}

}  // namespace ingot::train
