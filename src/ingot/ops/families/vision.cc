// Reading pictures at positions between their elements: AffineGrid, GridSample, RoiAlign; and
// MaxRoiPool.
#include <algorithm>
#include <cmath>
#include <string>

#include "ingot/base/error.h"
#include "ingot/ops/broadcast.h"
#include "ingot/ops/doubles.h"
#include "ingot/ops/elementwise.h"
#include "ingot/ops/shape_rule.h"

namespace ingot::ops {
namespace {

using ir::Attribute;
using ir::Attributes;
using ir::Dimension;
using ir::Dimensions;
using ir::InferContext;
using ir::Type;
using Ints = std::vector<int64_t>;

// ---- AffineGrid ----

void RegisterAffineGrid(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "AffineGrid";
  op.since_version = 20;
  op.summary = "Where an affine map takes each position of a picture, in [-1, 1].";
  op.inputs = {Required("theta"), Required("size", "I")};
  op.outputs = {Required("grid")};
  op.attributes = {IntAttribute("align_corners", 0)};
  op.reference = [](const ir::ReferenceCall& call) {
    const bool align = call.node.GetInt("align_corners") != 0;
    const std::vector<double> theta = ReadDoubles(call.input(0));
    const TensorView& out = call.output();
    const auto axes = static_cast<size_t>(out.rank() - 2);
    if (theta.size() != static_cast<size_t>(out.dim(0)) * axes * (axes + 1)) {
      throw Error(ErrorCode::kInvalidInput, "theta does not hold a matrix for each sample");
    }
    const std::span<const int64_t> spatial = out.dims.subspan(1, axes);
    const int64_t positions = Product(spatial);
    std::vector<double> grid;
    for (int64_t n = 0; n < out.dim(0); ++n) {
      const double* matrix = theta.data() + n * static_cast<int64_t>(axes * (axes + 1));
      for (int64_t p = 0; p < positions; ++p) {
        // The last axis is the first coordinate.
        std::vector<double> base(axes + 1, 1);
        int64_t rest = p;
        for (size_t i = axes; i-- > 0; rest /= spatial[i]) {
          const auto at = static_cast<double>(rest % spatial[i]);
          const auto extent = static_cast<double>(spatial[i]);
          base[axes - 1 - i] =
              align ? (extent == 1 ? -1 : 2 * at / (extent - 1) - 1) : (2 * at + 1) / extent - 1;
        }
        for (size_t r = 0; r < axes; ++r) {
          double sum = 0;
          for (size_t c = 0; c <= axes; ++c) sum += matrix[r * (axes + 1) + c] * base[c];
          grid.push_back(sum);
        }
      }
    }
    WriteDoubles(grid, out);
  };
  SetShapeRule(op, [](const RuleInputs& in) -> std::vector<Type> {
    const Type& theta = in.type(0);
    const std::optional<Ints> size = in.ints(1);
    if (!size) return {Type::TensorOfUnknownRank(theta.dtype())};
    const auto axes = static_cast<int64_t>(size->size()) - 2;
    const bool fits = axes >= 1 && (!theta.has_rank() || theta.rank() == 3);
    if (!fits || (theta.is_static() && theta.shape() != Shape({size->at(0), axes, axes + 1}))) {
      throw Error(ErrorCode::kInvalidInput,
                  "theta " + theta.ToString() + " does not fit size " + Shape(*size).ToString());
    }
    Dimensions dims = {Dimension(size->at(0))};
    for (size_t i = 2; i < size->size(); ++i) dims.emplace_back((*size)[i]);
    dims.emplace_back(axes);
    return {Type::Tensor(theta.dtype(), std::move(dims))};
  });
  const OpCase::Input identity = Floats({1, 2, 3}, {1, 0, 0, 0, 1, 0});
  op.cases = {
      ExpectedOnly("centres", {identity, ConstantInts({1, 1, 1, 2})}, {-0.5, 0, 0.5, 0}),
      ExpectedOnly("corners", {identity, ConstantInts({1, 1, 2, 2})}, {-1, -1, 1, -1, -1, 1, 1, 1},
                   {{"align_corners", Attribute(int64_t{1})}})};
  registry.Add(std::move(op));
}

// ---- GridSample ----

enum class Outside { kZeros, kBorder, kReflection };

Outside OutsideOf(const ir::Node& node) {
  const std::string& mode = node.GetString("padding_mode");
  if (mode == "zeros") return Outside::kZeros;
  if (mode == "border") return Outside::kBorder;
  if (mode == "reflection") return Outside::kReflection;
  throw Error(ErrorCode::kInvalidInput,
              "attribute 'padding_mode' is '" + mode + "', expected zeros, border or reflection");
}

// x mirrored at the edges until it lies between them.
double Reflect(double x, double low, double high) {
  const double range = high - low;
  if (range <= 0) return low;
  double rest = std::fmod(std::fabs(x - low), 2 * range);
  if (rest > range) rest = 2 * range - rest;
  return low + rest;
}

struct SampleTap {
  int64_t place;  // -1: zero
  double weight;
};

// Along one axis: which places a coordinate in [-1, 1] reads, and with what weights.
class AxisSampler {
 public:
  explicit AxisSampler(const ir::Node& node)
      : align_(node.GetInt("align_corners") != 0), outside_(OutsideOf(node)) {
    const std::string& mode = node.GetString("mode");
    nearest_ = mode == "nearest";
    cubic_ = mode == "cubic" || mode == "bicubic";
    if (!nearest_ && !cubic_ && mode != "linear" && mode != "bilinear") {
      throw Error(ErrorCode::kInvalidInput,
                  "attribute 'mode' is '" + mode + "', expected linear, nearest or cubic");
    }
  }

