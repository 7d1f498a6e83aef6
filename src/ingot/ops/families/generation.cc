// Tensors made from little: Range, EyeLike, OneHot, Tile, Trilu, CumSum, CumProd.
#include <cmath>
#include <cstring>
#include <string>

#include "ingot/base/error.h"
#include "ingot/base/text.h"
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

// ---- Range ----

// The number of elements from start to limit (exclusive) by step.
int64_t RangeLength(const Tensor& start, const Tensor& limit, const Tensor& delta) {
  const auto check = [](double step) {
    if (step == 0) throw Error(ErrorCode::kInvalidInput, "a range cannot have step 0");
  };
  double length = 0;
  if (IsInteger(start.dtype())) {
    const int64_t first = start.ToInts().at(0), end = limit.ToInts().at(0);
    const int64_t step = delta.ToInts().at(0);
    check(static_cast<double>(step));
    length = std::ceil((static_cast<double>(end) - static_cast<double>(first)) /
                       static_cast<double>(step));
  } else {
    const double step = delta.ToDoubles().at(0);
    check(step);
    length = std::ceil((limit.ToDoubles().at(0) - start.ToDoubles().at(0)) / step);
  }
  if (!(length < 0x1p40)) {
    throw Error(ErrorCode::kInvalidInput,
                "a range of " + FormatNumber(length) + " elements is too large");
  }
  return length > 0 ? static_cast<int64_t>(length) : 0;
}

void RegisterRange(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "Range";
  op.since_version = 27;
  op.summary = "start, start + delta, ... up to limit (exclusive).";
  op.inputs = {Required("start"), Required("limit"), Required("delta")};
  op.outputs = {Required("output")};
  op.reference = [](const ir::ReferenceCall& call) {
    DispatchNumeric("Range", call.output().dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      using C = Compute<T>;
      const C start = static_cast<C>(*call.input(0).as<T>());
      const C delta = static_cast<C>(*call.input(2).as<T>());
      for (int64_t i = 0; i < call.output().size(); ++i) {
        call.output().as<T>()[i] =
            static_cast<T>(WrapAdd<C>(start, WrapMul<C>(static_cast<C>(i), delta)));
      }
    });
  };
  SetShapeRule(op, [](const RuleInputs& in) -> std::vector<Type> {
    for (size_t i = 0; i < 3; ++i) {
      const Type& type = in.type(i);
      if (!type.has_rank() || type.rank() == 0) continue;
      if (type.rank() == 1 && (!type.dim(0).is_static() || type.dim(0).value() == 1)) continue;
      throw Error(ErrorCode::kInvalidInput,
                  "start, limit and delta must be scalars, not " + type.ToString());
    }
    const DType dtype = in.type(0).dtype();
    if (in.values[0] == nullptr || in.values[1] == nullptr || in.values[2] == nullptr) {
      return {Type::Tensor(dtype, UnknownDimensions(1))};
    }
    return {
        Type::Tensor(dtype, {Dimension(RangeLength(*in.values[0], *in.values[1], *in.values[2]))})};
  });
  const auto ints = [](int64_t value) { return Integers({}, {value}); };
  op.cases = {ExpectedOnly("up", {ints(1), ints(7), ints(2)}, {1, 3, 5}),
              ExpectedOnly("down", {ints(10), ints(4), ints(-2)}, {10, 8, 6}),
              ExpectedOnly("empty", {ints(10), ints(4), ints(2)}, {}),
              ExpectedOnly("float", {Floats({}, {0.5}), Floats({}, {2}), Floats({}, {0.5})},
                           {0.5, 1, 1.5})};
  registry.Add(std::move(op));
}

// ---- EyeLike ----

