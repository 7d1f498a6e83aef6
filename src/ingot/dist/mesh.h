// The mesh of a job whose model is spread over several processes: along `data` they compute other
// shards of a batch, along `tensor` other columns of the same layers, along `pipeline` other
// layers. Those that differ along `data` alone hold the same part of the model.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace ingot::dist {

struct MeshPlace {
  int data = 0;
  int tensor = 0;
  int pipeline = 0;
};

struct MeshShape {
  int data = 1;
  int tensor = 1;
  int pipeline = 1;

  // "data 2, tensor 2, pipeline 1"
  std::string ToString() const {
    return "data " + std::to_string(data) + ", tensor " + std::to_string(tensor) + ", pipeline " +
           std::to_string(pipeline);
  }
  int workers() const { return data * tensor * pipeline; }
  // Parts of the model, and which of them a place holds.
  int parts() const { return tensor * pipeline; }
  int part_of(const MeshPlace& place) const { return place.pipeline * tensor + place.tensor; }

  // Neighbours along `tensor`, who talk the most, have ranks beside each other.
  int rank_of(const MeshPlace& place) const { return place.data * parts() + part_of(place); }
  MeshPlace place_of(int rank) const {
    return {rank / parts(), rank % tensor, rank / tensor % pipeline};
  }

  std::vector<int> data_group(MeshPlace place) const {
    std::vector<int> ranks;
    for (place.data = 0; place.data < data; ++place.data) ranks.push_back(rank_of(place));
    return ranks;
  }
  std::vector<int> tensor_group(MeshPlace place) const {
    std::vector<int> ranks;
    for (place.tensor = 0; place.tensor < tensor; ++place.tensor) ranks.push_back(rank_of(place));
    return ranks;
  }
  std::vector<int> pipeline_group(MeshPlace place) const {
    std::vector<int> ranks;
    for (place.pipeline = 0; place.pipeline < pipeline; ++place.pipeline) {
      ranks.push_back(rank_of(place));
    }
    return ranks;
  }
};

}  // namespace ingot::dist
