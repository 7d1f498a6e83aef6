// The section `mesh`: see mesh_options.h.
#include "ingot/train/mesh_options.h"

namespace ingot::train {

const OptionTable<MeshOptions>& MeshTable() {
  static const auto table =
      OptionTable<MeshOptions>("mesh",
                               "a model that is spread over data * tensor * pipeline processes")
          .Add("data", &MeshOptions::data,
               "groups of processes that hold the whole model together, each of which computes its "
               "part of every batch",
               Between(1, 1024))
          .Add("tensor", &MeshOptions::tensor,
               "processes that share each layer: columns and rows of dense layers, heads of "
               "attention, columns of embeddings",
               Between(1, 64))
          .Add("pipeline", &MeshOptions::pipeline,
               "processes that hold layers one behind the other, cut where each has as much to do",
               Between(1, 64))
          .Add("micro_batches", &MeshOptions::micro_batches,
               "of pipeline: parts of a batch that are on their way through it one behind the "
               "other; by default as many as logical shards, at most 8 for each stage",
               Between(1, 1024));
  return table;
}

}  // namespace ingot::train
