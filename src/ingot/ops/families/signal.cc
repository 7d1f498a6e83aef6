// Signals: DFT, STFT, the windows of Hann, Hamming and Blackman, and MelWeightMatrix.
// Transforms are made in double (fourier.h).
#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

#include "ingot/base/error.h"
#include "ingot/ops/axis_split.h"
#include "ingot/ops/elementwise.h"
#include "ingot/ops/fourier.h"
#include "ingot/ops/shape_rule.h"

namespace ingot::ops {
namespace {

using ir::Attribute;
using ir::Attributes;
using ir::Dimension;
using ir::Dimensions;
using ir::InferContext;
using ir::Type;

// Elements of a tensor whose last axis is 1 (real) or 2 (complex).
struct Signal {
  explicit Signal(const TensorView& view)
      : values(static_cast<size_t>(view.size())), parts(view.dim(-1)) {
    ConvertElements(view.data, view.dtype, values.data(), DType::kF64, view.size());
  }
  Complex At(int64_t i) const {
    const auto at = static_cast<size_t>(i * parts);
    return {values[at], parts == 2 ? values[at + 1] : 0};
  }
  std::vector<double> values;
  int64_t parts;
};

// ---- DFT ----

struct DftShape {
  int axis = 0;
  int64_t length = 0, frequencies = 0;
  bool inverse = false, onesided = false;
  bool real_result = false;  // a one-sided inverse gives real samples
};

DftShape ShapeOf(const ir::Node& node, const Type& x, std::optional<int64_t> length,
                 int64_t given_axis) {
  DftShape shape;
  if (x.rank() < 2 || (x.dim(-1).is_static() && x.dim(-1).value() != 1 && x.dim(-1).value() != 2)) {
    throw Error(ErrorCode::kInvalidInput,
                "input is " + x.ToString() + ", expected [..., 1] (real) or [..., 2] (complex)");
  }
  shape.axis = NormalizeAxis(given_axis, x.rank());
  if (shape.axis == x.rank() - 1) {
    throw Error(ErrorCode::kInvalidInput, "the last axis holds the parts of complex numbers");
  }
  shape.inverse = node.GetInt("inverse") != 0;
  shape.onesided = node.GetInt("onesided") != 0;
  shape.real_result = shape.inverse && shape.onesided;
  const Dimension& extent = x.dim(shape.axis);
  shape.length = length.value_or(
      extent.is_static() ? (shape.real_result ? 2 * (extent.value() - 1) : extent.value()) : -1);
  if (length && *length < 1) {
    throw Error(ErrorCode::kInvalidInput,
                "dft_length is " + std::to_string(*length) + ", expected at least 1");
  }
  shape.frequencies = shape.onesided && !shape.inverse ? shape.length / 2 + 1 : shape.length;
  return shape;
}

std::vector<Type> DftRule(const RuleInputs& in) {
  const Type& x = in.type(0);
  if (!x.has_rank()) return {Type::TensorOfUnknownRank(x.dtype())};
  const std::optional<std::vector<int64_t>> length = in.ints(1), axis = in.ints(2);
  if (in.has(2) && !axis) return {Type::Tensor(x.dtype(), UnknownDimensions(x.rank()))};
  const DftShape shape =
      ShapeOf(in.node, x, length ? std::optional<int64_t>(length->at(0)) : std::nullopt,
              axis ? axis->at(0) : in.node.GetInt("axis"));
  Dimensions dims = x.dims();
  const bool known = shape.length >= 0 && (!in.has(1) || length);
  dims[static_cast<size_t>(shape.axis)] = known ? Dimension(shape.frequencies) : Dimension();
  dims.back() = shape.real_result ? 1 : 2;
  return {Type::Tensor(x.dtype(), std::move(dims))};
}

void DftReference(const ir::ReferenceCall& call) {
  const TensorView& x = call.input(0);
  const int64_t given_axis =
      call.has_input(2) ? ReadInts(call.input(2)).at(0) : call.node.GetInt("axis");
  const DftShape shape = ShapeOf(
      call.node, Type::Tensor(x.dtype, Shape(x.dims)),
      call.has_input(1) ? std::optional<int64_t>(ReadInts(call.input(1)).at(0)) : std::nullopt,
      given_axis);
  const Signal signal(x);
  const std::span<const int64_t> complex_dims = x.dims.first(x.dims.size() - 1);
  const AxisSplit split(complex_dims, shape.axis);
  std::vector<double> out(static_cast<size_t>(call.output().size()));
  const FourierTransform transform(shape.length, shape.inverse);
  for (int64_t o = 0; o < split.outer; ++o) {
    for (int64_t i = 0; i < split.inner; ++i) {
      std::vector<Complex> line;
      for (int64_t e = 0; e < split.extent; ++e) {
        line.push_back(signal.At((o * split.extent + e) * split.inner + i));
      }
      if (shape.real_result) {
        // The other half of the frequencies is the conjugate of this one.
        for (int64_t k = static_cast<int64_t>(line.size()); k < shape.length; ++k) {
          const Complex& mirror = line.at(static_cast<size_t>(shape.length - k));
          line.push_back({mirror.re, -mirror.im});
        }
      }
      const std::vector<Complex> y = transform.Run(line, shape.frequencies);
      for (int64_t k = 0; k < shape.frequencies; ++k) {
        const int64_t at = (o * shape.frequencies + k) * split.inner + i;
        const Complex& v = y[static_cast<size_t>(k)];
        if (shape.real_result) {
          out[static_cast<size_t>(at)] = v.re;
        } else {
          out[static_cast<size_t>(2 * at)] = v.re;
          out[static_cast<size_t>(2 * at + 1)] = v.im;
        }
      }
    }
  }
  ConvertElements(out.data(), DType::kF64, call.output().data, call.output().dtype,
                  call.output().size());
}

void RegisterDft(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "DFT";
  op.since_version = 20;
  op.summary = "The discrete Fourier transform along an axis, or its inverse.";
  op.inputs = {Required("input"), Optional("dft_length", "I"), Optional("axis", "A")};
  op.outputs = {Required("output")};
  // `axis` was an attribute before opset 20.
  op.attributes = {IntAttribute("axis", -2), IntAttribute("inverse", 0),
                   IntAttribute("onesided", 0)};
  op.reference = DftReference;
  SetShapeRule(op, DftRule);
  const OpCase::Input x = Floats({1, 4, 1}, {1, 2, 3, 4});
  const Attributes onesided = {{"onesided", Attribute(int64_t{1})}};
  op.cases = {
      ExpectedOnly("real", {x}, {10, 0, -2, 2, -2, 0, -2, -2}),
      ExpectedOnly("onesided", {x}, {10, 0, -2, 2, -2, 0}, onesided),
      ExpectedOnly("inverse", {Floats({1, 4, 2}, {10, 0, -2, 2, -2, 0, -2, -2})},
                   {1, 0, 2, 0, 3, 0, 4, 0}, {{"inverse", Attribute(int64_t{1})}}),
      ExpectedOnly("real_inverse", {Floats({1, 3, 2}, {10, 0, -2, 2, -2, 0})}, {1, 2, 3, 4},
                   {{"inverse", Attribute(int64_t{1})}, {"onesided", Attribute(int64_t{1})}}),
      ExpectedOnly("axis_and_length",
                   {Floats({2, 1, 1}, {1, 3}), Integers({}, {2}), Integers({}, {0})},
                   {4, 0, -2, 0})};
  registry.Add(std::move(op));
}

// ---- STFT ----

std::vector<Type> StftRule(const RuleInputs& in) {
  const Type& x = in.type(0);
  if (!x.has_rank()) return {Type::TensorOfUnknownRank(x.dtype())};
  if (x.rank() != 2 && x.rank() != 3) {
    throw Error(ErrorCode::kInvalidInput,
                "signal is " + x.ToString() + ", expected [batch, samples, 1 or 2]");
  }
  Dimensions dims = {x.dim(0), Dimension(), Dimension(), Dimension(2)};
  const std::optional<std::vector<int64_t>> step = in.ints(1), length = in.ints(3);
  std::optional<int64_t> frame;
  if (length) frame = length->at(0);
  if (!in.has(3) && in.has(2)) frame = in.length(2);
  if (!in.has(3) && !in.has(2) && x.dim(1).is_static()) frame = x.dim(1).value();
  if (frame) dims[2] = in.node.GetInt("onesided") != 0 ? *frame / 2 + 1 : *frame;
  if (frame && step && x.dim(1).is_static()) {
    if (step->at(0) < 1 || *frame < 1 || *frame > x.dim(1).value()) {
      throw Error(ErrorCode::kInvalidInput, "frames of " + std::to_string(*frame) +
                                                " samples, each " + std::to_string(step->at(0)) +
                                                " after the last, do not fit " + x.ToString());
    }
    dims[1] = (x.dim(1).value() - *frame) / step->at(0) + 1;
  }
  return {Type::Tensor(x.dtype(), std::move(dims))};
}

void StftReference(const ir::ReferenceCall& call) {
  TensorView x = call.input(0);
  // A signal without a last axis is real.
  std::vector<int64_t> dims(x.dims.begin(), x.dims.end());
  if (x.rank() == 2) dims.push_back(1);
  x.dims = dims;
  const Signal signal(x);
  const int64_t step = ReadInts(call.input(1)).at(0);
  const int64_t frames = call.output().dim(1), frequencies = call.output().dim(2);
  std::vector<double> window;
  if (call.has_input(2)) {
    window.resize(static_cast<size_t>(call.input(2).size()));
    ConvertElements(call.input(2).data, call.input(2).dtype, window.data(), DType::kF64,
                    call.input(2).size());
  }
  const int64_t length = call.has_input(3)   ? ReadInts(call.input(3)).at(0)
                         : call.has_input(2) ? static_cast<int64_t>(window.size())
                                             : x.dim(1);
  if (!window.empty() && static_cast<int64_t>(window.size()) != length) {
    throw Error(ErrorCode::kInvalidInput, "the window has " + std::to_string(window.size()) +
                                              " elements, but a frame " + std::to_string(length));
  }
  std::vector<double> out;
  const FourierTransform transform(length, false);
  for (int64_t n = 0; n < x.dim(0); ++n) {
    for (int64_t f = 0; f < frames; ++f) {
      std::vector<Complex> frame;
      for (int64_t i = 0; i < length; ++i) {
        Complex v = signal.At(n * x.dim(1) + f * step + i);
        const double w = window.empty() ? 1 : window[static_cast<size_t>(i)];
        frame.push_back({v.re * w, v.im * w});
      }
      for (const Complex& v : transform.Run(frame, frequencies)) {
        out.push_back(v.re);
        out.push_back(v.im);
      }
    }
  }
  ConvertElements(out.data(), DType::kF64, call.output().data, call.output().dtype,
                  call.output().size());
}

void RegisterStft(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "STFT";
  op.since_version = 17;
  op.summary = "The Fourier transforms of windows that move along a signal.";
  op.inputs = {Required("signal"), Required("frame_step", "I"), Optional("window"),
               Optional("frame_length", "I")};
  op.outputs = {Required("output")};
  op.attributes = {IntAttribute("onesided", 1)};
  op.reference = StftReference;
  SetShapeRule(op, StftRule);
  const OpCase::Input x = Floats({1, 4, 1}, {1, 2, 3, 4});
  op.cases = {ExpectedOnly("frames", {x, Integers({}, {2}), Absent(), Integers({}, {2})},
                           {3, 0, -1, 0, 7, 0, -1, 0}),
              ExpectedOnly("window", {x, Integers({}, {2}), Floats({2}, {1, 0.5})},
                           {2, 0, 0, 0, 5, 0, 1, 0})};
  registry.Add(std::move(op));
}

// ---- windows ----

void RegisterWindow(ir::OpRegistry& registry, const char* name, double a0, double a1, double a2) {
  ir::OpDefinition op;
  op.name = name;
  op.since_version = 17;
  op.summary =
      "a0 - a1 cos(2 pi n / N) + a2 cos(4 pi n / N), with N = size (periodic) or size - 1.";
  op.inputs = {Required("size", "I")};
  op.outputs = {Required("output", "F")};
  op.attributes = {IntAttribute("output_datatype", 1), IntAttribute("periodic", 1)};
  op.reference = [=](const ir::ReferenceCall& call) {
    const int64_t size = call.output().size();
    const double whole = static_cast<double>(call.node.GetInt("periodic") != 0 ? size : size - 1);
    std::vector<double> out;
    for (int64_t n = 0; n < size; ++n) {
      const double angle = whole == 0 ? 0 : 2 * std::numbers::pi * static_cast<double>(n) / whole;
      out.push_back(a0 - a1 * std::cos(angle) + a2 * std::cos(2 * angle));
    }
    ConvertElements(out.data(), DType::kF64, call.output().data, call.output().dtype, size);
  };
  SetShapeRule(op, [](const RuleInputs& in) -> std::vector<Type> {
    const auto dtype = static_cast<DType>(in.node.GetInt("output_datatype"));
    const std::optional<std::vector<int64_t>> size = in.ints(0);
    if (size && size->at(0) < 0) {
      throw Error(ErrorCode::kInvalidInput,
                  "size is " + std::to_string(size->at(0)) + ", expected at least 0");
    }
    return {Type::Tensor(dtype, {size ? Dimension(size->at(0)) : Dimension()})};
  });
  op.cases = {
      ExpectedOnly("periodic", {Integers({}, {4})}, {a0 - a1 + a2, a0 - a2, a0 + a1 + a2, a0 - a2},
                   {{"output_datatype", Attribute(int64_t{11})}}),
      ExpectedOnly(
          "symmetric", {Integers({}, {3})}, {a0 - a1 + a2, a0 + a1 + a2, a0 - a1 + a2},
          {{"output_datatype", Attribute(int64_t{11})}, {"periodic", Attribute(int64_t{0})}})};
  registry.Add(std::move(op));
}

// ---- MelWeightMatrix ----

double ToMel(double hertz) {
  return 2595 * std::log10(1 + hertz / 700);
}
double FromMel(double mel) {
  return 700 * (std::pow(10, mel / 2595) - 1);
}

void MelReference(const ir::ReferenceCall& call) {
  const auto number = [&](size_t i) {
    double value = 0;
    ConvertElements(call.input(i).data, call.input(i).dtype, &value, DType::kF64, 1);
    return value;
  };
  const int64_t bins = call.output().dim(0), bands = call.output().dim(1);
  const double length = number(1), rate = number(2);
  const double low = ToMel(number(3)), high = ToMel(number(4));
  // Edges of the triangles, as bins of the spectrum.
  std::vector<int64_t> edges;
  for (int64_t i = 0; i < bands + 2; ++i) {
    const double mel = low + static_cast<double>(i) * (high - low) / static_cast<double>(bands + 2);
    edges.push_back(static_cast<int64_t>(std::floor((length + 1) * FromMel(mel) / rate)));
  }
  std::vector<double> out(static_cast<size_t>(bins * bands), 0);
  for (int64_t band = 0; band < bands; ++band) {
    const int64_t begin = edges[static_cast<size_t>(band)];
    const int64_t peak = edges[static_cast<size_t>(band + 1)];
    const int64_t end = edges[static_cast<size_t>(band + 2)];
    const auto set = [&](int64_t bin, double value) {
      if (bin >= 0 && bin < bins) out[static_cast<size_t>(bin * bands + band)] = value;
    };
    if (peak == begin) {
      set(peak, 1);
    } else {
      for (int64_t bin = begin; bin <= peak; ++bin) {
        set(bin, static_cast<double>(bin - begin) / static_cast<double>(peak - begin));
      }
    }
    for (int64_t bin = peak; end > peak && bin < end; ++bin) {
      set(bin, static_cast<double>(end - bin) / static_cast<double>(end - peak));
    }
  }
  ConvertElements(out.data(), DType::kF64, call.output().data, call.output().dtype,
                  call.output().size());
}

void RegisterMel(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "MelWeightMatrix";
  op.since_version = 17;
  op.summary = "The weights that turn a spectrum into triangular bands on the mel scale.";
  op.inputs = {Required("num_mel_bins", "I"), Required("dft_length", "I"),
               Required("sample_rate", "I"), Required("lower_edge_hertz", "F"),
               Required("upper_edge_hertz", "F")};
  op.outputs = {Required("output", "O")};
  op.attributes = {IntAttribute("output_datatype", 1)};
  op.reference = MelReference;
  SetShapeRule(op, [](const RuleInputs& in) -> std::vector<Type> {
    const auto dtype = static_cast<DType>(in.node.GetInt("output_datatype"));
    const std::optional<std::vector<int64_t>> bands = in.ints(0), length = in.ints(1);
    return {Type::Tensor(dtype, {length ? Dimension(length->at(0) / 2 + 1) : Dimension(),
                                 bands ? Dimension(bands->at(0)) : Dimension()})};
  });
  const auto number = [](int64_t value) { return Integers({}, {value}, DType::kI32); };
  op.cases = {ExpectedOnly("one_band",
                           {number(1), number(8), number(8), Floats({}, {0}), Floats({}, {4})},
                           {0, 1, 0, 0, 0})};
  registry.Add(std::move(op));
}

}  // namespace

void RegisterSignal(ir::OpRegistry& registry) {
  RegisterDft(registry);
  RegisterStft(registry);
  RegisterWindow(registry, "HannWindow", 0.5, 0.5, 0);
  RegisterWindow(registry, "HammingWindow", 25.0 / 46, 1 - 25.0 / 46, 0);
  RegisterWindow(registry, "BlackmanWindow", 0.42, 0.5, 0.08);
  RegisterMel(registry);
}

}  // namespace ingot::ops
