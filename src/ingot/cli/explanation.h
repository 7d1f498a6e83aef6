// What `ingot train --explain` prints: what would be trained, and how.
#pragma once

#include <string>

#include "ingot/train/setup.h"

namespace ingot::cli {

// The resolved job, the layers with shapes and parameters, work and memory of a step, the choice of
// shards, the kernels.
std::string ExplanationText(const train::TrainingSetup& setup, int threads);
// The same as one JSON object.
std::string ExplanationJson(const train::TrainingSetup& setup, int threads);

}  // namespace ingot::cli
