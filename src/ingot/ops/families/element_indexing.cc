// Elements by index: GatherElements, GatherND, ScatterElements, ScatterND, TensorScatter, Compress.
//
// Scatter adds, multiplies and compares in index order, so that several updates of one element give
// the same bits always. Without a reduction the last update of an element counts.
#include <algorithm>
#include <cstring>
#include <string>

#include "ingot/base/error.h"
#include "ingot/ops/axis_split.h"
#include "ingot/ops/elementwise.h"
#include "ingot/ops/shape_rule.h"

namespace ingot::ops {
namespace {

using ir::Attribute;
using ir::Attributes;
using ir::Builder;
using ir::Dimension;
using ir::Dimensions;
using ir::GradientContext;
using ir::Type;
using ir::Value;

Value* ZerosLike(Builder& b, Value* like) {
  return b.ExpandLike(b.ScalarLike(like, 0), like);
}

// ---- reductions of scatter ----

enum class Reduction { kNone, kAdd, kMul, kMax, kMin };

Reduction ReductionOf(const ir::Node& node) {
  const std::string& name = node.GetString("reduction");
  if (name == "none") return Reduction::kNone;
  if (name == "add") return Reduction::kAdd;
  if (name == "mul") return Reduction::kMul;
  if (name == "max") return Reduction::kMax;
  if (name == "min") return Reduction::kMin;
  throw Error(ErrorCode::kInvalidInput,
              "attribute 'reduction' is '" + name + "', expected none, add, mul, max or min");
}

template <typename C>
C Combine(Reduction reduction, C old, C update) {
  switch (reduction) {
    case Reduction::kNone:
      return update;
    case Reduction::kAdd:
      return WrapAdd(old, update);
    case Reduction::kMul:
      return WrapMul(old, update);
    case Reduction::kMax:
      return std::max(old, update);
    case Reduction::kMin:
      return std::min(old, update);
  }
  return update;
}

// Copies `data` to the output and lets each (place in the output, place in the updates) of
// `visit(use)` change it, in that order.
template <typename Visit>
void Scatter(const ir::ReferenceCall& call, const TensorView& updates, Reduction reduction,
             const Visit& visit) {
  const TensorView& out = call.output();
  const size_t item = ItemSize(out.dtype);
  if (reduction == Reduction::kNone) {
    if (out.bytes() > 0) std::memcpy(out.data, call.input(0).data, out.bytes());
    visit([&](int64_t to, int64_t from) {
      std::memcpy(static_cast<std::byte*>(out.data) + static_cast<size_t>(to) * item,
                  static_cast<const std::byte*>(updates.data) + static_cast<size_t>(from) * item,
                  item);
    });
    return;
  }
  DispatchAll(call.node.op_type(), out.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using C = std::conditional_t<std::is_same_v<T, bool>, int64_t, Compute<T>>;
    std::vector<C> sums(static_cast<size_t>(out.size()));
    for (size_t i = 0; i < sums.size(); ++i) sums[i] = static_cast<C>(call.input(0).as<T>()[i]);
    visit([&](int64_t to, int64_t from) {
      C& sum = sums[static_cast<size_t>(to)];
      sum = Combine<C>(reduction, sum, static_cast<C>(updates.as<T>()[from]));
    });
    for (size_t i = 0; i < sums.size(); ++i) out.as<T>()[i] = static_cast<T>(sums[i]);
  });
}

void RequireLinear(const ir::Node& node) {
  const Reduction reduction = ReductionOf(node);
  if (reduction == Reduction::kNone || reduction == Reduction::kAdd) return;
  throw Error(ErrorCode::kUnsupported, "the gradient of a scatter with reduction '" +
                                           node.GetString("reduction") + "' is not supported");
}

// ---- by elements along an axis ----

// Calls use(place in data, place in indices) for every element of `indices`, in order.
template <typename F>
void ForEachElement(const TensorView& data, const TensorView& indices, int64_t given_axis,
                    const F& use) {
  const auto axis = static_cast<size_t>(NormalizeAxis(given_axis, data.rank()));
  const int64_t extent = data.dims[axis];
  std::vector<int64_t> strides = Strides(data.dims);
  const int64_t along = strides[axis];
  strides[axis] = 0;
  const std::vector<int64_t> places = ReadInts(indices);
  StridedIndex<1> at(indices.dims, {strides});
  for (int64_t i = 0; i < indices.size(); ++i, at.Next()) {
    use(at[0] + CheckedIndex(places[static_cast<size_t>(i)], extent, i) * along, i);
  }
}

// Throws unless data and indices have one rank and indices fit into data along other axes.
void CheckElements(const ir::InferContext& context, const Type& data, const Type& indices) {
  RequireIndices(context, 1);
  if (!data.has_rank() || !indices.has_rank()) return;
  bool fits = data.rank() == indices.rank() && data.rank() > 0;
  if (fits) {
    const int axis = NormalizeAxis(context.node().GetInt("axis"), data.rank());
    for (int i = 0; i < data.rank(); ++i) {
      if (i == axis || !data.dim(i).is_static() || !indices.dim(i).is_static()) continue;
      fits = fits && indices.dim(i).value() <= data.dim(i).value();
    }
  }
  if (!fits) {
    throw Error(ErrorCode::kInvalidInput,
                "indices " + indices.ToString() + " do not fit data " + data.ToString());
  }
}

void RegisterGatherElements(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "GatherElements";
  op.since_version = 13;
  op.summary = "For each index the element of `data` at that place along `axis`.";
  op.inputs = {Required("data"), Required("indices", "Tind")};
  op.outputs = {Required("output")};
  op.attributes = {IntAttribute("axis", 0)};
  op.infer = [](ir::InferContext& context) {
    CheckElements(context, context.input(0), context.input(1));
    context.SetOutput(0, context.input(1).WithDType(context.input(0).dtype()));
  };
  op.reference = [](const ir::ReferenceCall& call) {
    const size_t item = ItemSize(call.output().dtype);
    ForEachElement(
        call.input(0), call.input(1), call.node.GetInt("axis"), [&](int64_t from, int64_t to) {
          std::memcpy(
              static_cast<std::byte*>(call.output().data) + static_cast<size_t>(to) * item,
              static_cast<const std::byte*>(call.input(0).data) + static_cast<size_t>(from) * item,
              item);
        });
  };
  op.gradient = [](GradientContext& context) {
    if (!context.wants(0)) return;
    Builder& b = context.builder();
    Attributes attributes = AxisAttributes(context.node().GetInt("axis"));
    attributes["reduction"] = Attribute(std::string("add"));
    context.SetInputGradient(
        0, b.Op("ScatterElements",
                {ZerosLike(b, context.input(0)), context.input(1), context.output_gradient()},
                std::move(attributes)));
  };
  const OpCase::Input x = Floats({2, 3}, {1, 2, 3, 4, 5, 6});
  op.cases = {
      ExpectedCase("columns", {x, Integers({2, 2}, {0, 0, 2, -2})}, {1, 1, 6, 5},
                   AxisAttributes(1)),
      ExpectedCase("rows", {x, Integers({1, 3}, {1, 0, 1})}, {4, 2, 6}),
      ExpectedCase("i32", {x, Integers({2, 1}, {1, 1}, DType::kI32)}, {2, 5}, AxisAttributes(-1)),
      ExpectedCase("empty", {x, Integers({0, 3}, {})}, {})};
  registry.Add(std::move(op));
}

void RegisterScatterElements(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "ScatterElements";
  op.since_version = 18;
  op.summary = "`data` with each update put (or added, ...) at its index along `axis`.";
  op.inputs = {Required("data"), Required("indices", "Tind"), Required("updates")};
  op.outputs = {Required("output")};
  op.attributes = {IntAttribute("axis", 0), StringAttribute("reduction", "none")};
  op.infer = [](ir::InferContext& context) {
    ReductionOf(context.node());
    CheckElements(context, context.input(0), context.input(1));
    context.SetOutput(0, context.input(0));
  };
  op.reference = [](const ir::ReferenceCall& call) {
    if (call.input(2).size() != call.input(1).size()) {
      throw Error(ErrorCode::kInvalidInput, "indices and updates have different shapes");
    }
    Scatter(call, call.input(2), ReductionOf(call.node), [&](const auto& use) {
      ForEachElement(call.input(0), call.input(1), call.node.GetInt("axis"), use);
    });
  };
  op.gradient = [](GradientContext& context) {
    RequireLinear(context.node());
    Builder& b = context.builder();
    Value* dy = context.output_gradient();
    const Attributes axis = AxisAttributes(context.node().GetInt("axis"));
    if (context.wants(2)) {
      context.SetInputGradient(2, b.Op("GatherElements", {dy, context.input(1)}, axis));
    }
    if (!context.wants(0)) return;
    if (ReductionOf(context.node()) == Reduction::kAdd) {
      context.SetInputGradient(0, dy);
    } else {
      context.SetInputGradient(
          0, b.Op("ScatterElements", {dy, context.input(1), ZerosLike(b, context.input(2))}, axis));
    }
  };
  const auto reduced = [](const char* how) {
    Attributes attributes = AxisAttributes(1);
    attributes["reduction"] = Attribute(std::string(how));
    return attributes;
  };
  const OpCase::Input x = Floats({1, 5}, {1, 2, 3, 4, 5});
  const OpCase::Input two = Integers({1, 2}, {1, -2});
  const OpCase::Input same = Integers({1, 2}, {1, 1});
  const OpCase::Input updates = Floats({1, 2}, {1.5, 2.5});
  op.cases = {
      ExpectedCase("apart", {x, two, updates}, {1, 1.5, 3, 2.5, 5}, AxisAttributes(1)),
      ExpectedCase("rows", {Floats({2, 2}, {1, 2, 3, 4}), Integers({1, 2}, {1, 0}), updates},
                   {1, 2.5, 1.5, 4}),
      ExpectedCase("add", {x, same, updates}, {1, 6, 3, 4, 5}, reduced("add")),
      ExpectedOnly("mul", {x, same, updates}, {1, 7.5, 3, 4, 5}, reduced("mul")),
      ExpectedOnly("max", {x, same, updates}, {1, 2.5, 3, 4, 5}, reduced("max")),
      ExpectedOnly("min", {x, same, updates}, {1, 1.5, 3, 4, 5}, reduced("min"))};
  registry.Add(op);
  // Its name before opset 11; there were no reductions.
  op.name = "Scatter";
  op.since_version = 9;
  op.cases.resize(2);
  registry.Add(std::move(op));
}

// ---- by tuples of indices ----

// Calls use(place of the first element in data, number of the tuple) for every index tuple; the
// slice that a tuple names has `slice` elements.
struct Tuples {
  Tuples(const TensorView& data, const TensorView& indices, int64_t batch_dims)
      : depth(indices.dim(-1)), batch(batch_dims) {
    for (int64_t i = batch + depth; i < data.rank(); ++i) slice *= data.dim(static_cast<int>(i));
  }

