// The options that convolutions and pooling share: extents given once for all spatial axes or for
// each, and padding.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ingot/base/config.h"
#include "ingot/base/options.h"
#include "ingot/ir/builder.h"

namespace ingot::nn {

// The spatial extents of pictures [batch, C, spatial...]: 1 to 3 of them. Throws
// Error(kInvalidInput), naming `what`, for other ranks and unknown extents.
std::vector<int64_t> SpatialExtents(const std::string& what, const ir::Value* x);

// `3` or `[3, 5]`: checked where the job is read, spelled out for each axis when the rank is known.
// Throw Error(kInvalidInput) at the node's place.
template <typename T>
std::vector<T> Numbers(const ConfigNode& node) {
  if (!node.is_list()) return {ReadScalar<T>(node)};
  std::vector<T> numbers;
  for (const ConfigNode& item : node.items()) numbers.push_back(ReadScalar<T>(item));
  return numbers;
}
template <typename T>
void CheckPerAxis(const ConfigNode& node, const Limits& limits) {
  if (node.is_list() && (node.items().empty() || node.items().size() > 3)) {
    node.Fail("expected a number, or one for each of 1 to 3 axes, got " + node.Describe());
  }
  for (const T number : Numbers<T>(node)) CheckLimits(node, static_cast<double>(number), limits);
}
void CheckPerAxis(const ConfigNode& node, int64_t least);
std::vector<int64_t> PerAxis(const ConfigNode& node, size_t axes);

// `same` (the output has ceil(input / stride) places; of an odd number of zeros one more stands
// behind), `valid` (none), a number for all sides, one for each axis, or before and after each
// axis: [top, bottom, left, right].
void CheckPadding(const ConfigNode& node);
// ONNX's pads [begin of each axis..., end of each axis...].
std::vector<int64_t> Pads(const ConfigNode& node, const std::vector<int64_t>& input,
                          const std::vector<int64_t>& kernel, const std::vector<int64_t>& stride,
                          const std::vector<int64_t>& dilation);

// "3x3", "5".
std::string Times(const ConfigNode& node);

}  // namespace ingot::nn
