// The extents of convolutions and the reference of their three products.
#include "ingot/ops/convolution.h"

#include <algorithm>
#include <string>

#include "ingot/ops/shape_rule.h"

namespace ingot::ops {

namespace {

using ir::Dimension;
using ir::Dimensions;
using ir::Type;

int OutputAxis(int rank, bool channels_last) {
  return channels_last ? rank - 1 : 0;
}
int InputAxis(int rank, bool channels_last) {
  return channels_last ? rank - 2 : 1;
}

void CheckRanks(const Type& x, const Type& w, bool channels_last) {
  if (x.rank() >= 3 && x.rank() == w.rank()) return;
  Refuse("X is " + x.ToString() + " and W is " + w.ToString() + ", expected " +
         (channels_last ? "[N, spatial..., C] and [kernel..., C / group, O]"
                        : "[N, C, spatial...] and [O, C / group, kernel...]") +
         " with the same number of spatial axes, at least one");
}

void CheckChannels(const Type& x, const Type& w, const Convolution& c, const Dimension& in_group) {
  const std::string both = "X is " + x.ToString() + " and W is " + w.ToString() + " with group " +
                           std::to_string(c.group) + (c.channels_last ? ", channels last: " : ": ");
  if (c.channels.is_static() && in_group.is_static() &&
      c.channels.value() != in_group.value() * c.group) {
    Refuse(both + "W takes " + std::to_string(in_group.value() * c.group) +
           " channels, but X has " + std::to_string(c.channels.value()));
  }
  for (const Dimension* dim : {&c.channels, &c.outputs}) {
    if (dim->is_static() && dim->value() % c.group != 0) {
      Refuse(both + dim->ToString() + " channels cannot be cut into " + std::to_string(c.group) +
             " groups");
    }
  }
}

// The type of an optional input that only lends its shape.
Type LikeType(const ir::Node& node, size_t input, const char* attribute) {
  if (node.input(input) != nullptr) return node.input(input)->type();
  Refuse("neither attribute '" + std::string(attribute) + "' nor input " + std::to_string(input) +
         " says what shape the result has");
}

// kernel_shape must be W's where both are given.
std::vector<int64_t> KernelOf(const ir::Node& node, const Type& w, bool channels_last) {
  std::vector<int64_t> kernel;
  for (const Dimension& dim : KernelDimensions(w, channels_last)) kernel.push_back(dim.value());
  const std::vector<int64_t>* given = node.FindInts("kernel_shape");
  if (given == nullptr) return kernel;
  for (size_t i = 0; i < kernel.size(); ++i) {
    if (given->size() == kernel.size() && (kernel[i] < 0 || kernel[i] == (*given)[i])) continue;
    Refuse("attribute 'kernel_shape' is " + Shape(*given).ToString() + ", but W is " +
           w.ToString());
  }
  return *given;
}

void CheckGradient(const Convolution& convolution, const Type& dy) {
  const Type y = convolution.y_type(dy.dtype());
  bool fits = y.rank() == dy.rank();
  for (int i = 0; fits && i < y.rank(); ++i) {
    fits = !y.dim(i).is_static() || !dy.dim(i).is_static() || y.dim(i) == dy.dim(i);
  }
  if (!fits) Refuse("dY is " + dy.ToString() + ", but Y is " + y.ToString());
}

Convolution OfInputGradient(const ir::Node& node) {
  const Type& dy = node.input(0)->type();
  const Type& w = node.input(1)->type();
  const bool channels_last = ChannelsLast(node);
  CheckRanks(dy, w, channels_last);
  Dimensions spatial;
  if (const std::vector<int64_t>* shape = node.FindInts("spatial_shape")) {
    spatial.assign(shape->begin(), shape->end());
  } else {
    spatial = SpatialDimensions(LikeType(node, 2, "spatial_shape"), channels_last);
  }
  const Dimension& in_group = w.dim(InputAxis(w.rank(), channels_last));
  const Dimension channels =
      in_group.is_static() ? Dimension(in_group.value() * GroupOf(node)) : Dimension();
  const Type x = ActivationType(dy.dtype(), dy.dim(0), channels, spatial, channels_last);
  Convolution convolution = ConvolutionOf(node, x, w);
  CheckGradient(convolution, dy);
  return convolution;
}

Convolution OfWeightGradient(const ir::Node& node) {
  const Type& x = node.input(0)->type();
  const Type& dy = node.input(1)->type();
  const bool channels_last = ChannelsLast(node);
  Dimensions kernel;
  if (const std::vector<int64_t>* shape = node.FindInts("kernel_shape")) {
    kernel.assign(shape->begin(), shape->end());
  } else {
    kernel = KernelDimensions(LikeType(node, 2, "kernel_shape"), channels_last);
  }
  const Dimension& channels = x.dim(ChannelAxis(x.rank(), channels_last));
  const Dimension in_group =
      channels.is_static() ? Dimension(channels.value() / GroupOf(node)) : Dimension();
  const Type w = FilterType(x.dtype(), dy.dim(ChannelAxis(dy.rank(), channels_last)), in_group,
                            kernel, channels_last);
  Convolution convolution = ConvolutionOf(node, x, w);
  CheckGradient(convolution, dy);
  return convolution;
}

}  // namespace

Type Convolution::y_type(DType dtype) const {
  return ActivationType(dtype, batch, outputs, OutputsOf(windows), channels_last);
}

Type FilterType(DType dtype, const Dimension& outputs, const Dimension& inputs,
                const Dimensions& kernel, bool channels_last) {
  Dimensions dims = kernel;
  if (channels_last) {
    dims.push_back(inputs);
    dims.push_back(outputs);
  } else {
    dims.insert(dims.begin(), {outputs, inputs});
  }
  return Type::Tensor(dtype, std::move(dims));
}

Dimensions KernelDimensions(const Type& w, bool channels_last) {
  const Dimensions& dims = w.dims();
  return channels_last ? Dimensions(dims.begin(), dims.end() - 2)
                       : Dimensions(dims.begin() + 2, dims.end());
}

int64_t GroupOf(const ir::Node& node) {
  const int64_t group = node.GetInt("group");
  if (group < 1) Refuse("attribute 'group' is " + std::to_string(group) + ", expected at least 1");
  return group;
}

Convolution ConvolutionOf(const ir::Node& node, const Type& x, const Type& w) {
  Convolution convolution;
  convolution.channels_last = ChannelsLast(node);
  const bool channels_last = convolution.channels_last;
  CheckRanks(x, w, channels_last);
  convolution.group = GroupOf(node);
  convolution.batch = x.dim(0);
  convolution.channels = x.dim(ChannelAxis(x.rank(), channels_last));
  convolution.outputs = w.dim(OutputAxis(w.rank(), channels_last));
  CheckChannels(x, w, convolution, w.dim(InputAxis(w.rank(), channels_last)));
  convolution.windows =
      Windows(node, SpatialDimensions(x, channels_last), KernelOf(node, w, channels_last));
  return convolution;
}

Convolution ConvolutionOf(const ir::Node& node) {
  if (node.op_type() == "ConvInputGradient") return OfInputGradient(node);
  if (node.op_type() == "ConvWeightGradient") return OfWeightGradient(node);
  return ConvolutionOf(node, node.input(0)->type(), node.input(1)->type());
}

Filters::Filters(const TensorView& w, bool channels_last) {
  outputs = w.dim(OutputAxis(w.rank(), channels_last));
  inputs = w.dim(InputAxis(w.rank(), channels_last));
  for (int i = 0; i < w.rank() - 2; ++i) taps *= w.dim(channels_last ? i : i + 2);
  output_stride = channels_last ? 1 : inputs * taps;
  input_stride = channels_last ? outputs : taps;
  tap_stride = channels_last ? inputs * outputs : 1;
}

// ---- references ----

namespace {

// Everything that the loops need; `x` and `y` say where activations lie, `w` where weights do.
struct Loops {
  Loops(const Convolution& convolution, const TensorView& x_view, const TensorView& w_view,
        const TensorView& y_view)
      : x(x_view, convolution.channels_last),
        y(y_view, convolution.channels_last),
        w(w_view, convolution.channels_last),
        table(convolution.windows),
        outputs_in_group(y.channels / convolution.group) {}

