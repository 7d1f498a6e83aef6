// NumericFault: where a step's first value that is not finite comes from: which input or op, of
// which layer, for which rows of the batch. Found by running the step again, op by op, with the
// reference kernels (ops/interpreter.h).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "ingot/ir/graph.h"
#include "ingot/tensor/tensor.h"

namespace ingot::train {

struct NumericFault {
  // "input 'x'", "parameter 'fc1.weight'", "Log node 'log' (layer 2 (dense 64))".
  std::string place;
  std::string op;     // "Log"; "" for an input or parameter
  std::string layer;  // "2 (dense 64)"; "" where it belongs to none
  std::string value;  // "NaN", "infinity" or "-infinity"
  // Rows of the batch it concerns, ascending: those that hold such a value, or all rows of the
  // shard where the value is no row of a sample (a gradient). Empty where it concerns no sample.
  std::vector<int64_t> rows;
};

// The first such value of a step in the order of execution, over all shards. `inputs`: a tensor for
// every input of the graph by name, rows of the data inputs along axis 0. Constants may be
// infinite. Nothing where every value is finite (the fault needs the rounding of the faster
// kernels). Throws what ops::Interpret throws.
std::optional<NumericFault> FindNumericFault(const ir::Graph& step,
                                             const std::map<std::string, Tensor>& inputs);

// The first element that is not finite, or nothing. Integer tensors are finite.
std::optional<int64_t> FirstNotFinite(const Tensor& tensor);

}  // namespace ingot::train