  template <typename F>
  void ForEach(const TensorView& data, const TensorView& indices, const F& use) const {
    const std::vector<int64_t> strides = Strides(data.dims);
    const std::vector<int64_t> places = ReadInts(indices);
    int64_t batches = 1;
    for (int64_t i = 0; i < batch; ++i) batches *= data.dim(static_cast<int>(i));
    const int64_t count = depth == 0 ? 0 : indices.size() / depth;
    const int64_t each = batches == 0 ? 0 : count / batches;
    const int64_t batch_stride = batches == 0 ? 0 : data.size() / batches;
    for (int64_t t = 0; t < count; ++t) {
      int64_t at = t / each * batch_stride;
      for (int64_t d = 0; d < depth; ++d) {
        const int64_t element = t * depth + d;
        const auto axis = static_cast<size_t>(batch + d);
        at += CheckedIndex(places[static_cast<size_t>(element)], data.dims[axis], element) *
              strides[axis];
      }
      use(at, t);
    }
  }

  int64_t depth = 0, batch = 0, slice = 1;
};

// The extents of what the tuples of `indices` select.
std::vector<Type> SelectedType(const ir::Node& node, const Type& data, const Type& indices,
                               int64_t batch) {
  if (!data.has_rank() || !indices.has_rank()) return {Type::TensorOfUnknownRank(data.dtype())};
  const int q = indices.rank();
  const bool fits = q > 0 && batch >= 0 && batch < q && batch <= data.rank();
  const Dimension depth = q > 0 ? indices.dim(-1) : Dimension();
  if (!fits || (depth.is_static() && batch + depth.value() > data.rank())) {
    throw Error(ErrorCode::kInvalidInput, node.op_type() + ": indices " + indices.ToString() +
                                              " do not fit data " + data.ToString());
  }
  if (!depth.is_static()) return {Type::TensorOfUnknownRank(data.dtype())};
  Dimensions dims(indices.dims().begin(), indices.dims().end() - 1);
  dims.insert(dims.end(), data.dims().begin() + batch + depth.value(), data.dims().end());
  return {Type::Tensor(data.dtype(), std::move(dims))};
}

void RegisterGatherNd(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "GatherND";
  op.since_version = 13;
  op.summary = "The slices of `data` that the last axis of `indices` names.";
  op.inputs = {Required("data"), Required("indices", "Tind")};
  op.outputs = {Required("output")};
  op.attributes = {IntAttribute("batch_dims", 0)};
  op.infer = [](ir::InferContext& context) {
    RequireIndices(context, 1);
    context.SetOutput(0, SelectedType(context.node(), context.input(0), context.input(1),
                                      context.node().GetInt("batch_dims"))[0]);
  };
  op.reference = [](const ir::ReferenceCall& call) {
    const TensorView& data = call.input(0);
    const Tuples tuples(data, call.input(1), call.node.GetInt("batch_dims"));
    const size_t item = ItemSize(data.dtype);
    const size_t line = static_cast<size_t>(tuples.slice) * item;
    if (call.output().size() == 0) return;
    tuples.ForEach(data, call.input(1), [&](int64_t from, int64_t t) {
      std::memcpy(static_cast<std::byte*>(call.output().data) + static_cast<size_t>(t) * line,
                  static_cast<const std::byte*>(data.data) + static_cast<size_t>(from) * item,
                  line);
    });
  };
  op.gradient = [](GradientContext& context) {
    if (!context.wants(0)) return;
    context.SetInputGradient(
        0, context.builder().Op("ingot.GatherNDGradient",
                                {context.output_gradient(), context.input(0), context.input(1)},
                                {{"batch_dims", Attribute(context.node().GetInt("batch_dims"))}}));
  };
  const OpCase::Input x = Floats({2, 2, 2}, {1, 2, 3, 4, 5, 6, 7, 8});
  const Attributes batched = {{"batch_dims", Attribute(int64_t{1})}};
  op.cases = {ExpectedCase("elements", {x, Integers({2, 3}, {0, 0, 1, 1, -1, 0})}, {2, 7}),
              ExpectedCase("rows", {x, Integers({2, 2}, {1, 0, 1, 0})}, {5, 6, 5, 6}),
              ExpectedCase("matrices", {x, Integers({1, 1}, {1})}, {5, 6, 7, 8}),
              ExpectedCase("batched", {x, Integers({2, 1}, {1, 0})}, {3, 4, 5, 6}, batched)};
  registry.Add(std::move(op));

  ir::OpDefinition helper;
  helper.name = "GatherNDGradient";
  helper.domain = "ingot";
  helper.summary = "Zeros of the shape of `like` to which dY is added where GatherND took it.";
  helper.inputs = {Required("dY"), Required("like"), Required("indices", "Tind")};
  helper.outputs = {Required("dX")};
  helper.attributes = {IntAttribute("batch_dims", 0)};
  helper.infer = [](ir::InferContext& context) { context.SetOutput(0, context.input(1)); };
  helper.reference = [](const ir::ReferenceCall& call) {
    const TensorView& out = call.output();
    const Tuples tuples(out, call.input(2), call.node.GetInt("batch_dims"));
    DispatchFloat("GatherNDGradient", out.dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      std::vector<double> sums(static_cast<size_t>(out.size()), 0);
      tuples.ForEach(out, call.input(2), [&](int64_t to, int64_t t) {
        for (int64_t i = 0; i < tuples.slice; ++i) {
          sums[static_cast<size_t>(to + i)] +=
              static_cast<double>(call.input(0).as<T>()[t * tuples.slice + i]);
        }
      });
      for (size_t i = 0; i < sums.size(); ++i) out.as<T>()[i] = static_cast<T>(sums[i]);
    });
  };
  helper.gradient = [](GradientContext& context) {
    if (!context.wants(0)) return;
    context.SetInputGradient(
        0, context.builder().Op("GatherND", {context.output_gradient(), context.input(2)},
                                context.node().attributes()));
  };
  OpCase::Input like = Uniform({2, 2});
  like.differentiable = false;
  helper.cases = {ExpectedCase(
      "twice", {Floats({2, 2}, {1, 2, 3, 4}), like, Integers({2, 1}, {1, 1})}, {0, 0, 4, 6})};
  registry.Add(std::move(helper));
}

