// Tensors of any float type as f64, in which reference kernels compute, and back.
#pragma once

#include <vector>

#include "ingot/ir/op.h"
#include "ingot/tensor/tensor.h"

namespace ingot::ops {

// The first element.
double ReadDouble(const TensorView& view);
// All elements, in row-major order.
std::vector<double> ReadDoubles(const TensorView& view);
// Of an input; empty where it is absent.
std::vector<double> ReadDoubles(const ir::ReferenceCall& call, size_t input);
// As many values as `view` has elements, each rounded to its type.
void WriteDoubles(const std::vector<double>& values, const TensorView& view);

}  // namespace ingot::ops