  std::vector<SampleTap> Taps(double coordinate, int64_t extent) const {
    const auto size = static_cast<double>(extent);
    const double low = align_ ? 0 : -0.5, high = align_ ? size - 1 : size - 0.5;
    double x = align_ ? (coordinate + 1) / 2 * (size - 1) : ((coordinate + 1) * size - 1) / 2;
    if (nearest_) x = std::nearbyint(x);
    if (x < low || x > high) {
      // Of cubic sampling each tap is taken to the border, with the weight of its own place.
      if (outside_ == Outside::kBorder && !cubic_) x = std::clamp(x, 0.0, size - 1);
      if (outside_ == Outside::kReflection) x = Reflect(x, low, high);
    }
    if (!(std::fabs(x) < 0x1p40)) return {{-1, 1.0}};
    if (nearest_) return {{Inside(static_cast<int64_t>(std::nearbyint(x)), extent), 1.0}};
    const double floor = std::floor(x);
    const double t = x - floor;
    const auto first = static_cast<int64_t>(floor);
    if (!cubic_) return {{Inside(first, extent), 1 - t}, {Inside(first + 1, extent), t}};
    std::vector<SampleTap> taps;
    for (int64_t i = -1; i <= 2; ++i) {
      taps.push_back({Inside(first + i, extent), Cubic(std::fabs(t - static_cast<double>(i)))});
    }
    return taps;
  }

 private:
  int64_t Inside(int64_t place, int64_t extent) const {
    if (place >= 0 && place < extent) return place;
    switch (outside_) {
      case Outside::kZeros:
        return -1;
      case Outside::kBorder:
        return std::clamp<int64_t>(place, 0, extent - 1);
      case Outside::kReflection:
        break;
    }
    const double low = align_ ? 0 : -0.5;
    const double high = static_cast<double>(extent) - (align_ ? 1 : 0.5);
    return std::clamp<int64_t>(static_cast<int64_t>(Reflect(static_cast<double>(place), low, high)),
                               0, extent - 1);
  }
  // Keys' kernel with a = -3/4.
  static double Cubic(double x) {
    constexpr double a = -0.75;
    if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    if (x < 2) return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
    return 0;
  }

