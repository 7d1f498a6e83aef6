// Conversions between tensors and f64.
#include "ingot/ops/doubles.h"

namespace ingot::ops {

double ReadDouble(const TensorView& view) {
  double value = 0;
  ConvertElements(view.data, view.dtype, &value, DType::kF64, 1);
  return value;
}

std::vector<double> ReadDoubles(const TensorView& view) {
  std::vector<double> values(static_cast<size_t>(view.size()));
  ConvertElements(view.data, view.dtype, values.data(), DType::kF64, view.size());
  return values;
}

std::vector<double> ReadDoubles(const ir::ReferenceCall& call, size_t input) {
  return call.has_input(input) ? ReadDoubles(call.input(input)) : std::vector<double>();
}

void WriteDoubles(const std::vector<double>& values, const TensorView& view) {
  ConvertElements(values.data(), DType::kF64, view.data, view.dtype, view.size());
}

}  // namespace ingot::ops