void RegisterScatterNd(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "ScatterND";
  op.since_version = 18;
  op.summary = "`data` with each slice of `updates` put (or added, ...) where indices name it.";
  op.inputs = {Required("data"), Required("indices", "Tind"), Required("updates")};
  op.outputs = {Required("output")};
  op.attributes = {StringAttribute("reduction", "none")};
  op.infer = [](ir::InferContext& context) {
    RequireIndices(context, 1);
    ReductionOf(context.node());
    SelectedType(context.node(), context.input(0), context.input(1), 0);
    context.SetOutput(0, context.input(0));
  };
  op.reference = [](const ir::ReferenceCall& call) {
    const Tuples tuples(call.input(0), call.input(1), 0);
    const int64_t count = tuples.depth == 0 ? 0 : call.input(1).size() / tuples.depth;
    if (call.input(2).size() != count * tuples.slice) {
      throw Error(ErrorCode::kInvalidInput, "updates do not have the shape that indices select");
    }
    Scatter(call, call.input(2), ReductionOf(call.node), [&](const auto& use) {
      tuples.ForEach(call.input(0), call.input(1), [&](int64_t to, int64_t t) {
        for (int64_t i = 0; i < tuples.slice; ++i) use(to + i, t * tuples.slice + i);
      });
    });
  };
  op.gradient = [](GradientContext& context) {
    RequireLinear(context.node());
    Builder& b = context.builder();
    Value* dy = context.output_gradient();
    if (context.wants(2)) {
      context.SetInputGradient(2, b.Op("GatherND", {dy, context.input(1)}));
    }
    if (!context.wants(0)) return;
    const bool add = ReductionOf(context.node()) == Reduction::kAdd;
    context.SetInputGradient(
        0, add ? dy : b.Op("ScatterND", {dy, context.input(1), ZerosLike(b, context.input(2))}));
  };
  const auto reduced = [](const char* how) {
    return Attributes{{"reduction", Attribute(std::string(how))}};
  };
  const OpCase::Input x = Floats({4}, {1, 2, 3, 4});
  const OpCase::Input matrix = Floats({2, 2}, {1, 2, 3, 4});
  const OpCase::Input same = Integers({2, 1}, {2, 2});
  const OpCase::Input updates = Floats({2}, {5, 0.5});
  op.cases = {
      ExpectedCase("elements", {x, Integers({2, 1}, {3, -4}), updates}, {0.5, 2, 3, 5}),
      ExpectedCase("rows", {matrix, Integers({1, 1}, {1}), Floats({1, 2}, {7, 8})}, {1, 2, 7, 8}),
      ExpectedCase("add", {x, same, updates}, {1, 2, 8.5, 4}, reduced("add")),
      ExpectedOnly("mul", {x, same, updates}, {1, 2, 7.5, 4}, reduced("mul")),
      ExpectedOnly("max", {x, same, updates}, {1, 2, 5, 4}, reduced("max")),
      ExpectedOnly("min", {x, same, updates}, {1, 2, 0.5, 4}, reduced("min"))};
  registry.Add(std::move(op));
}

