// What a value of a graph is at run time.
#include "ingot/tensor/datum.h"

#include "ingot/base/error.h"

namespace ingot {

Datum Datum::Sequence(std::vector<Datum> elements) {
  Datum datum;
  datum.elements_ = std::make_shared<const std::vector<Datum>>(std::move(elements));
  return datum;
}

const Tensor& Datum::tensor() const {
  if (is_sequence()) {
    throw Error(ErrorCode::kInvalidInput, Describe() + " was given, expected a tensor");
  }
  return tensor_;
}

const std::vector<Datum>& Datum::elements() const {
  if (!is_sequence()) {
    throw Error(ErrorCode::kInvalidInput, Describe() + " was given, expected a sequence");
  }
  return *elements_;
}

std::string Datum::Describe() const {
  if (is_sequence()) return "a sequence of " + std::to_string(elements_->size());
  return is_tensor() ? tensor_.Describe() : "nothing";
}

}  // namespace ingot
