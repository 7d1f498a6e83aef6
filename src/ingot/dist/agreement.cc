// The plan of what the workers of a mesh agree on.
#include "ingot/dist/agreement.h"

#include <utility>

#include "ingot/tensor/dtype.h"

namespace ingot::dist {

// The first segment of a plan is the flag of what is not finite.
constexpr size_t kSegmentsInFront = 1;

Agreement::Agreement(const MeshPosition& mesh, DistributedProgram& program) : mesh_(mesh) {
  const int workers = mesh.shape.workers();
  plan_ = MakeExchangePlan(DealShards(workers, workers), workers);
  program.sums.clear();
  for (const SumOutput& sum : mesh.sums) {
    plan_.AddSegment(sum.name, sum.dtype, ItemSize(sum.dtype));
    program.sums.push_back(sum.name);
  }
  program.shared_bytes = plan_.Place(program.shared_bytes, mesh.shape.rank_of(mesh.place));
}

bool Agreement::is_said_here() const {
  const MeshPlace& place = mesh_.place;
  return place.data == 0 && place.tensor == 0 && place.pipeline + 1 == mesh_.shape.pipeline;
}

uint64_t Agreement::OwnSum(const runtime::ReduceUnit& unit) const {
  return plan_.partials + plan_.segments[static_cast<size_t>(unit.sum) + kSegmentsInFront].offset;
}

std::vector<runtime::ReduceUnit> Agreement::Units() const {
  std::vector<runtime::ReduceUnit> units;
  for (size_t i = 0; i < mesh_.sums.size(); ++i) {
    runtime::ReduceUnit unit;
    unit.source = {runtime::Operand::Space::kShared,
                   plan_.reduced + plan_.segments[i + kSegmentsInFront].offset};
    unit.dtype = mesh_.sums[i].dtype;
    unit.item_size = ItemSize(unit.dtype);
    unit.sum = static_cast<int>(i);
    unit.name = mesh_.sums[i].name;
    units.push_back(std::move(unit));
  }
  return units;
}

}  // namespace ingot::dist