// ---- TensorScatter: a cache of keys or values, updated at a place of each sample ----

void RegisterTensorScatter(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "TensorScatter";
  op.since_version = 24;
  op.summary = "A cache with `update` written along `axis` from each sample's write index on.";
  op.inputs = {Required("past_cache"), Required("update"), Optional("write_indices", "I")};
  op.outputs = {Required("present_cache")};
  op.attributes = {IntAttribute("axis", -2), StringAttribute("mode", "linear")};
  op.infer = [](ir::InferContext& context) { context.SetOutput(0, context.input(0)); };
  op.reference = [](const ir::ReferenceCall& call) {
    const TensorView& cache = call.input(0);
    const TensorView& update = call.input(1);
    const bool circular = call.node.GetString("mode") == "circular";
    const int axis = NormalizeAxis(call.node.GetInt("axis"), cache.rank());
    if (axis == 0 || update.rank() != cache.rank() || update.dim(0) != cache.dim(0)) {
      throw Error(ErrorCode::kInvalidInput,
                  "cache and update must share their rank and batch, and axis cannot be 0");
    }
    const AxisSplit to(cache.dims, axis), from(update.dims, axis);
    if (to.outer != from.outer || to.inner != from.inner || from.extent > to.extent) {
      throw Error(ErrorCode::kInvalidInput, "the update does not fit into the cache");
    }
    std::vector<int64_t> begins(static_cast<size_t>(cache.dim(0)), 0);
    if (call.has_input(2)) begins = ReadInts(call.input(2));
    const size_t line = static_cast<size_t>(to.inner) * ItemSize(cache.dtype);
    if (cache.bytes() > 0) std::memcpy(call.output().data, cache.data, cache.bytes());
    if (update.bytes() == 0) return;
    const int64_t rows = to.outer / cache.dim(0);
    for (int64_t o = 0; o < to.outer; ++o) {
      for (int64_t e = 0; e < from.extent; ++e) {
        int64_t place = begins.at(static_cast<size_t>(o / rows)) + e;
        if (circular && place >= 0) place %= to.extent;
        if (place < 0 || place >= to.extent) {
          throw Error(ErrorCode::kInvalidInput, "write index " + std::to_string(place) +
                                                    " is outside a cache of extent " +
                                                    std::to_string(to.extent));
        }
        std::memcpy(static_cast<std::byte*>(call.output().data) +
                        static_cast<size_t>(o * to.extent + place) * line,
                    static_cast<const std::byte*>(update.data) +
                        static_cast<size_t>(o * from.extent + e) * line,
                    line);
      }
    }
  };
  const OpCase::Input cache = Floats({2, 3, 1}, {1, 2, 3, 4, 5, 6});
  const OpCase::Input update = Floats({2, 2, 1}, {7, 8, 9, 10});
  op.cases = {ExpectedOnly("linear", {cache, update, Integers({2}, {1, 0})}, {1, 7, 8, 9, 10, 6}),
              ExpectedOnly("at_start", {cache, update}, {7, 8, 3, 9, 10, 6}),
              ExpectedOnly("circular", {cache, update, Integers({2}, {2, 1})}, {8, 2, 7, 4, 9, 10},
                           {{"mode", Attribute(std::string("circular"))}})};
  registry.Add(std::move(op));
}

