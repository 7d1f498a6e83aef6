// The weights of Resize.
#include "ingot/ops/resampling.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "ingot/ops/shape_rule.h"
#include "ingot/tensor/shape.h"

namespace ingot::ops {
namespace {

// The input position of output position x.
double Original(const std::string& mode, double x, double input, double output_exact, double output,
                double scale, double roi_start, double roi_end) {
  if (mode == "half_pixel") return (x + 0.5) / scale - 0.5;
  if (mode == "asymmetric") return x / scale;
  if (mode == "align_corners") {
    return output_exact == 1 ? 0 : x * (input - 1) / (output_exact - 1);
  }
  if (mode == "pytorch_half_pixel") return output_exact == 1 ? -0.5 : (x + 0.5) / scale - 0.5;
  if (mode == "half_pixel_symmetric") {
    const double offset = input / 2 * (1 - output / output_exact);
    return offset + (x + 0.5) / scale - 0.5;
  }
  if (mode == "tf_crop_and_resize") {
    const double from_start = output_exact == 1
                                  ? (roi_end - roi_start) * (input - 1) / 2
                                  : x * (roi_end - roi_start) * (input - 1) / (output_exact - 1);
    return from_start + roi_start * (input - 1);
  }
  Refuse("attribute 'coordinate_transformation_mode' is '" + mode +
         "', expected half_pixel, half_pixel_symmetric, pytorch_half_pixel, align_corners, "
         "asymmetric or tf_crop_and_resize");
}

int64_t Nearest(const std::string& mode, double x) {
  const double low = std::floor(x);
  const double rest = x - low;
  double result = low;
  if (mode == "round_prefer_floor") {
    result = rest > 0.5 ? low + 1 : low;
  } else if (mode == "round_prefer_ceil") {
    result = rest >= 0.5 ? low + 1 : low;
  } else if (mode == "ceil") {
    result = std::ceil(x);
  } else if (mode != "floor") {
    Refuse("attribute 'nearest_mode' is '" + mode +
           "', expected round_prefer_floor, round_prefer_ceil, floor or ceil");
  }
  return static_cast<int64_t>(result);
}

double CubicKernel(double x, double a) {
  x = std::fabs(x);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
  return 0;
}

double LinearKernel(double x) {
  return std::max(0.0, 1 - std::fabs(x));
}

std::vector<ResizeTap> TapsAt(const ir::Node& node, double x, double scale, int64_t extent) {
  const std::string& mode = node.GetString("mode");
  const auto inside = [&](int64_t i) { return std::clamp<int64_t>(i, 0, extent - 1); };
  if (mode == "nearest") return {{inside(Nearest(node.GetString("nearest_mode"), x)), 1.0}};
  if (mode != "linear" && mode != "cubic") {
    Refuse("attribute 'mode' is '" + mode + "', expected nearest, linear or cubic");
  }
  const bool cubic = mode == "cubic";
  const bool antialias = node.GetInt("antialias") != 0;
  const double stretch = antialias ? std::min(scale, 1.0) : 1.0;
  const double a = node.GetFloat("cubic_coeff_a");
  const double radius = (cubic ? 2 : 1) / stretch;
  const bool exclude = node.GetInt("exclude_outside") != 0;
  std::vector<ResizeTap> taps;
  double sum = 0;
  for (double p = std::ceil(x - radius); p <= std::floor(x + radius); ++p) {
    const double distance = (p - x) * stretch;
    const double weight = cubic ? CubicKernel(distance, a) : LinearKernel(distance);
    const auto place = static_cast<int64_t>(p);
    if (weight == 0 || (exclude && (place < 0 || place >= extent))) continue;
    taps.push_back({inside(place), weight});
    sum += weight;
  }
  if (antialias || exclude) {
    for (ResizeTap& tap : taps) tap.weight /= sum;
  }
  return taps;
}

std::vector<size_t> AxesOf(const ir::Node& node, size_t rank) {
  std::vector<size_t> axes;
  if (const std::vector<int64_t>* given = node.FindInts("axes")) {
    for (const int64_t axis : *given) {
      axes.push_back(static_cast<size_t>(NormalizeAxis(axis, static_cast<int>(rank))));
    }
  } else {
    for (size_t i = 0; i < rank; ++i) axes.push_back(i);
  }
  return axes;
}

void SetSizes(const ir::Node& node, std::span<const int64_t> dims, std::span<const int64_t> sizes,
              ResizePlan& plan) {
  const std::vector<size_t>& axes = plan.axes;
  const std::string& policy = node.GetString("keep_aspect_ratio_policy");
  const bool smaller = policy == "not_larger";
  if (!smaller && policy != "not_smaller" && policy != "stretch") {
    Refuse("attribute 'keep_aspect_ratio_policy' is '" + policy +
           "', expected stretch, not_larger or not_smaller");
  }
  double common = smaller ? INFINITY : 0;
  for (size_t i = 0; i < axes.size(); ++i) {
    const double scale = static_cast<double>(sizes[i]) / static_cast<double>(dims[axes[i]]);
    common = smaller ? std::min(common, scale) : std::max(common, scale);
    plan.outputs[axes[i]] = sizes[i];
    plan.scales[axes[i]] = scale;
  }
  if (policy == "stretch") return;
  for (const size_t axis : axes) {
    plan.scales[axis] = common;
    plan.outputs[axis] =
        static_cast<int64_t>(std::floor(common * static_cast<double>(dims[axis]) + 0.5));
  }
}

}  // namespace

ResizePlan PlanResize(const ir::Node& node, std::span<const int64_t> dims,
                      std::span<const double> roi, std::span<const double> scales,
                      std::span<const int64_t> sizes) {
  const size_t rank = dims.size();
  ResizePlan plan;
  plan.outputs.assign(dims.begin(), dims.end());
  plan.scales.assign(rank, 1);
  plan.roi_start.assign(rank, 0);
  plan.roi_end.assign(rank, 1);
  plan.axes = AxesOf(node, rank);
  const std::vector<size_t>& axes = plan.axes;
  if (scales.empty() == sizes.empty()) Refuse("give either scales or sizes");
  const bool crops = node.GetString("coordinate_transformation_mode") == "tf_crop_and_resize";
  if (crops) {
    if (roi.size() != 2 * axes.size()) Refuse("roi must hold two numbers for each axis");
    for (size_t i = 0; i < axes.size(); ++i) {
      plan.roi_start[axes[i]] = roi[i];
      plan.roi_end[axes[i]] = roi[axes.size() + i];
    }
  }
  if ((sizes.empty() ? scales.size() : sizes.size()) != axes.size()) {
    Refuse("scales and sizes must hold one number for each of " + std::to_string(axes.size()) +
           " axes");
  }
  if (!sizes.empty()) {
    SetSizes(node, dims, sizes, plan);
  } else {
    for (size_t i = 0; i < axes.size(); ++i) {
      const double part = crops ? plan.roi_end[axes[i]] - plan.roi_start[axes[i]] : 1;
      plan.scales[axes[i]] = scales[i];
      plan.outputs[axes[i]] =
          static_cast<int64_t>(std::floor(static_cast<double>(dims[axes[i]]) * part * scales[i]));
    }
  }
  for (size_t i = 0; i < rank; ++i) {
    if (plan.outputs[i] < 0 || plan.outputs[i] > (int64_t{1} << 40) || !(plan.scales[i] > 0)) {
      Refuse("axis " + std::to_string(i) + " of " + Shape(dims).ToString() +
             " cannot be resized to " + std::to_string(plan.outputs[i]));
    }
  }
  return plan;
}

ResizeAxis AxisOf(const ir::Node& node, const ResizePlan& plan, int64_t extent, size_t axis) {
  ResizeAxis result;
  const int64_t outputs = plan.outputs[axis];
  const double scale = plan.scales[axis];
  const std::string& mode = node.GetString("coordinate_transformation_mode");
  const bool whole = plan.roi_start[axis] == 0 && plan.roi_end[axis] == 1;
  result.identity = outputs == extent && scale == 1 && whole;
  if (result.identity) return result;
  const auto input = static_cast<double>(extent);
  for (int64_t i = 0; i < outputs; ++i) {
    const double x =
        Original(mode, static_cast<double>(i), input, scale * input, static_cast<double>(outputs),
                 scale, plan.roi_start[axis], plan.roi_end[axis]);
    const bool outside = mode == "tf_crop_and_resize" && (x < 0 || x > input - 1);
    result.taps.push_back(outside || extent == 0 ? std::vector<ResizeTap>()
                                                 : TapsAt(node, x, scale, extent));
  }
  return result;
}

}  // namespace ingot::ops
