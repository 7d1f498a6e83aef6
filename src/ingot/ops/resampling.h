// Resize as what it is: along each axis, every output element is a weighted sum of input elements.
//
// The weights follow ONNX's Resize: modes nearest, linear and cubic, every
// coordinate_transformation_mode, nearest_mode, antialias, exclude_outside, and the policies of
// keep_aspect_ratio_policy. Positions outside the input are those of its edge.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "ingot/ir/op.h"

namespace ingot::ops {

struct ResizeTap {
  int64_t input;
  double weight;
};

// For each output position its taps; none where the position is outside of the region of interest
// (tf_crop_and_resize) and the output is extrapolation_value.
struct ResizeAxis {
  bool identity = false;  // the axis keeps its elements
  std::vector<std::vector<ResizeTap>> taps;
};

// What a node asks for each axis of an input.
struct ResizePlan {
  std::vector<size_t> axes;  // that may change: those that the node names, or all
  std::vector<int64_t> outputs;
  std::vector<double> scales;
  std::vector<double> roi_start, roi_end;
};

// `roi`, `scales` and `sizes` are absent where empty. Throws Error(kInvalidInput) where they do not
// fit the input's extents or the attributes.
ResizePlan PlanResize(const ir::Node& node, std::span<const int64_t> dims,
                      std::span<const double> roi, std::span<const double> scales,
                      std::span<const int64_t> sizes);

ResizeAxis AxisOf(const ir::Node& node, const ResizePlan& plan, int64_t extent, size_t axis);

}  // namespace ingot::ops
