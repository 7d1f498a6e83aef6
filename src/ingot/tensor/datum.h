// Datum: what a value of a graph is at run time: a tensor, a sequence of such values, or nothing
// (an input that is left out, an optional without a value). An optional with a value is that value.
//
// Cheap to copy: tensors share their bytes, sequences their elements. Immutable.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ingot/tensor/tensor.h"

namespace ingot {

class Datum {
 public:
  Datum() = default;  // nothing
  // An empty tensor is nothing.
  Datum(Tensor tensor) : tensor_(std::move(tensor)) {}  // NOLINT: a tensor is a datum
  static Datum Sequence(std::vector<Datum> elements);

  bool is_nothing() const { return tensor_.empty() && elements_ == nullptr; }
  bool is_tensor() const { return !tensor_.empty(); }
  bool is_sequence() const { return elements_ != nullptr; }

  // Empty where this is nothing; throws Error(kInvalidInput) for a sequence.
  const Tensor& tensor() const;
  // Throws Error(kInvalidInput) where this is no sequence.
  const std::vector<Datum>& elements() const;

  // "f32[2, 3]", "a sequence of 3", "nothing".
  std::string Describe() const;

 private:
  Tensor tensor_;
  std::shared_ptr<const std::vector<Datum>> elements_;
};

}  // namespace ingot
