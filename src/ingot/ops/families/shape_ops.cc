// Shapes: Reshape, Flatten, Squeeze, Unsqueeze, Shape, Size, Expand.
//
// Symbolic extents survive where it is sure what they become: Reshape of [batch, 28, 28] by [0, -1]
// or [-1, 784], and Flatten, give [batch, 784]. A multiple of a symbol is a symbol too: [batch, 16,
// 64] by [-1, 64] gives [batch*16, 64], and that by [-1, 16, 64] gives [batch, 16, 64] again.
#include <algorithm>
#include <charconv>
#include <cstring>
#include <string>

#include "ingot/base/error.h"
#include "ingot/ops/broadcast.h"
#include "ingot/ops/definition.h"
#include "ingot/ops/shape_rule.h"

namespace ingot::ops {
namespace {

using ir::Attribute;
using ir::Attributes;
using ir::Dimension;
using ir::Dimensions;
using ir::GradientContext;
using ir::Type;

void CopyBytes(const ir::ReferenceCall& call) {
  if (call.output().bytes() == 0) return;
  std::memmove(call.output().data, call.input(0).data, call.output().bytes());
}

void ReshapeGradient(GradientContext& context) {
  if (!context.wants(0)) return;
  context.SetInputGradient(
      0, context.builder().ReshapeLike(context.output_gradient(), context.input(0)));
}

// An op that gives the elements of its input another shape.
ir::OpDefinition Reshaping(std::string name, int since, std::string summary, ShapeRule rule) {
  ir::OpDefinition op;
  op.name = std::move(name);
  op.since_version = since;
  op.summary = std::move(summary);
  op.inputs = {Required("data")};
  op.outputs = {Required("reshaped")};
  op.reference = CopyBytes;
  op.gradient = ReshapeGradient;
  op.may_run_in_place = true;
  SetShapeRule(op, std::move(rule));
  return op;
}

// An output of which at most the rank is known.
std::vector<Type> OfRank(const Type& like, std::optional<int64_t> rank) {
  if (!rank) return {Type::TensorOfUnknownRank(like.dtype())};
  return {Type::Tensor(like.dtype(), UnknownDimensions(*rank))};
}

std::string ToText(const std::vector<int64_t>& values) {
  return Shape(values).ToString();
}

// ---- Reshape ----

[[noreturn]] void FailReshape(const Type& x, const std::vector<int64_t>& target,
                              const std::string& reason) {
  throw Error(ErrorCode::kInvalidInput,
              "cannot reshape " + x.ToString() + " to " + ToText(target) + ": " + reason);
}

// "batch*16" as ("batch", 16), "batch" as ("batch", 1).
struct Multiple {
  std::string symbol;
  int64_t factor = 1;