  bool align_, nearest_ = false, cubic_ = false;
  Outside outside_;
};

// The weighted sum over the combinations of taps of all axes.
double SampleAt(const double* x, std::span<const int64_t> dims,
                const std::vector<std::vector<SampleTap>>& taps, size_t axis, int64_t base) {
  if (axis == dims.size()) return x[base];
  double sum = 0;
  for (const SampleTap& tap : taps[axis]) {
    if (tap.place < 0 || tap.weight == 0) continue;
    sum += tap.weight * SampleAt(x, dims, taps, axis + 1, base * dims[axis] + tap.place);
  }
  return sum;
}

void RegisterGridSample(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "GridSample";
  op.since_version = 22;
  op.summary = "X read at the positions that a grid of coordinates in [-1, 1] names.";
  op.inputs = {Required("X"), Required("grid", "G")};
  op.outputs = {Required("Y")};
  op.attributes = {IntAttribute("align_corners", 0), StringAttribute("mode", "linear"),
                   StringAttribute("padding_mode", "zeros")};
  op.infer = [](InferContext& context) {
    const Type& x = context.input(0);
    const Type& grid = context.input(1);
    if (!x.has_rank() || !grid.has_rank()) {
      context.SetOutput(0, Type::TensorOfUnknownRank(x.dtype()));
      return;
    }
    if (x.rank() < 3 || grid.rank() != x.rank() ||
        (grid.dim(-1).is_static() && grid.dim(-1).value() != x.rank() - 2)) {
      throw Error(ErrorCode::kInvalidInput,
                  "the grid " + grid.ToString() + " does not fit X " + x.ToString());
    }
    Dimensions dims = {x.dim(0), x.dim(1)};
    dims.insert(dims.end(), grid.dims().begin() + 1, grid.dims().end() - 1);
    context.SetOutput(0, Type::Tensor(x.dtype(), std::move(dims)));
  };
  op.reference = [](const ir::ReferenceCall& call) {
    const TensorView& x = call.input(0);
    const AxisSampler sampler(call.node);
    const std::vector<double> values = ReadDoubles(x), grid = ReadDoubles(call.input(1));
    const std::span<const int64_t> spatial = x.dims.subspan(2);
    const size_t axes = spatial.size();
    const int64_t positions = Product(call.output().dims.subspan(2));
    const int64_t plane = Product(spatial), channels = x.dim(1);
    std::vector<double> out(static_cast<size_t>(call.output().size()));
    if (call.input(1).dim(0) != x.dim(0)) {
      throw Error(ErrorCode::kInvalidInput, "X and the grid have different batches");
    }
    for (int64_t n = 0; n < x.dim(0); ++n) {
      for (int64_t p = 0; p < positions; ++p) {
        const double* at = grid.data() + (n * positions + p) * static_cast<int64_t>(axes);
        std::vector<std::vector<SampleTap>> taps;
        for (size_t i = 0; i < axes; ++i) {
          taps.push_back(sampler.Taps(at[axes - 1 - i], spatial[i]));
        }
        for (int64_t c = 0; c < channels; ++c) {
          out[static_cast<size_t>((n * channels + c) * positions + p)] =
              SampleAt(values.data() + (n * channels + c) * plane, spatial, taps, 0, 0);
        }
      }
    }
    WriteDoubles(out, call.output());
  };
  const OpCase::Input x = Floats({1, 1, 2, 2}, {1, 2, 3, 4});
  const OpCase::Input grid = Floats({1, 1, 3, 2}, {-1, -1, 0, 0, 1, 0});
  const auto with = [](const char* mode, const char* padding, int64_t align) {
    return Attributes{{"mode", Attribute(std::string(mode))},
                      {"padding_mode", Attribute(std::string(padding))},
                      {"align_corners", Attribute(align)}};
  };
  op.cases = {
      ExpectedOnly("corners", {x, grid}, {1, 2.5, 3}, with("linear", "zeros", 1)),
      ExpectedOnly("zeros", {x, grid}, {0.25, 2.5, 1.5}, with("linear", "zeros", 0)),
      ExpectedOnly("border", {x, grid}, {1, 2.5, 3}, with("linear", "border", 0)),
      // As PyTorch has it.
      ExpectedOnly("cubic_border",
                   {Floats({1, 1, 1, 3}, {1, 2, 3}), Floats({1, 1, 2, 2}, {-1.25, 0, 0.875, 0})},
                   {0.98974609375, 3.11077880859375}, with("cubic", "border", 0)),
      ExpectedOnly("nearest", {x, Floats({1, 1, 1, 2}, {0.75, -0.75})}, {2},
                   with("nearest", "zeros", 0))};
  registry.Add(std::move(op));
}

// ---- RoiAlign and MaxRoiPool ----

// Bilinear reading of a plane; 0 more than a position outside.
// `largest`: the largest of the four weighted corners instead of their sum, as RoiAlign's mode max
// has it.
double Bilinear(const double* x, int64_t height, int64_t width, double row, double column,
                bool largest) {
  if (row < -1 || row > static_cast<double>(height) || column < -1 ||
      column > static_cast<double>(width)) {
    return 0;
  }
  row = std::clamp(row, 0.0, static_cast<double>(height - 1));
  column = std::clamp(column, 0.0, static_cast<double>(width - 1));
  const auto r = static_cast<int64_t>(row), c = static_cast<int64_t>(column);
  const int64_t r2 = std::min(r + 1, height - 1), c2 = std::min(c + 1, width - 1);
  const double u = row - static_cast<double>(r), v = column - static_cast<double>(c);
  const double corners[] = {(1 - u) * (1 - v) * x[r * width + c], (1 - u) * v * x[r * width + c2],
                            u * (1 - v) * x[r2 * width + c], u * v * x[r2 * width + c2]};
  if (largest) return *std::max_element(std::begin(corners), std::end(corners));
  return corners[0] + corners[1] + corners[2] + corners[3];
}

void RoiAlignReference(const ir::ReferenceCall& call) {
  const TensorView& x = call.input(0);
  const ir::Node& node = call.node;
  const std::vector<double> values = ReadDoubles(x), rois = ReadDoubles(call.input(1));
  const Ints batch = ReadInts(call.input(2));
  if (call.input(1).dim(1) != 4) {
    throw Error(ErrorCode::kInvalidInput, "rois must have four numbers each");
  }
  const double scale = node.GetFloat("spatial_scale");
  const bool half = node.GetString("coordinate_transformation_mode") == "half_pixel";
  const bool largest = node.GetString("mode") == "max";
  const int64_t ratio = node.GetInt("sampling_ratio");
  const int64_t height = x.dim(2), width = x.dim(3);
  const int64_t rows = call.output().dim(2), columns = call.output().dim(3);
  std::vector<double> out;
  for (int64_t r = 0; r < call.output().dim(0); ++r) {
    const double* roi = rois.data() + 4 * r;
    const double offset = half ? 0.5 : 0;
    const double left = roi[0] * scale - offset, top = roi[1] * scale - offset;
    double roi_width = roi[2] * scale - offset - left, roi_height = roi[3] * scale - offset - top;
    if (!half) {
      roi_width = std::max(roi_width, 1.0);
      roi_height = std::max(roi_height, 1.0);
    }
    const double bin_height = roi_height / static_cast<double>(rows);
    const double bin_width = roi_width / static_cast<double>(columns);
    const int64_t down = ratio > 0 ? ratio : static_cast<int64_t>(std::ceil(bin_height));
    const int64_t across = ratio > 0 ? ratio : static_cast<int64_t>(std::ceil(bin_width));
    const int64_t sample = batch.at(static_cast<size_t>(r));
    if (sample < 0 || sample >= x.dim(0)) {
      throw Error(ErrorCode::kInvalidInput,
                  "batch index " + std::to_string(sample) + " is outside of X");
    }
    for (int64_t c = 0; c < x.dim(1); ++c) {
      const double* plane = values.data() + (sample * x.dim(1) + c) * height * width;
      for (int64_t i = 0; i < rows * columns; ++i) {
        double sum = 0, best = -INFINITY;
        for (int64_t s = 0; s < down * across; ++s) {
          const double row = top + bin_height * (static_cast<double>(i / columns) +
                                                 (static_cast<double>(s / across) + 0.5) /
                                                     static_cast<double>(down));
          const double column = left + bin_width * (static_cast<double>(i % columns) +
                                                    (static_cast<double>(s % across) + 0.5) /
                                                        static_cast<double>(across));
          const double value = Bilinear(plane, height, width, row, column, largest);
          sum += value;
          best = std::max(best, value);
        }
        const int64_t count = std::max<int64_t>(down * across, 1);
        out.push_back(largest ? (down * across > 0 ? best : 0) : sum / static_cast<double>(count));
      }
    }
  }
  WriteDoubles(out, call.output());
}

void RegisterRois(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "RoiAlign";
  op.since_version = 22;
  op.summary = "Each region of interest read at regular points, averaged (or the largest) in bins.";
  op.inputs = {Required("X"), Required("rois"), Required("batch_indices", "I")};
  op.outputs = {Required("Y")};
  op.attributes = {StringAttribute("coordinate_transformation_mode", "half_pixel"),
                   StringAttribute("mode", "avg"),
                   IntAttribute("output_height", 1),
                   IntAttribute("output_width", 1),
                   IntAttribute("sampling_ratio", 0),
                   FloatAttribute("spatial_scale", 1)};
  op.infer = [](InferContext& context) {
    const Type& x = context.input(0);
    const Type& rois = context.input(1);
    if ((x.has_rank() && x.rank() != 4) || (rois.has_rank() && rois.rank() != 2)) {
      throw Error(ErrorCode::kInvalidInput, "X is " + x.ToString() + " and rois " +
                                                rois.ToString() +
                                                ", expected [N, C, H, W] and [rois, 4]");
    }
    context.SetOutput(0, Type::Tensor(x.dtype(), {rois.has_rank() ? rois.dim(0) : Dimension(),
                                                  x.has_rank() ? x.dim(1) : Dimension(),
                                                  context.node().GetInt("output_height"),
                                                  context.node().GetInt("output_width")}));
  };
  op.reference = RoiAlignReference;
  const OpCase::Input x = Floats({1, 1, 2, 2}, {1, 2, 3, 4});
  op.cases = {
      ExpectedOnly("whole", {x, Floats({1, 4}, {0.5, 0.5, 1.5, 1.5}), Integers({1}, {0})}, {2.5}),
      ExpectedOnly(
          "max", {x, Floats({1, 4}, {0, 0, 2, 2}), Integers({1}, {0})}, {4},
          {{"mode", Attribute(std::string("max"))}, {"sampling_ratio", Attribute(int64_t{2})}})};
  registry.Add(std::move(op));

  ir::OpDefinition pool;
  pool.name = "MaxRoiPool";
  pool.since_version = 22;
  pool.summary = "The largest element of each bin of each region [batch, x1, y1, x2, y2].";
  pool.inputs = {Required("X"), Required("rois")};
  pool.outputs = {Required("Y")};
  pool.attributes = {RequiredAttribute("pooled_shape", ir::AttributeKind::kInts),
                     FloatAttribute("spatial_scale", 1)};
  pool.infer = [](InferContext& context) {
    const Type& x = context.input(0);
    const Type& rois = context.input(1);
    const Ints& shape = context.node().GetInts("pooled_shape");
    if ((x.has_rank() && x.rank() != 4) || shape.size() != 2) {
      throw Error(ErrorCode::kInvalidInput,
                  "X is " + x.ToString() + ", expected [N, C, H, W] and a pooled_shape of two");
    }
    context.SetOutput(
        0, Type::Tensor(x.dtype(), {rois.has_rank() ? rois.dim(0) : Dimension(),
                                    x.has_rank() ? x.dim(1) : Dimension(), shape[0], shape[1]}));
  };
  pool.reference = [](const ir::ReferenceCall& call) {
    const TensorView& x = call.input(0);
    const std::vector<double> values = ReadDoubles(x), rois = ReadDoubles(call.input(1));
    if (call.input(1).rank() != 2 || call.input(1).dim(1) != 5) {
      throw Error(ErrorCode::kInvalidInput, "rois must have five numbers each");
    }
    const double scale = call.node.GetFloat("spatial_scale");
    const int64_t height = x.dim(2), width = x.dim(3);
    const int64_t rows = call.output().dim(2), columns = call.output().dim(3);
    std::vector<double> out;
    for (int64_t r = 0; r < call.output().dim(0); ++r) {
      const double* roi = rois.data() + 5 * r;
      const auto edge = [&](size_t i) { return std::round(roi[i] * scale); };
      const double left = edge(1), top = edge(2);
      const double bin_width = std::max(edge(3) - left + 1, 1.0) / static_cast<double>(columns);
      const double bin_height = std::max(edge(4) - top + 1, 1.0) / static_cast<double>(rows);
      const auto sample = static_cast<int64_t>(roi[0]);
      if (sample < 0 || sample >= x.dim(0)) {
        throw Error(ErrorCode::kInvalidInput, "a region is of a sample outside of X");
      }
      for (int64_t c = 0; c < x.dim(1); ++c) {
        const double* plane = values.data() + (sample * x.dim(1) + c) * height * width;
        for (int64_t i = 0; i < rows * columns; ++i) {
          const auto bound = [](double at, int64_t extent) {
            return std::clamp<int64_t>(static_cast<int64_t>(at), 0, extent);
          };
          const auto row = static_cast<double>(i / columns),
                     column = static_cast<double>(i % columns);
          const int64_t first = bound(top + std::floor(row * bin_height), height);
          const int64_t last = bound(top + std::ceil((row + 1) * bin_height), height);
          const int64_t from = bound(left + std::floor(column * bin_width), width);
          const int64_t to = bound(left + std::ceil((column + 1) * bin_width), width);
          double best = first < last && from < to ? -INFINITY : 0;
          for (int64_t y = first; y < last; ++y) {
            for (int64_t k = from; k < to; ++k) best = std::max(best, plane[y * width + k]);
          }
          out.push_back(best);
        }
      }
    }
    WriteDoubles(out, call.output());
  };
  pool.cases = {ExpectedOnly("quarters",
                             {Floats({1, 1, 2, 2}, {1, 2, 3, 4}), Floats({1, 5}, {0, 0, 0, 1, 1})},
                             {1, 2, 3, 4}, {{"pooled_shape", Attribute(Ints{2, 2})}})};
  registry.Add(std::move(pool));
}

}  // namespace

void RegisterVision(ir::OpRegistry& registry) {
  RegisterAffineGrid(registry);
  RegisterGridSample(registry);
  RegisterRois(registry);
}

}  // namespace ingot::ops
