// MaxPool, AveragePool, GlobalMaxPool and GlobalAveragePool over any number of spatial axes, and
// the ops of their gradients.
//
// Of equal largest elements in a window the first one, in row-major order, gets the gradient; NaN
// counts as larger than any number. A window that meets the padding alone gives -infinity or 0.
#include "ingot/ops/pooling.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "ingot/base/error.h"
#include "ingot/ops/definition.h"
#include "ingot/ops/elementwise.h"
#include "ingot/ops/window.h"

namespace ingot::ops {

void RegisterPooling(ir::OpRegistry& registry);

namespace {

using ir::Attributes;
using ir::Dimensions;
using ir::GradientContext;
using ir::InferContext;
using ir::OpDefinition;
using ir::Type;
using ir::Value;

using Ints = std::vector<int64_t>;

// ---- geometry ----

void CheckRank(const char* name, const Type& type) {
  if (type.rank() >= 3) return;
  throw Error(ErrorCode::kInvalidInput, std::string(name) + " is " + type.ToString() +
                                            ", expected a batch, channels and spatial axes");
}

Type PooledType(const ir::Node& node, const Type& x) {
  CheckRank("X", x);
  const bool last = ChannelsLast(node);
  const Dimensions outputs = OutputsOf(PoolWindows(node, SpatialDimensions(x, last)));
  return ActivationType(x.dtype(), x.dim(0), x.dim(ChannelAxis(x.rank(), last)), outputs, last);
}

void CheckGradient(const ir::Node& node, const Type& x, const Type& dy) {
  const Type y = PooledType(node, x);
  bool fits = !dy.has_rank() || y.rank() == dy.rank();
  for (int i = 0; fits && dy.has_rank() && i < y.rank(); ++i) {
    fits = !y.dim(i).is_static() || !dy.dim(i).is_static() || y.dim(i) == dy.dim(i);
  }
  if (fits) return;
  throw Error(ErrorCode::kInvalidInput,
              "dY is " + dy.ToString() + ", but the pooled X is " + y.ToString());
}

// Everything that a reference walks over.
struct Pool {
  Pool(const ir::Node& node, const TensorView& x_view, const TensorView& y_view)
      : last(ChannelsLast(node)),
        x(x_view, last),
        y(y_view, last),
        windows(PoolWindows(
            node, SpatialDimensions(Type::Tensor(x_view.dtype, Shape(x_view.dims)), last))),
        table(windows) {}

