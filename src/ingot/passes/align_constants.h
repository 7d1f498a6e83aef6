// Weights are viewed where they lie in a mapped file, wherever that is. What needs them aligned
// gets a copy; what kernels pack anyway (the weights of products and convolutions) is left in the
// file.
#pragma once

#include "ingot/ir/graph.h"
#include "ingot/tensor/tensor.h"

namespace ingot::passes {

// Whether its elements stand at multiples of their size.
bool IsAligned(const Tensor& tensor);

enum class AlignFor {
  kEverything,  // any kernel may read any Constant
  kPacking,     // weights of products and convolutions, f32, are left as they are
};
void AlignConstants(ir::Graph& graph, AlignFor purpose);

}  // namespace ingot::passes