// ---- Compress ----

void RegisterCompress(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "Compress";
  op.since_version = 11;
  op.summary = "The slices along `axis` (absent: the elements) whose condition is true.";
  op.inputs = {Required("input"), Required("condition", "B")};
  op.outputs = {Required("output")};
  op.attributes = {OptionalAttribute("axis", ir::AttributeKind::kInt)};
  op.infer = [](ir::InferContext& context) {
    const Type& x = context.input(0);
    if (!context.node().HasAttribute("axis")) {
      context.SetOutput(0, Type::Tensor(x.dtype(), UnknownDimensions(1)));
    } else if (x.has_rank()) {
      Dimensions dims = x.dims();
      dims[static_cast<size_t>(NormalizeAxis(context.node().GetInt("axis"), x.rank()))] = {};
      context.SetOutput(0, Type::Tensor(x.dtype(), std::move(dims)));
    } else {
      context.SetOutput(0, x);
    }
  };
  op.dynamic_reference = [](const ir::Node& node, std::span<const Tensor> inputs) {
    const Tensor& x = inputs[0];
    const std::vector<int64_t> flat = {x.size()};
    const bool has_axis = node.HasAttribute("axis");
    std::vector<int64_t> dims = has_axis ? x.shape().dims() : flat;
    const int axis = has_axis ? NormalizeAxis(node.GetInt("axis"), x.shape().rank()) : 0;
    const AxisSplit split(dims, axis);
    std::vector<int64_t> kept;
    const std::span<const bool> condition = inputs[1].data<bool>();
    for (size_t i = 0; i < condition.size(); ++i) {
      if (condition[i]) kept.push_back(CheckedIndex(static_cast<int64_t>(i), split.extent, 0));
    }
    dims[static_cast<size_t>(axis)] = static_cast<int64_t>(kept.size());
    Tensor out(x.dtype(), Shape(dims));
    const size_t line = static_cast<size_t>(split.inner) * ItemSize(x.dtype());
    std::byte* to = out.raw();
    for (int64_t o = 0; line > 0 && o < split.outer; ++o) {
      for (const int64_t k : kept) {
        std::memcpy(to, x.raw() + static_cast<size_t>(o * split.extent + k) * line, line);
        to += line;
      }
    }
    return std::vector<Tensor>{out};
  };
  const OpCase::Input x = Floats({3, 2}, {1, 2, 3, 4, 5, 6});
  op.cases = {ExpectedOnly("rows", {x, Integers({3}, {0, 1, 1}, DType::kBool)}, {3, 4, 5, 6},
                           AxisAttributes(0)),
              ExpectedOnly("columns", {x, Integers({2}, {0, 1}, DType::kBool)}, {2, 4, 6},
                           AxisAttributes(1)),
              ExpectedOnly("flat", {x, Integers({5}, {0, 1, 0, 0, 1}, DType::kBool)}, {2, 5})};
  registry.Add(std::move(op));
}

}  // namespace

void RegisterElementIndexing(ir::OpRegistry& registry) {
  RegisterGatherElements(registry);
  RegisterScatterElements(registry);
  RegisterGatherNd(registry);
  RegisterScatterNd(registry);
  RegisterTensorScatter(registry);
  RegisterCompress(registry);
}

}  // namespace ingot::ops