  bool last;
  Activations x, y;
  std::vector<WindowAxis> windows;
  TapTable table;
};

// Calls f(n, c, p) for each element of Y.
template <typename F>
void ForEachOutput(const Pool& pool, F f) {
  for (int64_t n = 0; n < pool.y.batch; ++n) {
    for (int64_t c = 0; c < pool.y.channels; ++c) {
      for (int64_t p = 0; p < pool.table.outputs(); ++p) f(n, c, p);
    }
  }
}

void InferPool(InferContext& context) {
  // The largest of bytes is one of them.
  const DType dtype = context.input(0).dtype();
  const bool bytes = dtype == DType::kU8 || dtype == DType::kI8;
  const bool largest = context.node().op_type().find("Max") != std::string::npos;
  if (!bytes || !largest) RequireType(context, 0, Types::kFloat);
  const Type& x = context.input(0);
  context.SetOutput(0, x.has_rank() ? PooledType(context.node(), x) : x);
}

// ---- maximum ----

// The position of the largest element of a window, -1 where it meets none.
template <typename T>
int64_t FindLargest(const Pool& pool, const T* x, int64_t n, int64_t c, int64_t p) {
  int64_t best = -1;
  double largest = 0;
  for (int64_t t = 0; t < pool.table.taps(); ++t) {
    const int64_t s = pool.table.At(p, t);
    if (s < 0) continue;
    const auto value = static_cast<double>(x[pool.x.At(n, c, s)]);
    if (best < 0 || value > largest || (std::isnan(value) && !std::isnan(largest))) {
      best = s;
      largest = value;
    }
  }
  return best;
}

template <typename T>
void LargestOfWindows(const ir::ReferenceCall& call) {
  const Pool pool(call.node, call.input(0), call.output());
  using Limits = std::numeric_limits<T>;
  const T nothing = Limits::is_integer ? Limits::lowest()
                                       : static_cast<T>(-std::numeric_limits<double>::infinity());
  const T* x = call.input(0).as<T>();
  ForEachOutput(pool, [&](int64_t n, int64_t c, int64_t p) {
    const int64_t s = FindLargest(pool, x, n, c, p);
    call.output().as<T>()[pool.y.At(n, c, p)] = s < 0 ? nothing : x[pool.x.At(n, c, s)];
  });
}

void MaxReference(const ir::ReferenceCall& call) {
  const DType dtype = call.input(0).dtype;
  if (dtype == DType::kU8) return LargestOfWindows<uint8_t>(call);
  if (dtype == DType::kI8) return LargestOfWindows<int8_t>(call);
  DispatchFloat(call.node.op_type(), dtype,
                [&](auto tag) { LargestOfWindows<typename decltype(tag)::type>(call); });
}

void MaxGradientReference(const ir::ReferenceCall& call) {
  const Pool pool(call.node, call.input(0), call.input(1));
  DispatchFloat(call.node.op_type(), call.input(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    std::vector<double> sums(static_cast<size_t>(call.output().size()), 0.0);
    ForEachOutput(pool, [&](int64_t n, int64_t c, int64_t p) {
      const int64_t s = FindLargest(pool, call.input(0).as<T>(), n, c, p);
      if (s < 0) return;
      sums[static_cast<size_t>(pool.x.At(n, c, s))] +=
          double{call.input(1).as<T>()[pool.y.At(n, c, p)]};
    });
    for (size_t i = 0; i < sums.size(); ++i) call.output().as<T>()[i] = static_cast<T>(sums[i]);
  });
}

// ---- average ----

void AverageReference(const ir::ReferenceCall& call) {
  const Pool pool(call.node, call.input(0), call.output());
  const std::vector<double> divisors = PoolDivisors(call.node, pool.windows, pool.table);
  DispatchFloat(call.node.op_type(), call.input(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    ForEachOutput(pool, [&](int64_t n, int64_t c, int64_t p) {
      double sum = 0;
      for (int64_t t = 0; t < pool.table.taps(); ++t) {
        const int64_t s = pool.table.At(p, t);
        if (s >= 0) sum += double{call.input(0).as<T>()[pool.x.At(n, c, s)]};
      }
      call.output().as<T>()[pool.y.At(n, c, p)] =
          static_cast<T>(sum / divisors[static_cast<size_t>(p)]);
    });
  });
}

void AverageGradientReference(const ir::ReferenceCall& call) {
  const Pool pool(call.node, call.output(), call.input(0));
  const std::vector<double> divisors = PoolDivisors(call.node, pool.windows, pool.table);
  DispatchFloat(call.node.op_type(), call.input(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    std::vector<double> sums(static_cast<size_t>(call.output().size()), 0.0);
    ForEachOutput(pool, [&](int64_t n, int64_t c, int64_t p) {
      const double share =
          double{call.input(0).as<T>()[pool.y.At(n, c, p)]} / divisors[static_cast<size_t>(p)];
      for (int64_t t = 0; t < pool.table.taps(); ++t) {
        const int64_t s = pool.table.At(p, t);
        if (s >= 0) sums[static_cast<size_t>(pool.x.At(n, c, s))] += share;
      }
    });
    for (size_t i = 0; i < sums.size(); ++i) call.output().as<T>()[i] = static_cast<T>(sums[i]);
  });
}

// dX's type from dY, with the spatial extents of the attribute or of input 1.
void InferAverageGradient(InferContext& context) {
  RequireType(context, 0, Types::kFloat);
  const ir::Node& node = context.node();
  const Type& dy = context.input(0);
  if (!dy.has_rank()) return context.SetOutput(0, dy);
  CheckRank("dY", dy);
  const bool last = ChannelsLast(node);
  Dimensions spatial;
  if (const Ints* shape = node.FindInts("spatial_shape")) {
    spatial.assign(shape->begin(), shape->end());
  } else if (context.HasInput(1) && context.input(1).has_rank()) {
    spatial = SpatialDimensions(context.input(1), last);
  } else {
    throw Error(ErrorCode::kInvalidInput,
                "neither attribute 'spatial_shape' nor input 1 says what shape the result has");
  }
  const Type x =
      ActivationType(dy.dtype(), dy.dim(0), dy.dim(ChannelAxis(dy.rank(), last)), spatial, last);
  CheckGradient(node, x, dy);
  context.SetOutput(0, x);
}

// ---- definitions ----

Attributes Last(Attributes attributes = {}) {
  attributes["channels_last"] = int64_t{1};
  return attributes;
}

std::vector<ir::AttributeSpec> PoolAttributes(bool global, bool average) {
  if (global) return {IntAttribute("channels_last", 0)};
  std::vector<ir::AttributeSpec> attributes = WindowAttributeSpecs();
  attributes.push_back(RequiredAttribute("kernel_shape", ir::AttributeKind::kInts));
  attributes.push_back(IntAttribute("ceil_mode", 0));
  if (average) attributes.push_back(IntAttribute("count_include_pad", 0));
  return attributes;
}

struct Example {
  const char* name;
  Shape x, y;
  Attributes attributes = {};
  bool gradient = true;
};

std::vector<Example> WindowExamples() {
  const auto kernel = [](Ints extents, Attributes more = {}) {
    more["kernel_shape"] = std::move(extents);
    return more;
  };
  const Attributes padded = kernel({3, 2}, {{"pads", Ints{1, 0, 2, 1}}, {"strides", Ints{2, 2}}});
  const Attributes ceil = kernel({3, 3}, {{"ceil_mode", int64_t{1}}, {"strides", Ints{2, 2}}});
  const Attributes ceil_padded = kernel(
      {3, 3}, {{"ceil_mode", int64_t{1}}, {"strides", Ints{2, 2}}, {"pads", Ints{1, 1, 1, 1}}});
  const Attributes pair = kernel({2, 2}, {{"strides", Ints{2, 2}}});
  return {
      {"line", {2, 3, 7}, {2, 3, 6}, kernel({2})},
      {"line_last", {2, 7, 3}, {2, 6, 3}, Last(kernel({2}))},
      {"plane", {2, 3, 6, 4}, {2, 3, 3, 2}, pair},
      {"plane_last", {2, 6, 4, 3}, {2, 3, 2, 3}, Last(pair)},
      {"space", {1, 2, 3, 4, 3}, {1, 2, 2, 3, 2}, kernel({2, 2, 2})},
      {"space_last", {1, 3, 4, 3, 2}, {1, 2, 3, 2, 2}, Last(kernel({2, 2, 2}))},
      {"padded", {2, 2, 5, 4}, {2, 2, 3, 2}, padded},
      {"padded_last", {2, 5, 4, 2}, {2, 3, 2, 2}, Last(padded)},
      {"ceil", {1, 2, 6, 4}, {1, 2, 3, 2}, ceil},
      {"ceil_last", {1, 6, 4, 2}, {1, 3, 2, 2}, Last(ceil)},
      {"ceil_padded", {1, 2, 4, 5}, {1, 2, 3, 3}, ceil_padded},
      {"ceil_padded_last", {1, 4, 5, 2}, {1, 3, 3, 2}, Last(ceil_padded)},
      {"dilated", {1, 2, 6, 5}, {1, 2, 2, 4}, kernel({3, 2}, {{"dilations", Ints{2, 1}}})},
      {"same",
       {1, 2, 5, 5},
       {1, 2, 3, 3},
       kernel({2, 2}, {{"auto_pad", std::string("SAME_UPPER")}, {"strides", Ints{2, 2}}})},
      {"no_samples_last", {0, 4, 4, 2}, {0, 2, 2, 2}, Last(pair)},
      {"wide_last", {3, 14, 14, 67}, {3, 7, 7, 67}, Last(pair), false},
      {"overlapping_wide_last",
       {2, 11, 9, 37},
       {2, 6, 5, 37},
       Last(kernel({3, 3}, {{"strides", Ints{2, 2}}, {"pads", Ints{1, 1, 1, 1}}})),
       false},
  };
}

std::vector<Example> GlobalExamples() {
  return {{"line", {2, 3, 5}, {2, 3, 1}},
          {"line_last", {2, 5, 3}, {2, 1, 3}, Last()},
          {"plane", {2, 3, 4, 5}, {2, 3, 1, 1}},
          {"plane_last", {2, 4, 5, 3}, {2, 1, 1, 3}, Last()},
          {"space_last", {2, 2, 3, 2, 4}, {2, 1, 1, 1, 4}, Last()},
          {"no_samples_last", {0, 4, 4, 2}, {0, 1, 1, 2}, Last()},
          {"wide_last", {3, 7, 7, 131}, {3, 1, 1, 131}, Last(), false}};
}

std::vector<Example> Examples(bool global) {
  return global ? GlobalExamples() : WindowExamples();
}

OpDefinition PoolOp(const std::string& name, const std::string& summary, bool global,
                    bool average) {
  OpDefinition op;
  op.name = name;
  op.since_version = global ? 1 : 11;
  op.summary = summary;
  op.inputs = {Required("X")};
  op.outputs = {Required("Y")};
  op.attributes = PoolAttributes(global, average);
  op.infer = InferPool;
  op.reference = average ? AverageReference : MaxReference;
  for (const Example& example : Examples(global)) {
    op.cases.push_back(OpCase{.name = example.name,
                              .inputs = {Uniform(example.x)},
                              .attributes = example.attributes,
                              .gradient = example.gradient});
  }
  return op;
}

// Windows at the border and inside, of more channels than a vector holds.
OpCase BytesOverPlanes(const std::string& name, DType dtype) {
  std::vector<int64_t> x;
  for (int64_t i = 0; i < 2 * 5 * 6 * 83; ++i) {
    x.push_back(i * i * 7 % 251 - (dtype == DType::kI8 ? 128 : 0));
  }
  return OpCase{.name = name,
                .inputs = {Integers({2, 5, 6, 83}, x, dtype)},
                .attributes = {{"channels_last", int64_t{1}},
                               {"kernel_shape", Ints{3, 2}},
                               {"strides", Ints{2, 1}},
                               {"pads", Ints{1, 1, 0, 0}}},
                .gradient = false};
}

OpDefinition MaxForward(const std::string& name, const std::string& summary, bool global) {
  OpDefinition op = PoolOp(name, summary, global, /*average=*/false);
  op.gradient = [name](GradientContext& context) {
    if (!context.wants(0)) return;
    context.SetInputGradient(0, context.builder().Op("ingot." + name + "Gradient",
                                                     {context.input(0), context.output_gradient()},
                                                     WindowAttributes(context.node())));
  };
  return op;
}

OpDefinition MaxBackward(const std::string& name, bool global) {
  OpDefinition op;
  op.name = name + "Gradient";
  op.domain = "ingot";
  op.summary = "d(X) of " + name + " from X and d(Y): each goes to its window's first maximum.";
  op.inputs = {Required("X"), Required("dY")};
  op.outputs = {Required("dX")};
  op.attributes = PoolAttributes(global, /*average=*/false);
  op.infer = [](InferContext& context) {
    RequireType(context, 0, Types::kFloat);
    const Type& x = context.input(0);
    if (x.has_rank()) CheckGradient(context.node(), x, context.input(1));
    context.SetOutput(0, x);
  };
  op.reference = MaxGradientReference;
  for (const Example& example : Examples(global)) {
    op.cases.push_back(OpCase{.name = example.name,
                              .inputs = {Uniform(example.x), Uniform(example.y)},
                              .attributes = example.attributes,
                              .gradient = false});
  }
  return op;
}

OpDefinition AverageForward(const std::string& name, const std::string& summary, bool global) {
  OpDefinition op = PoolOp(name, summary, global, /*average=*/true);
  op.gradient = [name](GradientContext& context) {
    if (!context.wants(0)) return;
    Attributes attributes = WindowAttributes(context.node());
    std::vector<Value*> inputs = {context.output_gradient()};
    Ints extents;
    for (const ir::Dimension& dim :
         SpatialDimensions(context.input(0)->type(), ChannelsLast(context.node()))) {
      if (dim.is_static()) extents.push_back(dim.value());
    }
    if (static_cast<int>(extents.size()) == context.input(0)->type().rank() - 2) {
      attributes["spatial_shape"] = extents;
    } else {
      inputs.push_back(context.input(0));
    }
    context.SetInputGradient(
        0, context.builder().Op("ingot." + name + "Gradient", inputs, std::move(attributes)));
  };
  return op;
}

OpDefinition AverageBackward(const std::string& name, bool global) {
  OpDefinition op;
  op.name = name + "Gradient";
  op.domain = "ingot";
  op.summary = "d(X) of " + name + " from d(Y): each is shared out over its window.";
  op.inputs = {Required("dY"), Optional("X_like")};
  op.outputs = {Required("dX")};
  op.attributes = PoolAttributes(global, /*average=*/true);
  op.attributes.push_back(OptionalAttribute("spatial_shape", ir::AttributeKind::kInts));
  op.infer = InferAverageGradient;
  op.reference = AverageGradientReference;
  op.gradient = [name](GradientContext& context) {
    if (!context.wants(0)) return;
    context.SetInputGradient(0, context.builder().Op(name, {context.output_gradient()},
                                                     WindowAttributes(context.node())));
  };
  for (const Example& example : Examples(global)) {
    OpCase test{.name = example.name,
                .inputs = {Uniform(example.y)},
                .attributes = example.attributes,
                .gradient = example.gradient};
    Ints spatial;
    for (const int64_t axis :
         SpatialAxes(example.x.rank(), example.attributes.count("channels_last") > 0)) {
      spatial.push_back(example.x[static_cast<int>(axis)]);
    }
    test.attributes["spatial_shape"] = spatial;
    op.cases.push_back(std::move(test));
  }
  return op;
}

void Add(ir::OpRegistry& registry, OpDefinition op, std::vector<OpCase> cases) {
  op.cases.insert(op.cases.begin(), cases.begin(), cases.end());
  registry.Add(std::move(op));
}

}  // namespace

void RegisterPooling(ir::OpRegistry& registry) {
  const Attributes two = {{"kernel_shape", Ints{2}}, {"strides", Ints{2}}};
  const Attributes padded = {{"kernel_shape", Ints{3}}, {"pads", Ints{1, 1}}};
  Attributes counted = padded;
  counted["count_include_pad"] = int64_t{1};
  // The last of three windows has one element, and one that is outside even of the padding.
  const Attributes ceil = {{"kernel_shape", Ints{2}},
                           {"strides", Ints{2}},
                           {"ceil_mode", int64_t{1}},
                           {"count_include_pad", int64_t{1}}};
  const Attributes extent4 = {{"spatial_shape", Ints{4}}};
  Attributes two_of_4 = two;
  two_of_4["spatial_shape"] = Ints{4};

  Add(registry, MaxForward("MaxPool", "Y = the largest element of each window of X.", false),
      {ExpectedCase("by_hand", {Floats({1, 1, 4}, {1, 5, -2, -3})}, {5, -2}, two),
       ExpectedCase("padding_never_wins", {Floats({1, 1, 3}, {-4, -5, -6})}, {-4, -4, -5}, padded),
       ExpectedCase("last_by_hand", {Floats({1, 4, 2}, {1, 8, 5, 7, -2, 6, -3, 9})}, {5, 8, -2, 9},
                    Last(two)),
       ExpectedOnly("nan", {Floats({1, 1, 4}, {1, NAN, 3, 2})}, {NAN, 3}, two),
       ExpectedOnly("bytes", {Integers({1, 1, 4}, {1, 200, 3, 2}, DType::kU8)}, {200, 3}, two),
       BytesOverPlanes("bytes_last", DType::kU8), BytesOverPlanes("signed_last", DType::kI8)});
  Add(registry, MaxBackward("MaxPool", false),
      {ExpectedOnly("first_of_equals", {Floats({1, 1, 4}, {5, 5, 1, 2}), Floats({1, 1, 2}, {3, 4})},
                    {3, 0, 0, 4}, two),
       ExpectedOnly("overlap", {Floats({1, 1, 3}, {1, 9, 2}), Floats({1, 1, 3}, {3, 4, 10})},
                    {0, 17, 0}, padded)});
  Add(registry, AverageForward("AveragePool", "Y = the mean of each window of X.", false),
      {ExpectedCase("by_hand", {Floats({1, 1, 4}, {1, 5, -2, -3})}, {3, -2.5}, two),
       ExpectedCase("without_padding", {Floats({1, 1, 3}, {2, 4, 9})}, {3, 5, 6.5}, padded),
       ExpectedCase("with_padding", {Floats({1, 1, 3}, {2, 4, 9})}, {2, 5, 13.0 / 3}, counted),
       ExpectedCase("beyond_padding", {Floats({1, 1, 5}, {2, 4, 9, 1, 7})}, {3, 5, 7}, ceil),
       ExpectedCase("last_by_hand", {Floats({1, 2, 2}, {1, 8, 5, 7})}, {3, 7.5}, Last(two))});
  Add(registry, AverageBackward("AveragePool", false),
      {ExpectedCase("by_hand", {Floats({1, 1, 2}, {2, 6})}, {1, 1, 3, 3}, two_of_4)});
  Add(registry,
      MaxForward("GlobalMaxPool", "Y = the largest element of each channel of a sample.", true),
      {ExpectedCase("by_hand", {Floats({1, 2, 2}, {1, 3, 7, 5})}, {3, 7}),
       ExpectedCase("last_by_hand", {Floats({1, 2, 2}, {1, 3, 7, 5})}, {7, 5}, Last())});
  Add(registry, MaxBackward("GlobalMaxPool", true),
      {ExpectedOnly("first_of_equals", {Floats({1, 1, 3}, {1, 3, 3}), Floats({1, 1, 1}, {5})},
                    {0, 5, 0})});
  Add(registry,
      AverageForward("GlobalAveragePool", "Y = the mean of each channel of a sample.", true),
      {ExpectedCase("by_hand", {Floats({1, 2, 2}, {1, 3, 7, 5})}, {2, 6}),
       ExpectedCase("last_by_hand", {Floats({1, 2, 2}, {1, 3, 7, 5})}, {4, 4}, Last())});
  Add(registry, AverageBackward("GlobalAveragePool", true),
      {ExpectedCase("by_hand", {Floats({1, 1, 1}, {8})}, {2, 2, 2, 2}, extent4)});
}

}  // namespace ingot::ops
