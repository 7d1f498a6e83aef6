// Axes and indices.
#include "ingot/ops/axis_split.h"

#include <string>

#include "ingot/base/error.h"
#include "ingot/ops/shape_rule.h"

namespace ingot::ops {

AxisSplit::AxisSplit(std::span<const int64_t> dims, int64_t given_axis) {
  const auto axis = static_cast<size_t>(NormalizeAxis(given_axis, static_cast<int>(dims.size())));
  for (size_t i = 0; i < axis; ++i) outer *= dims[i];
  extent = dims[axis];
  for (size_t i = axis + 1; i < dims.size(); ++i) inner *= dims[i];
}

int64_t CheckedIndex(int64_t index, int64_t extent, int64_t element) {
  if (index < -extent || index >= extent) {
    throw Error(ErrorCode::kInvalidInput,
                "index " + std::to_string(index) + " (element " + std::to_string(element) +
                    " of indices) is outside an axis of extent " + std::to_string(extent));
  }
  return index < 0 ? index + extent : index;
}

std::vector<int64_t> CheckedIndices(const TensorView& view, int64_t extent) {
  std::vector<int64_t> indices = ReadInts(view);
  for (size_t i = 0; i < indices.size(); ++i) {
    indices[i] = CheckedIndex(indices[i], extent, static_cast<int64_t>(i));
  }
  return indices;
}

void RequireIndices(const ir::InferContext& context, size_t input) {
  const DType dtype = context.input(input).dtype();
  if (dtype == DType::kI32 || dtype == DType::kI64) return;
  throw Error(ErrorCode::kInvalidInput,
              "indices are " + context.input(input).ToString() + ", expected i32 or i64",
              "convert them with Cast");
}

}  // namespace ingot::ops