void RegisterEyeLike(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "EyeLike";
  op.since_version = 22;
  op.summary = "Ones on the k-th diagonal of a matrix like the input, zeros elsewhere.";
  op.inputs = {Required("input", "T1")};
  op.outputs = {Required("output", "T2")};
  op.attributes = {IntAttribute("k", 0), OptionalAttribute("dtype", ir::AttributeKind::kInt)};
  op.infer = [](ir::InferContext& context) {
    const Type& x = context.input(0);
    if (x.has_rank() && x.rank() != 2) {
      throw Error(ErrorCode::kInvalidInput, "input is " + x.ToString() + ", expected a matrix");
    }
    const ir::Node& node = context.node();
    context.SetOutput(
        0, node.HasAttribute("dtype") ? x.WithDType(static_cast<DType>(node.GetInt("dtype"))) : x);
  };
  op.reference = [](const ir::ReferenceCall& call) {
    const TensorView& out = call.output();
    const int64_t k = call.node.GetInt("k");
    DispatchAll("EyeLike", out.dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      for (int64_t i = 0; i < out.dim(0); ++i) {
        for (int64_t j = 0; j < out.dim(1); ++j) {
          out.as<T>()[i * out.dim(1) + j] = T(j - i == k ? 1 : 0);
        }
      }
    });
  };
  op.cases = {ExpectedOnly("square", {Uniform({2, 2})}, {1, 0, 0, 1}),
              ExpectedOnly("above", {Uniform({2, 3})}, {0, 1, 0, 0, 0, 1}, {{"k", int64_t{1}}}),
              ExpectedOnly("i32", {Uniform({2, 2})}, {0, 0, 1, 0},
                           {{"k", int64_t{-1}}, {"dtype", int64_t{6}}})};
  registry.Add(std::move(op));
}

// ---- OneHot ----

std::vector<Type> OneHotRule(const RuleInputs& in) {
  const Type& indices = in.type(0);
  const DType dtype = in.type(2).dtype();
  if (!indices.has_rank()) return {Type::TensorOfUnknownRank(dtype)};
  Dimension depth;
  if (in.values[1] != nullptr) depth = Dimension(in.values[1]->ToInts().at(0));
  Dimensions dims = indices.dims();
  dims.insert(dims.begin() + NormalizeAxis(in.node.GetInt("axis"), indices.rank() + 1), depth);
  return {Type::Tensor(dtype, std::move(dims))};
}

void RegisterOneHot(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "OneHot";
  op.since_version = 11;
  op.summary = "values[1] where the index along a new axis is the input's, else values[0].";
  op.inputs = {Required("indices", "T1"), Required("depth", "T2"), Required("values", "T3")};
  op.outputs = {Required("output", "T3")};
  op.attributes = {IntAttribute("axis", -1)};
  op.reference = [](const ir::ReferenceCall& call) {
    const TensorView& out = call.output();
    const size_t item = ItemSize(out.dtype);
    const AxisSplit split(out.dims, call.node.GetInt("axis"));
    std::vector<double> indices(static_cast<size_t>(call.input(0).size()));
    ConvertElements(call.input(0).data, call.input(0).dtype, indices.data(), DType::kF64,
                    call.input(0).size());
    const auto* values = static_cast<const std::byte*>(call.input(2).data);
    auto* to = static_cast<std::byte*>(out.data);
    for (int64_t o = 0; o < split.outer; ++o) {
      for (int64_t e = 0; e < split.extent; ++e) {
        for (int64_t i = 0; i < split.inner; ++i, to += item) {
          double index = indices[static_cast<size_t>(o * split.inner + i)];
          if (index < 0) index += static_cast<double>(split.extent);
          const bool on = std::trunc(index) == static_cast<double>(e);
          std::memcpy(to, values + (on ? item : 0), item);
        }
      }
    }
  };
  // The values are taken from where the output has them: sums over the ones and over the rest.
  op.gradient = [](GradientContext& context) {
    if (!context.wants(2)) return;
    Builder& b = context.builder();
    Value* dy = context.output_gradient();
    Value* zero = b.ScalarLike(dy, 0);
    Value* one = b.ScalarLike(dy, 1);
    const Attributes axis0 = {{"axis", Attribute(int64_t{0})}};
    Value* axes = b.Ints({0});
    Value* mask = b.Op(
        "OneHot",
        {context.input(0), context.node().input(1),
         b.Op("Concat", {b.Op("Unsqueeze", {zero, axes}), b.Op("Unsqueeze", {one, axes})}, axis0)},
        context.node().attributes());
    const Attributes flat = {{"keepdims", Attribute(int64_t{0})}};
    Value* on = b.Op("ReduceSum", {b.Mul(dy, mask)}, flat);
    Value* all = b.Op("ReduceSum", {dy}, flat);
    context.SetInputGradient(
        2, b.Op("Concat",
                {b.Op("Unsqueeze", {b.Sub(all, on), axes}), b.Op("Unsqueeze", {on, axes})}, axis0));
  };
  SetShapeRule(op, OneHotRule);
  const OpCase::Input depth = ConstantInts({3});
  const OpCase::Input values = Floats({2}, {-1, 2});
  op.cases = {
      ExpectedCase("last", {Integers({2}, {2, -3}), depth, values}, {-1, -1, 2, 2, -1, -1}),
      ExpectedCase("first", {Integers({2}, {2, 0}), depth, values}, {-1, 2, -1, -1, 2, -1},
                   {{"axis", int64_t{0}}}),
      ExpectedCase("outside", {Integers({1}, {7}), depth, values}, {-1, -1, -1}),
      ExpectedCase("at_run_time", {Integers({1}, {1}), Integers({}, {2}), values}, {-1, 2})};
  registry.Add(std::move(op));
}