  // The first input channel of the group of output channel o.
  int64_t FirstInput(int64_t o) const { return o / outputs_in_group * w.inputs; }

  Activations x, y;
  Filters w;
  TapTable table;
  int64_t outputs_in_group;
};

template <typename T>
double ForwardElement(const Loops& l, const T* x, const T* w, int64_t n, int64_t o, int64_t p) {
  double sum = 0;
  for (int64_t c = 0; c < l.w.inputs; ++c) {
    for (int64_t t = 0; t < l.w.taps; ++t) {
      const int64_t s = l.table.At(p, t);
      if (s < 0) continue;
      sum += double{x[l.x.At(n, l.FirstInput(o) + c, s)]} * double{w[l.w.At(o, c, t)]};
    }
  }
  return sum;
}

// Adds what output channel o of sample n sends back to its inputs; `sums` is [positions][C].
template <typename T>
void AddInputGradient(const Loops& l, const T* dy, const T* w, int64_t n, int64_t o,
                      std::vector<double>& sums) {
  for (int64_t p = 0; p < l.table.outputs(); ++p) {
    const double gradient{dy[l.y.At(n, o, p)]};
    for (int64_t t = 0; t < l.w.taps; ++t) {
      const int64_t s = l.table.At(p, t);
      if (s < 0) continue;
      double* sum = sums.data() + s * l.x.channels + l.FirstInput(o);
      for (int64_t c = 0; c < l.w.inputs; ++c) sum[c] += gradient * double{w[l.w.At(o, c, t)]};
    }
  }
}

template <typename T>
double WeightGradientElement(const Loops& l, const T* x, const T* dy, int64_t o, int64_t c,
                             int64_t t) {
  double sum = 0;
  for (int64_t n = 0; n < l.x.batch; ++n) {
    for (int64_t p = 0; p < l.table.outputs(); ++p) {
      const int64_t s = l.table.At(p, t);
      if (s < 0) continue;
      sum += double{x[l.x.At(n, l.FirstInput(o) + c, s)]} * double{dy[l.y.At(n, o, p)]};
    }
  }
  return sum;
}

}  // namespace

void ConvolveForward(const Convolution& convolution, const TensorView& x, const TensorView& w,
                     const TensorView& bias, const TensorView& y) {
  const Loops l(convolution, x, w, y);
  DispatchFloat("Conv", x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (int64_t n = 0; n < l.y.batch; ++n) {
      for (int64_t o = 0; o < l.y.channels; ++o) {
        const double start = bias.data == nullptr ? 0.0 : double{bias.as<T>()[o]};
        for (int64_t p = 0; p < l.y.positions; ++p) {
          const double sum = ForwardElement(l, x.as<T>(), w.as<T>(), n, o, p);
          y.as<T>()[l.y.At(n, o, p)] = static_cast<T>(sum + start);
        }
      }
    }
  });
}

