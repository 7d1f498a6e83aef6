// Whether a batch may be run some samples at a time, and how many.
//
// What the layers of a convolutional network write for 64 samples fills the caches many times over,
// while a few samples stay in them from layer to layer; and threads that take samples of their own
// never wait for each other. The weights are read once for each part, so that it pays where there
// are few of them for what a sample makes of them.
#pragma once

#include <cstdint>

#include "ingot/ir/graph.h"

namespace ingot::compiler {

// Samples of a part: a divisor of `batch`, or `batch` itself where parts do not pay, or where a
// sample's outputs are not known to depend on that sample alone. `graph`: before the passes that
// fuse, with static types, and `batch` the first extent of every input.
int64_t SamplesAtOnce(const ir::Graph& graph, int64_t batch);

// Whether each sample's outputs are known to depend on that sample alone, and to be its place of
// the outputs' first axis. `graph` as above.
bool IsBySample(const ir::Graph& graph, int64_t batch);

}  // namespace ingot::compiler