// ---- Tile ----

std::vector<Type> TileRule(const RuleInputs& in) {
  const Type& x = in.type(0);
  const std::optional<std::vector<int64_t>> repeats = in.ints(1);
  if (!x.has_rank()) return {Type::TensorOfUnknownRank(x.dtype())};
  if (!repeats) return {Type::Tensor(x.dtype(), UnknownDimensions(x.rank()))};
  if (static_cast<int>(repeats->size()) != x.rank()) {
    throw Error(ErrorCode::kInvalidInput, "repeats " + Shape(*repeats).ToString() +
                                              " must have one number for each axis of " +
                                              x.ToString());
  }
  Dimensions dims;
  for (size_t i = 0; i < repeats->size(); ++i) {
    const int64_t n = (*repeats)[i];
    if (n < 0) throw Error(ErrorCode::kInvalidInput, "a repeat cannot be " + std::to_string(n));
    const Dimension& dim = x.dims()[i];
    dims.push_back(n == 1            ? dim
                   : dim.is_static() ? Product(std::vector<Dimension>{dim, n})
                                     : Dimension());
  }
  return {Type::Tensor(x.dtype(), std::move(dims))};
}

void RegisterTile(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "Tile";
  op.since_version = 13;
  op.summary = "The input repeated along each axis.";
  op.inputs = {Required("input"), Required("repeats", "T1")};
  op.outputs = {Required("output")};
  op.reference = [](const ir::ReferenceCall& call) {
    // The output as [repeat, extent] for each axis: the input broadcasts to that.
    const TensorView& x = call.input(0);
    const std::vector<int64_t> own = Strides(x.dims);
    std::vector<int64_t> dims, strides;
    for (int i = 0; i < x.rank(); ++i) {
      const int64_t extent = x.dim(i);
      dims.push_back(extent == 0 ? 0 : call.output().dim(i) / extent);
      strides.push_back(0);
      dims.push_back(extent);
      strides.push_back(own[static_cast<size_t>(i)]);
    }
    if (call.output().size() > 0) {
      GatherStrided(x.data, 0, strides, dims, call.output().data, ItemSize(x.dtype));
    }
  };
  // The sum over the repeats: [r0, d0, r1, d1, ...] reduced over every second axis.
  op.gradient = [](GradientContext& context) {
    if (!context.wants(0)) return;
    Builder& b = context.builder();
    const int rank = context.input(0)->type().rank();
    if (rank == 0) {
      context.SetInputGradient(0, context.output_gradient());
      return;
    }
    std::vector<Value*> extents;
    std::vector<int64_t> axes;
    Value* shape = b.Op("Shape", {context.input(0)});
    for (int i = 0; i < rank; ++i) {
      const Attributes axis = {{"axis", Attribute(int64_t{0})}};
      extents.push_back(b.Op("Gather", {context.node().input(1), b.Ints({i})}, axis));
      extents.push_back(b.Op("Gather", {shape, b.Ints({i})}, axis));
      axes.push_back(2 * i);
    }
    Value* parts = b.Op("Reshape",
                        {context.output_gradient(),
                         b.Op("Concat", std::move(extents), {{"axis", Attribute(int64_t{0})}})},
                        {{"allowzero", Attribute(int64_t{1})}});
    Value* sum = b.Op("ReduceSum", {parts, b.Ints(axes)}, {{"keepdims", Attribute(int64_t{0})}});
    context.SetInputGradient(0, b.ReshapeLike(sum, context.input(0)));
  };
  SetShapeRule(op, TileRule);
  const OpCase::Input x = Floats({2, 2}, {1, 2, 3, 4});
  op.cases = {ExpectedCase("columns", {x, ConstantInts({1, 2})}, {1, 2, 1, 2, 3, 4, 3, 4}),
              ExpectedCase("rows", {x, ConstantInts({2, 1})}, {1, 2, 3, 4, 1, 2, 3, 4}),
              ExpectedCase("both", {Floats({1, 2}, {1, 2}), ConstantInts({2, 2})},
                           {1, 2, 1, 2, 1, 2, 1, 2}),
              ExpectedCase("nothing", {x, ConstantInts({0, 1})}, {}),
              ExpectedCase("at_run_time", {x, Integers({2}, {1, 1})}, {1, 2, 3, 4}),
              ExpectedOnly("u8", {Integers({1}, {7}, DType::kU8), ConstantInts({3})}, {7, 7, 7})};
  registry.Add(std::move(op));
}

