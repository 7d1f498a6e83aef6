// The section `mesh` of a job: a model that is spread over several processes.
//
//   mesh: {data: 2, tensor: 2, pipeline: 1}    4 workers: ingot launch -n 4
#pragma once

#include <cstdint>
#include <optional>

#include "ingot/base/options.h"
#include "ingot/dist/mesh.h"

namespace ingot::train {

struct MeshOptions {
  int64_t data = 1;
  int64_t tensor = 1;
  int64_t pipeline = 1;
  std::optional<int64_t> micro_batches;  // none: chosen

  dist::MeshShape shape() const {
    return {static_cast<int>(data), static_cast<int>(tensor), static_cast<int>(pipeline)};
  }
};

const OptionTable<MeshOptions>& MeshTable();

}  // namespace ingot::train