  explicit Multiple(const std::string& text) : symbol(text) {
    const size_t star = text.rfind('*');
    if (star == std::string::npos) return;
    int64_t value = 0;
    const char* end = text.data() + text.size();
    const auto [stop, fault] = std::from_chars(text.data() + star + 1, end, value);
    if (fault != std::errc() || stop != end || value < 1) return;
    symbol = text.substr(0, star);
    factor = value;
  }
  std::string ToString() const {
    return factor == 1 ? symbol : symbol + "*" + std::to_string(factor);
  }
};

// The extent that -1 stands for: `rest` are the extents of x that no 0 copied, `known` the product
// of the target's numbers.
Dimension SolveMinusOne(const Type& x, const std::vector<int64_t>& target, const Dimensions& rest,
                        int64_t known) {
  if (known == 0) FailReshape(x, target, "-1 has no meaning beside a 0");
  int64_t product = 1;
  Dimensions symbols;
  for (const Dimension& dim : rest) {
    if (dim.is_static()) {
      if (__builtin_mul_overflow(product, dim.value(), &product)) {
        FailReshape(x, target, "the number of elements is too large");
      }
    } else {
      symbols.push_back(dim);
    }
  }
  if (symbols.empty()) {
    if (product % known != 0) {
      FailReshape(x, target,
                  std::to_string(product) + " elements do not divide by " + std::to_string(known));
    }
    return product / known;
  }
  if (product == 0) return int64_t{0};
  if (symbols.size() != 1) return Dimension();
  if (product == known) return symbols[0];
  if (!symbols[0].is_symbolic()) return Dimension();
  Multiple multiple(symbols[0].symbol());
  if (__builtin_mul_overflow(multiple.factor, product, &multiple.factor)) return Dimension();
  if (multiple.factor % known != 0) return Dimension();
  multiple.factor /= known;
  return Dimension(multiple.ToString());
}

// Throws where the number of elements surely differs.
void CheckReshapedSize(const Type& x, const std::vector<int64_t>& target, const Dimensions& rest,
                       int64_t known) {
  const Dimension product = Product(rest);
  if (product.is_static() && product.value() != known) {
    FailReshape(x, target, "the numbers of elements differ");
  }
}

Dimensions ReshapedDimensions(const Type& x, const std::vector<int64_t>& target, bool allow_zero) {
  if (!x.has_rank()) {
    Dimensions dims;
    for (const int64_t d : target) {
      dims.push_back(d > 0 || (d == 0 && allow_zero) ? Dimension(d) : Dimension());
    }
    return dims;
  }
  Dimensions dims(target.size());
  Dimensions rest = x.dims();
  std::vector<bool> copied(rest.size(), false);
  int64_t known = 1;
  int unknown_at = -1;
  for (size_t i = 0; i < target.size(); ++i) {
    if (target[i] < -1) FailReshape(x, target, "extents cannot be below -1");
    if (target[i] == -1) {
      if (unknown_at >= 0) FailReshape(x, target, "only one -1 is allowed");
      unknown_at = static_cast<int>(i);
    } else if (target[i] == 0 && !allow_zero) {
      if (i >= rest.size()) {
        FailReshape(x, target, "a 0 copies axis " + std::to_string(i) + ", which is not there");
      }
      dims[i] = rest[i];
      copied[i] = true;
    } else {
      dims[i] = target[i];
      if (__builtin_mul_overflow(known, target[i], &known)) {
        FailReshape(x, target, "the number of elements is too large");
      }
    }
  }
  Dimensions others;
  for (size_t i = 0; i < rest.size(); ++i) {
    if (!copied[i]) others.push_back(rest[i]);
  }
  if (unknown_at >= 0) {
    dims[static_cast<size_t>(unknown_at)] = SolveMinusOne(x, target, others, known);
  } else {
    // With an extent of 0 among the copied ones any others hold the same number of elements: none.
    bool empty = false;
    for (size_t i = 0; i < rest.size(); ++i) empty = empty || (copied[i] && rest[i].value() == 0);
    if (!empty) CheckReshapedSize(x, target, others, known);
  }
  return dims;
}

void RegisterReshape(ir::OpRegistry& registry) {
  ir::OpDefinition op = Reshaping(
      "Reshape", 21, "The same elements in another shape; 0 copies an extent, -1 is worked out.",
      [](const RuleInputs& in) -> std::vector<Type> {
        const std::optional<std::vector<int64_t>> target = in.ints(1);
        if (!target) return OfRank(in.type(0), in.length(1));
        return {Type::Tensor(
            in.type(0).dtype(),
            ReshapedDimensions(in.type(0), *target, in.node.GetInt("allowzero") != 0))};
      });
  op.inputs.push_back(Required("shape", "tint64"));
  op.attributes = {IntAttribute("allowzero", 0)};
  const std::vector<double> x = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  const OpCase::Input data = Floats({2, 3, 2}, x);
  op.cases = {
      ExpectedCase("split", {data, ConstantInts({4, 3})}, x),
      ExpectedCase("minus_one", {data, ConstantInts({-1, 6})}, x),
      ExpectedCase("zero_copies", {data, ConstantInts({0, -1})}, x),
      ExpectedCase("at_run_time", {data, Integers({1}, {12})}, x),
      ExpectedCase("to_scalar", {Floats({1, 1}, {5}), ConstantInts({})}, {5}),
      ExpectedCase("empty", {Floats({0, 3}, {}), ConstantInts({3, 0})}, {},
                   {{"allowzero", Attribute(int64_t{1})}}),
      ExpectedOnly("i64", {Integers({2, 2}, {1, 2, 3, 4}), ConstantInts({4})}, {1, 2, 3, 4})};
  registry.Add(std::move(op));
}

// ---- Flatten ----

std::vector<Type> FlattenRule(const RuleInputs& in) {
  const Type& x = in.type(0);
  if (!x.has_rank()) return OfRank(x, 2);
  const int64_t axis = in.node.GetInt("axis");
  const int64_t rank = x.rank();
  if (axis < -rank || axis > rank) {
    throw Error(ErrorCode::kInvalidInput,
                "axis " + std::to_string(axis) + " is outside " + x.ToString());
  }
  const std::span<const Dimension> dims(x.dims());
  const auto split = static_cast<size_t>(axis < 0 ? axis + rank : axis);
  return {Type::Tensor(x.dtype(), {Product(dims.first(split)), Product(dims.subspan(split))})};
}

void RegisterFlatten(ir::OpRegistry& registry) {
  ir::OpDefinition op =
      Reshaping("Flatten", 21, "A matrix: axes before `axis` by the others.", FlattenRule);
  op.attributes = {IntAttribute("axis", 1)};
  const std::vector<double> x = {1, 2, 3, 4, 5, 6, 7, 8};
  const OpCase::Input data = Floats({2, 2, 2}, x);
  const auto axis = [](int64_t value) { return Attributes{{"axis", Attribute(value)}}; };
  op.cases = {ExpectedCase("default", {data}, x),
              ExpectedCase("axis_0", {data}, x, axis(0)),
              ExpectedCase("last", {data}, x, axis(-1)),
              ExpectedCase("rank", {data}, x, axis(3)),
              ExpectedCase("vector", {Floats({3}, {1, 2, 3})}, {1, 2, 3}),
              ExpectedCase("empty", {Floats({0, 4, 2}, {})}, {})};
  registry.Add(std::move(op));
}

// ---- Squeeze and Unsqueeze ----

// Marks the given axes of a tensor of this rank; throws for one outside or given twice.
std::vector<bool> MarkAxes(const std::vector<int64_t>& axes, int rank) {
  std::vector<bool> marked(static_cast<size_t>(rank), false);
  for (const int64_t axis : axes) {
    const auto i = static_cast<size_t>(NormalizeAxis(axis, rank));
    if (marked[i]) {
      throw Error(ErrorCode::kInvalidInput, "axis " + std::to_string(axis) + " is given twice");
    }
    marked[i] = true;
  }
  return marked;
}

std::vector<Type> SqueezeRule(const RuleInputs& in) {
  const Type& x = in.type(0);
  const bool given = in.has(1);
  const std::optional<std::vector<int64_t>> axes = in.ints(1);
  if (!x.has_rank()) return OfRank(x, std::nullopt);
  if (given && !axes) {
    const std::optional<int64_t> count = in.length(1);
    if (!count || *count > x.rank()) return OfRank(x, std::nullopt);
    return OfRank(x, x.rank() - *count);
  }
  Dimensions dims;
  if (!given) {
    for (const Dimension& dim : x.dims()) {
      // Whether a symbol is 1 is not known, so neither is the rank.
      if (!dim.is_static()) return OfRank(x, std::nullopt);
      if (dim.value() != 1) dims.push_back(dim);
    }
    return {Type::Tensor(x.dtype(), std::move(dims))};
  }
  const std::vector<bool> marked = MarkAxes(*axes, x.rank());
  for (size_t i = 0; i < marked.size(); ++i) {
    const Dimension& dim = x.dims()[i];
    if (!marked[i]) {
      dims.push_back(dim);
    } else if (dim.is_static() && dim.value() != 1) {
      throw Error(ErrorCode::kInvalidInput, "cannot squeeze axis " + std::to_string(i) + " of " +
                                                x.ToString() + ": its extent is not 1");
    }
  }
  return {Type::Tensor(x.dtype(), std::move(dims))};
}

std::vector<Type> UnsqueezeRule(const RuleInputs& in) {
  const Type& x = in.type(0);
  const std::optional<std::vector<int64_t>> axes = in.ints(1);
  const std::optional<int64_t> count = axes ? static_cast<int64_t>(axes->size()) : in.length(1);
  if (!x.has_rank() || !count) return OfRank(x, std::nullopt);
  const int rank = x.rank() + static_cast<int>(*count);
  if (!axes) return OfRank(x, rank);
  const std::vector<bool> marked = MarkAxes(*axes, rank);
  Dimensions dims;
  size_t next = 0;
  for (const bool is_new : marked) dims.push_back(is_new ? Dimension(1) : x.dims()[next++]);
  return {Type::Tensor(x.dtype(), std::move(dims))};
}

void RegisterSqueeze(ir::OpRegistry& registry) {
  ir::OpDefinition squeeze =
      Reshaping("Squeeze", 21, "Without the given axes (absent: all) of extent 1.", SqueezeRule);
  squeeze.inputs.push_back(Optional("axes", "tint64"));
  const OpCase::Input thin = Floats({1, 3, 1}, {1, 2, 3});
  squeeze.cases = {ExpectedCase("all", {thin}, {1, 2, 3}),
                   ExpectedCase("first", {thin, ConstantInts({0})}, {1, 2, 3}),
                   ExpectedCase("last", {thin, ConstantInts({-1})}, {1, 2, 3}),
                   ExpectedCase("both", {thin, ConstantInts({2, 0})}, {1, 2, 3}),
                   ExpectedCase("at_run_time", {thin, Integers({1}, {2})}, {1, 2, 3}),
                   ExpectedCase("to_scalar", {Floats({1}, {7})}, {7})};
  registry.Add(std::move(squeeze));

  ir::OpDefinition unsqueeze =
      Reshaping("Unsqueeze", 21, "With an axis of extent 1 at each given place of the output.",
                UnsqueezeRule);
  unsqueeze.inputs.push_back(Required("axes", "tint64"));
  const OpCase::Input row = Floats({3}, {1, 2, 3});
  unsqueeze.cases = {ExpectedCase("front", {row, ConstantInts({0})}, {1, 2, 3}),
                     ExpectedCase("back", {row, ConstantInts({-1})}, {1, 2, 3}),
                     ExpectedCase("several", {row, ConstantInts({3, 0, 1})}, {1, 2, 3}),
                     ExpectedCase("at_run_time", {row, Integers({1}, {1})}, {1, 2, 3}),
                     ExpectedCase("scalar", {Floats({}, {4}), ConstantInts({0})}, {4})};
  registry.Add(std::move(unsqueeze));
}

// ---- Shape and Size ----

// The axes [first, last) that Shape's start and end select, cut to what there is.
std::pair<int64_t, int64_t> ShapeRange(const ir::Node& node, int64_t rank) {
  const auto place = [&](int64_t axis) {
    return std::clamp<int64_t>(axis < 0 ? axis + rank : axis, 0, rank);
  };
  const int64_t first = place(node.GetInt("start"));
  const int64_t last = node.HasAttribute("end") ? place(node.GetInt("end")) : rank;
  return {first, std::max(first, last)};
}

void RegisterShape(ir::OpRegistry& registry) {
  ir::OpDefinition shape;
  shape.name = "Shape";
  shape.since_version = 21;
  shape.summary = "The extents of the axes from `start` to `end`, as i64.";
  shape.inputs = {Required("data")};
  shape.outputs = {Required("shape", "tint64")};
  shape.attributes = {IntAttribute("start", 0), OptionalAttribute("end", ir::AttributeKind::kInt)};
  shape.infer = [](ir::InferContext& context) {
    Dimensions dims = {Dimension()};
    if (context.input(0).has_rank()) {
      const auto range = ShapeRange(context.node(), context.input(0).rank());
      dims = {Dimension(range.second - range.first)};
    }
    context.SetOutput(0, Type::Tensor(DType::kI64, std::move(dims)));
  };
  shape.reference = [](const ir::ReferenceCall& call) {
    const auto range = ShapeRange(call.node, call.input(0).rank());
    for (int64_t i = range.first; i < range.second; ++i) {
      call.output().as<int64_t>()[i - range.first] = call.input(0).dim(static_cast<int>(i));
    }
  };
  const OpCase::Input x = Uniform({2, 3, 5});
  const auto range = [](int64_t start, int64_t end) {
    return Attributes{{"start", Attribute(start)}, {"end", Attribute(end)}};
  };
  shape.cases = {ExpectedOnly("whole", {x}, {2, 3, 5}), ExpectedOnly("part", {x}, {3}, range(1, 2)),
                 ExpectedOnly("negative", {x}, {3, 5}, range(-2, 9)),
                 ExpectedOnly("nothing", {x}, {}, range(2, 1)),
                 ExpectedOnly("scalar", {Uniform({})}, {})};
  registry.Add(std::move(shape));

  ir::OpDefinition size;
  size.name = "Size";
  size.since_version = 21;
  size.summary = "The number of elements, as i64.";
  size.inputs = {Required("data")};
  size.outputs = {Required("size", "tint64")};
  size.infer = [](ir::InferContext& context) {
    context.SetOutput(0, Type::Tensor(DType::kI64, Dimensions{}));
  };
  size.reference = [](const ir::ReferenceCall& call) {
    *call.output().as<int64_t>() = call.input(0).size();
  };
  size.cases = {ExpectedOnly("cube", {x}, {30}), ExpectedOnly("scalar", {Uniform({})}, {1}),
                ExpectedOnly("empty", {Uniform({4, 0})}, {0})};
  registry.Add(std::move(size));
}

// ---- Expand ----

void RegisterExpand(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "Expand";
  op.since_version = 13;
  op.summary = "The input broadcast against a shape (both ways, as ONNX says).";
  op.inputs = {Required("input"), Required("shape", "tint64")};
  op.outputs = {Required("output")};
  op.reference = [](const ir::ReferenceCall& call) {
    const TensorView& x = call.input(0);
    GatherStrided(x.data, 0, BroadcastStrides(x.dims, call.output().dims), call.output().dims,
                  call.output().data, ItemSize(x.dtype));
  };
  op.gradient = [](GradientContext& context) {
    if (!context.wants(0)) return;
    context.SetInputGradient(
        0, context.builder().SumToLike(context.output_gradient(), context.input(0)));
  };
  SetShapeRule(op, [](const RuleInputs& in) -> std::vector<Type> {
    const Type& x = in.type(0);
    const std::optional<std::vector<int64_t>> target = in.ints(1);
    if (!x.has_rank() || !target) {
      const std::optional<int64_t> length = in.length(1);
      if (!x.has_rank() || !length) return OfRank(x, std::nullopt);
      return OfRank(x, std::max<int64_t>(x.rank(), *length));
    }
    Dimensions dims;
    for (const int64_t d : *target) {
      if (d < 0) {
        throw Error(ErrorCode::kInvalidInput,
                    "shape " + ToText(*target) + " has a negative extent");
      }
      dims.emplace_back(d);
    }
    return {Type::Tensor(x.dtype(), ir::BroadcastDimensions(x.dims(), dims))};
  });
  const OpCase::Input column = Floats({2, 1}, {1, 2});
  op.cases = {
      ExpectedCase("column", {column, ConstantInts({2, 3})}, {1, 1, 1, 2, 2, 2}),
      ExpectedCase("new_axis", {column, ConstantInts({2, 1, 2})}, {1, 1, 2, 2, 1, 1, 2, 2}),
      ExpectedCase("shape_is_smaller", {column, ConstantInts({1})}, {1, 2}),
      ExpectedCase("scalar", {Floats({}, {3}), ConstantInts({2, 2})}, {3, 3, 3, 3}),
      ExpectedCase("at_run_time", {column, Integers({2}, {1, 2})}, {1, 1, 2, 2}),
      ExpectedCase("to_empty", {Floats({1}, {3}), ConstantInts({0})}, {}),
      ExpectedOnly("bool", {Integers({1}, {1}, DType::kBool), ConstantInts({3})}, {1, 1, 1})};
  registry.Add(std::move(op));
}

}  // namespace

void RegisterShapeOps(ir::OpRegistry& registry) {
  RegisterReshape(registry);
  RegisterFlatten(registry);
  RegisterSqueeze(registry);
  RegisterShape(registry);
  RegisterExpand(registry);
}

}  // namespace ingot::ops
