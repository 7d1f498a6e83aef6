// Pipeline parallelism: cuts the forward graph of a network into stages one behind the other.
#pragma once

#include <string>
#include <vector>

#include "ingot/ir/graph.h"
#include "ingot/ir/op.h"
#include "ingot/nn/network.h"

namespace ingot::train {

// Names in the graph of a stage: rows that came from the stage before (an ingot.MeshPass), and the
// output that goes to the next.
inline constexpr const char* kStageInput = "pipeline.in";
inline constexpr const char* kStageOutput = "pipeline.out";
// Of the step: the gradient of what came, which went back.
inline constexpr const char* kStageSent = "pipeline.sent";

// The numbers of nodes at which the network is cut into `stages`: the last node of each stage but
// the last one. The most that a stage has to do is as little as it can be. Cuts are where one value
// alone goes on, and where no parameter is used on both sides. Throws Error(kUnsupported) where
// there are too few such places.
std::vector<size_t> ChooseCuts(const nn::Network& network, int stages);

// Leaves in the network what stage `stage` computes, with its parameters.
void KeepStage(nn::Network& network, const ir::OpRegistry& registry,
               const std::vector<size_t>& cuts, int stage);

}  // namespace ingot::train