// ---- Trilu ----

void RegisterTrilu(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "Trilu";
  op.since_version = 14;
  op.summary = "The matrices with what lies above (or below) their k-th diagonal kept, else zero.";
  op.inputs = {Required("input"), Optional("k", "I")};
  op.outputs = {Required("output")};
  op.attributes = {IntAttribute("upper", 1)};
  op.infer = [](ir::InferContext& context) {
    const Type& x = context.input(0);
    if (x.has_rank() && x.rank() < 2) {
      throw Error(ErrorCode::kInvalidInput, "input is " + x.ToString() + ", expected matrices");
    }
    context.SetOutput(0, x);
  };
  op.reference = [](const ir::ReferenceCall& call) {
    const TensorView& x = call.input(0);
    const int64_t k = call.has_input(1) ? ReadInts(call.input(1)).at(0) : 0;
    const bool upper = call.node.GetInt("upper") != 0;
    const size_t item = ItemSize(x.dtype);
    const int64_t rows = x.dim(-2), columns = x.dim(-1);
    for (int64_t at = 0; at < x.size(); ++at) {
      const int64_t row = at / columns % rows, column = at % columns;
      // k may be as large as an i64 can be, so that no sum is made with it.
      const bool kept = upper ? column - row >= k : column - row <= k;
      auto* to = static_cast<std::byte*>(call.output().data) + static_cast<size_t>(at) * item;
      if (kept) {
        std::memcpy(to, static_cast<const std::byte*>(x.data) + static_cast<size_t>(at) * item,
                    item);
      } else {
        std::memset(to, 0, item);
      }
    }
  };
  op.gradient = [](GradientContext& context) {
    if (!context.wants(0)) return;
    context.SetInputGradient(
        0, context.builder().Op("Trilu", {context.output_gradient(), context.node().input(1)},
                                context.node().attributes()));
  };
  const OpCase::Input x = Floats({2, 3}, {1, 2, 3, 4, 5, 6});
  const Attributes lower = {{"upper", Attribute(int64_t{0})}};
  op.cases = {ExpectedCase("upper", {x}, {1, 2, 3, 0, 5, 6}),
              ExpectedCase("lower", {x}, {1, 0, 0, 4, 5, 0}, lower),
              ExpectedCase("above", {x, Integers({}, {1})}, {0, 2, 3, 0, 0, 6}),
              ExpectedCase("below", {x, Integers({}, {-1})}, {0, 0, 0, 4, 0, 0}, lower),
              ExpectedCase("stack", {Floats({2, 1, 2}, {1, 2, 3, 4})}, {1, 0, 3, 0}, lower)};
  registry.Add(std::move(op));
}

// ---- CumSum and CumProd ----