void ConvolveInputGradient(const Convolution& convolution, const TensorView& dy,
                           const TensorView& w, const TensorView& bias, const TensorView& dx) {
  const Loops l(convolution, dx, w, dy);
  DispatchFloat("ConvInputGradient", dx.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    std::vector<double> sums(static_cast<size_t>(l.x.sample));
    for (int64_t n = 0; n < l.x.batch; ++n) {
      std::fill(sums.begin(), sums.end(), 0.0);
      for (int64_t o = 0; o < l.y.channels; ++o) {
        AddInputGradient(l, dy.as<T>(), w.as<T>(), n, o, sums);
      }
      for (int64_t s = 0; s < l.x.positions; ++s) {
        for (int64_t c = 0; c < l.x.channels; ++c) {
          const double start = bias.data == nullptr ? 0.0 : double{bias.as<T>()[c]};
          const double sum = sums[static_cast<size_t>(s * l.x.channels + c)];
          dx.as<T>()[l.x.At(n, c, s)] = static_cast<T>(sum + start);
        }
      }
    }
  });
}

void ConvolveWeightGradient(const Convolution& convolution, const TensorView& x,
                            const TensorView& dy, const TensorView& dw) {
  const Loops l(convolution, x, dw, dy);
  DispatchFloat("ConvWeightGradient", x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (int64_t o = 0; o < l.w.outputs; ++o) {
      for (int64_t c = 0; c < l.w.inputs; ++c) {
        for (int64_t t = 0; t < l.w.taps; ++t) {
          dw.as<T>()[l.w.At(o, c, t)] =
              static_cast<T>(WeightGradientElement(l, x.as<T>(), dy.as<T>(), o, c, t));
        }
      }
    }
  });
}

}  // namespace ingot::ops
