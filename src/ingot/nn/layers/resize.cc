// resize: pictures sampled at other positions, larger or smaller.
#include <cmath>

#include "ingot/base/error.h"
#include "ingot/nn/layers/layers.h"
#include "ingot/nn/layers/window_options.h"

namespace ingot::nn {

namespace {

struct ResizeOptions {
  ConfigNode scale;  // null: size is given
  std::vector<int64_t> size;
  std::string mode = "nearest";
  std::string coordinates = "half_pixel";
  bool antialias = false;
};

const OptionTable<ResizeOptions>& ResizeTable() {
  static const auto table =
      OptionTable<ResizeOptions>("resize",
                                 "pictures of another size: [batch, C, H, W] -> [batch, C, H', "
                                 "W'], along the axes behind the channels, one to three")
          .AddNode("scale", &ResizeOptions::scale,
                   "the new extents divided by the old, rounded down: 2, 0.5, or [2, 1] by axis")
          .Add("size", &ResizeOptions::size,
               "the new extents, in place of scale: [32, 48], or [32] for all axes", AtLeast(1))
          .AddChoice("mode", &ResizeOptions::mode,
                     "nearest: the element nearest by; linear, cubic: a weighted sum of 2 or 4 "
                     "along each axis",
                     {"nearest", "linear", "cubic"})
          .AddChoice("coordinates", &ResizeOptions::coordinates,
                     "what of the two sizes is laid on top of each other: the edges (half_pixel), "
                     "the outermost elements' centres (align_corners), the first elements "
                     "(asymmetric)",
                     {"half_pixel", "align_corners", "asymmetric"})
          .Add("antialias", &ResizeOptions::antialias,
               "linear and cubic: whether making smaller takes in all elements between")
          .Shorthand("scale");
  return table;
}

std::string DescribeResize(const ResizeOptions& options) {
  if (options.scale.is_null() == options.size.empty()) {
    throw Error(ErrorCode::kInvalidInput,
                options.size.empty() ? "resize takes a scale or a size, got neither"
                                     : "resize takes a scale or a size, got both",
                "for example resize: 2, or resize: {size: [32, 32]}");
  }
  std::string text = "resize";
  if (!options.size.empty()) {
    for (size_t i = 0; i < options.size.size(); ++i) {
      text += (i == 0 ? " to " : "x") + std::to_string(options.size[i]);
    }
  } else {
    CheckPerAxis<double>(options.scale, MoreThan(0));
    const std::vector<double> scales = Numbers<double>(options.scale);
    for (size_t i = 0; i < scales.size(); ++i) {
      text += (i == 0 ? " * " : "x") + WriteScalar(scales[i]).scalar();
    }
  }
  return text + " " + options.mode;
}

// The extents of the result.
std::vector<int64_t> Target(const ResizeOptions& options, const std::vector<int64_t>& input) {
  const auto check = [&](size_t count) {
    if (count == 1 || count == input.size()) return;
    throw Error(ErrorCode::kInvalidInput, "resize has " + std::to_string(count) +
                                              " numbers for the " + std::to_string(input.size()) +
                                              " axes behind the channels");
  };
  std::vector<int64_t> target = options.size;
  if (!target.empty()) {
    check(target.size());
    target.resize(input.size(), target[0]);
    return target;
  }
  std::vector<double> scales = Numbers<double>(options.scale);
  check(scales.size());
  scales.resize(input.size(), scales[0]);
  for (size_t i = 0; i < input.size(); ++i) {
    const double extent = std::floor(static_cast<double>(input[i]) * scales[i]);
    if (extent < 1 || extent > 1e9) {
      throw Error(ErrorCode::kInvalidInput,
                  "axis " + std::to_string(i + 2) + " has " + std::to_string(input[i]) +
                      " elements, which the scale " + WriteScalar(scales[i]).scalar() +
                      (extent < 1 ? " makes none" : " makes too many"));
    }
    target.push_back(static_cast<int64_t>(extent));
  }
  return target;
}

ir::Value* BuildResize(const ResizeOptions& options, LayerContext& context, ir::Value* x) {
  const std::vector<int64_t> input = SpatialExtents("resize", x);
  std::vector<int64_t> axes;
  for (int64_t axis = 2; axis < x->type().rank(); ++axis) axes.push_back(axis);
  ir::Builder& b = context.builder();
  return b.Op("Resize", {x, nullptr, nullptr, b.Ints(Target(options, input))},
              {{"axes", axes},
               {"mode", options.mode},
               {"coordinate_transformation_mode", options.coordinates},
               {"antialias", int64_t{options.antialias ? 1 : 0}}});
}

}  // namespace

LayerKind ResizeLayer() {
  return DefineLayer<ResizeOptions>(ResizeTable(), DescribeResize, BuildResize);
}

}  // namespace ingot::nn