// Runs along the axis with a running result; `exclusive` writes it before the element joins.
template <typename F>
void Accumulate(const ir::ReferenceCall& call, int64_t first, const F& f) {
  const AxisSplit split(call.input(0).dims, ReadInts(call.input(1)).at(0));
  const bool exclusive = call.node.GetInt("exclusive") != 0;
  const bool reverse = call.node.GetInt("reverse") != 0;
  DispatchNumeric(call.node.op_type(), call.input(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using C = Compute<T>;
    for (int64_t o = 0; o < split.outer; ++o) {
      for (int64_t i = 0; i < split.inner; ++i) {
        C running = static_cast<C>(first);
        for (int64_t e = 0; e < split.extent; ++e) {
          const int64_t place = reverse ? split.extent - 1 - e : e;
          const int64_t at = (o * split.extent + place) * split.inner + i;
          const C before = running;
          running = f(running, static_cast<C>(call.input(0).as<T>()[at]));
          call.output().as<T>()[at] = static_cast<T>(exclusive ? before : running);
        }
      }
    }
  });
}

ir::OpDefinition Cumulative(std::string name, int since, std::string summary) {
  ir::OpDefinition op;
  op.name = std::move(name);
  op.since_version = since;
  op.summary = std::move(summary);
  op.inputs = {Required("x"), Required("axis", "T2")};
  op.outputs = {Required("y")};
  op.attributes = {IntAttribute("exclusive", 0), IntAttribute("reverse", 0)};
  op.infer = [](ir::InferContext& context) {
    RequireType(context, 0, Types::kNumeric);
    context.SetOutput(0, context.input(0));
  };
  return op;
}

void RegisterCumulative(ir::OpRegistry& registry) {
  const auto flags = [](int64_t exclusive, int64_t reverse) {
    return Attributes{{"exclusive", Attribute(exclusive)}, {"reverse", Attribute(reverse)}};
  };
  ir::OpDefinition sum = Cumulative("CumSum", 14, "Sums of the elements up to each place.");
  sum.reference = [](const ir::ReferenceCall& call) {
    Accumulate(call, 0, [](auto a, auto b) { return WrapAdd(a, b); });
  };
  sum.gradient = [flags](GradientContext& context) {
    if (!context.wants(0)) return;
    const ir::Node& node = context.node();
    context.SetInputGradient(
        0, context.builder().Op("CumSum", {context.output_gradient(), node.input(1)},
                                flags(node.GetInt("exclusive"), 1 - node.GetInt("reverse"))));
  };
  const OpCase::Input x = Floats({2, 3}, {1, 2, 3, 4, 5, 6});
  const OpCase::Input axis = Integers({}, {1});
  sum.cases = {
      ExpectedCase("columns", {x, axis}, {1, 3, 6, 4, 9, 15}),
      ExpectedCase("rows", {x, Integers({}, {-2})}, {1, 2, 3, 5, 7, 9}),
      ExpectedCase("exclusive", {x, axis}, {0, 1, 3, 0, 4, 9}, flags(1, 0)),
      ExpectedCase("reverse", {x, axis}, {6, 5, 3, 15, 11, 6}, flags(0, 1)),
      ExpectedCase("both", {x, axis}, {5, 3, 0, 11, 6, 0}, flags(1, 1)),
      ExpectedOnly("i32", {Integers({3}, {1, 2, 3}, DType::kI32), Integers({}, {0})}, {1, 3, 6})};
  registry.Add(std::move(sum));

  ir::OpDefinition product =
      Cumulative("CumProd", 26, "Products of the elements up to each place.");
  product.reference = [](const ir::ReferenceCall& call) {
    Accumulate(call, 1, [](auto a, auto b) { return WrapMul(a, b); });
  };
  product.cases = {ExpectedOnly("columns", {x, axis}, {1, 2, 6, 4, 20, 120}),
                   ExpectedOnly("exclusive", {x, axis}, {1, 1, 2, 1, 4, 20}, flags(1, 0)),
                   ExpectedOnly("reverse", {x, axis}, {6, 6, 3, 120, 30, 6}, flags(0, 1))};
  registry.Add(std::move(product));
}

}  // namespace

void RegisterGeneration(ir::OpRegistry& registry) {
  RegisterRange(registry);
  RegisterEyeLike(registry);
  RegisterOneHot(registry);
  RegisterTile(registry);
  RegisterTrilu(registry);
  RegisterCumulative(registry);
}

}  // namespace ingot::ops
