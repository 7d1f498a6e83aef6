// Data movement along whole axes: Transpose, Concat, Split.
#include <algorithm>
#include <cstring>
#include <numeric>
#include <string>

#include "ingot/base/error.h"
#include "ingot/ops/broadcast.h"
#include "ingot/ops/definition.h"
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

// ---- Transpose ----

// The node's permutation for an input of this rank (default: axes reversed); throws unless it names
// every axis once.
std::vector<int64_t> Permutation(const ir::Node& node, int rank) {
  const std::vector<int64_t>* given = node.FindInts("perm");
  std::vector<int64_t> perm(static_cast<size_t>(rank));
  if (given == nullptr) {
    for (int i = 0; i < rank; ++i) perm[static_cast<size_t>(i)] = rank - 1 - i;
    return perm;
  }
  std::vector<bool> seen(perm.size(), false);
  bool valid = given->size() == perm.size();
  for (size_t i = 0; valid && i < perm.size(); ++i) {
    const int64_t axis = (*given)[i];
    valid = axis >= 0 && axis < rank && !seen[static_cast<size_t>(axis)];
    if (valid) seen[static_cast<size_t>(axis)] = true;
  }
  if (!valid) {
    throw Error(ErrorCode::kInvalidInput, "attribute 'perm' is " + Shape(*given).ToString() +
                                              ", expected each axis of a tensor of rank " +
                                              std::to_string(rank) + " once");
  }
  return *given;
}

void TransposeReference(const ir::ReferenceCall& call) {
  const TensorView& x = call.input(0);
  const std::vector<int64_t> perm = Permutation(call.node, x.rank());
  const std::vector<int64_t> own = Strides(x.dims);
  std::vector<int64_t> strides;
  for (const int64_t axis : perm) strides.push_back(own[static_cast<size_t>(axis)]);
  GatherStrided(x.data, 0, strides, call.output().dims, call.output().data, ItemSize(x.dtype));
}

void RegisterTranspose(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "Transpose";
  op.since_version = 21;
  op.summary = "Output axis i is input axis perm[i]; without perm the axes are reversed.";
  op.inputs = {Required("data")};
  op.outputs = {Required("transposed")};
  op.attributes = {OptionalAttribute("perm", ir::AttributeKind::kInts)};
  op.infer = [](ir::InferContext& context) {
    const Type& x = context.input(0);
    if (!x.has_rank()) {
      context.SetOutput(0, x);
      return;
    }
    Dimensions dims;
    for (const int64_t axis : Permutation(context.node(), x.rank())) {
      dims.push_back(x.dims()[static_cast<size_t>(axis)]);
    }
    context.SetOutput(0, x.WithDims(std::move(dims)));
  };
  op.reference = TransposeReference;
  op.gradient = [](GradientContext& context) {
    if (!context.wants(0)) return;
    const std::vector<int64_t>* perm = context.node().FindInts("perm");
    Attributes attributes;
    if (perm != nullptr) {
      std::vector<int64_t> inverse(perm->size());
      for (size_t i = 0; i < perm->size(); ++i) {
        inverse[static_cast<size_t>((*perm)[i])] = static_cast<int64_t>(i);
      }
      attributes["perm"] = Attribute(std::move(inverse));
    }
    context.SetInputGradient(
        0, context.builder().Op("Transpose", {context.output_gradient()}, std::move(attributes)));
  };
  const auto perm = [](std::vector<int64_t> axes) {
    return Attributes{{"perm", Attribute(std::move(axes))}};
  };
  const OpCase::Input cube = Floats({2, 3, 2}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
  op.cases = {
      ExpectedCase("matrix", {Floats({2, 3}, {1, 2, 3, 4, 5, 6})}, {1, 4, 2, 5, 3, 6}),
      ExpectedCase("reversed", {cube}, {1, 7, 3, 9, 5, 11, 2, 8, 4, 10, 6, 12}),
      ExpectedCase("rotated", {cube}, {1, 3, 5, 7, 9, 11, 2, 4, 6, 8, 10, 12}, perm({2, 0, 1})),
      ExpectedCase("kept", {cube}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, perm({0, 1, 2})),
      ExpectedCase("scalar", {Floats({}, {3})}, {3}),
      // The weights of convolutions, there and back; runs longer than what is moved at once.
      OpCase{.name = "filters_last",
             .inputs = {Uniform({20, 37, 3, 3})},
             .attributes = perm({2, 3, 1, 0}),
             .gradient = false},
      OpCase{.name = "filters_first",
             .inputs = {Uniform({3, 3, 37, 20})},
             .attributes = perm({3, 2, 0, 1}),
             .gradient = false},
      OpCase{.name = "long_runs",
             .inputs = {Uniform({18, 5, 300})},
             .attributes = perm({2, 1, 0}),
             .gradient = false},
      ExpectedCase("empty", {Floats({0, 3}, {})}, {}, perm({1, 0})),
      ExpectedOnly("u8", {Integers({2, 2}, {1, 2, 3, 4}, DType::kU8)}, {1, 3, 2, 4})};
  registry.Add(std::move(op));
}

// ---- Concat ----

// Copies a block of `rows` lines of `line` bytes each to or from a wider tensor whose lines have
// `wide_line` bytes, at `offset` in each line.
void CopyLines(const std::byte* from, size_t from_line, std::byte* to, size_t to_line, size_t line,
               int64_t rows) {
  if (line == 0) return;
  for (int64_t row = 0; row < rows; ++row, from += from_line, to += to_line) {
    std::memcpy(to, from, line);
  }
}

// Bytes from one step along `axis` - 1 to the next: the extents from `axis` on.
size_t LineBytes(const TensorView& view, int axis) {
  size_t bytes = ItemSize(view.dtype);
  for (int i = axis; i < view.rank(); ++i) bytes *= static_cast<size_t>(view.dim(i));
  return bytes;
}

int64_t Rows(const TensorView& view, int axis) {
  int64_t rows = 1;
  for (int i = 0; i < axis; ++i) rows *= view.dim(i);
  return rows;
}

void ConcatReference(const ir::ReferenceCall& call) {
  const TensorView& out = call.output();
  const int axis = NormalizeAxis(call.node.GetInt("axis"), out.rank());
  const size_t out_line = LineBytes(out, axis);
  auto* to = static_cast<std::byte*>(out.data);
  for (const TensorView& part : call.inputs) {
    const size_t line = LineBytes(part, axis);
    CopyLines(static_cast<const std::byte*>(part.data), line, to, out_line, line, Rows(out, axis));
    to += line;
  }
}

// The sum of extents: a number, a symbol (where the others are 0), or unknown.
Dimension Sum(const Dimension& a, const Dimension& b) {
  if (a.is_static() && b.is_static()) return a.value() + b.value();
  if (a.value() == 0) return b;
  if (b.value() == 0) return a;
  return {};
}

void ConcatRule(ir::InferContext& context) {
  const DType dtype = context.input(0).dtype();
  Dimensions dims;
  for (size_t i = 0; i < context.node().inputs().size(); ++i) {
    const Type& part = context.input(i);
    if (!part.has_rank()) {
      context.SetOutput(0, Type::TensorOfUnknownRank(dtype));
      return;
    }
    if (i == 0) {
      if (part.rank() == 0) throw Error(ErrorCode::kInvalidInput, "scalars cannot be concatenated");
      dims = part.dims();
      NormalizeAxis(context.node().GetInt("axis"), part.rank());
      continue;
    }
    const Type& first = context.input(0);
    const auto axis =
        static_cast<size_t>(NormalizeAxis(context.node().GetInt("axis"), first.rank()));
    bool fits = part.rank() == first.rank();
    for (size_t d = 0; fits && d < dims.size(); ++d) {
      const Dimension& other = part.dims()[d];
      if (d == axis) {
        dims[d] = Sum(dims[d], other);
      } else {
        fits = !dims[d].is_static() || !other.is_static() || dims[d].value() == other.value();
        if (fits) dims[d] = Merge(dims[d], other, "extents");
      }
    }
    if (!fits) {
      throw Error(ErrorCode::kInvalidInput,
                  "cannot concatenate " + first.ToString() + " and " + part.ToString() +
                      " along axis " + std::to_string(axis),
                  "all other extents must be equal");
    }
  }
  context.SetOutput(0, Type::Tensor(dtype, std::move(dims)));
}

// The extents of the inputs along the axis as an i64 value: a Constant where all are known.
Value* PartSizes(GradientContext& context, int64_t axis) {
  Builder& b = context.builder();
  std::vector<int64_t> sizes;
  std::vector<Value*> symbolic;
  for (Value* part : context.node().inputs()) {
    const auto i = static_cast<size_t>(NormalizeAxis(axis, part->type().rank()));
    sizes.push_back(part->type().dims()[i].value());
  }
  if (std::find(sizes.begin(), sizes.end(), -1) == sizes.end()) return b.Ints(sizes);
  for (Value* part : context.node().inputs()) {
    const int64_t first = NormalizeAxis(axis, part->type().rank());
    symbolic.push_back(
        b.Op("Shape", {part}, {{"start", Attribute(first)}, {"end", Attribute(first + 1)}}));
  }
  return b.Op("Concat", std::move(symbolic), {{"axis", Attribute(int64_t{0})}});
}

void ConcatGradient(GradientContext& context) {
  Builder& b = context.builder();
  const int64_t axis = context.node().GetInt("axis");
  const size_t count = context.node().inputs().size();
  const std::vector<Value*> parts =
      b.Ops("Split", {context.output_gradient(), PartSizes(context, axis)}, count,
            {{"axis", Attribute(axis)}});
  for (size_t i = 0; i < count; ++i) {
    // ReshapeLike restores the symbols that Split cannot know.
    if (context.wants(i)) context.SetInputGradient(i, b.ReshapeLike(parts[i], context.input(i)));
  }
}

void RegisterConcat(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "Concat";
  op.since_version = 13;
  op.summary = "The inputs one after another along `axis`.";
  op.inputs = {Variadic("inputs")};
  op.outputs = {Required("concat_result")};
  op.attributes = {RequiredAttribute("axis", ir::AttributeKind::kInt)};
  op.infer = ConcatRule;
  op.reference = ConcatReference;
  op.gradient = ConcatGradient;
  const OpCase::Input a = Floats({2, 2}, {1, 2, 3, 4});
  const OpCase::Input b = Floats({2, 1}, {5, 6});
  op.cases = {
      ExpectedCase("columns", {a, b}, {1, 2, 5, 3, 4, 6}, AxisAttributes(1)),
      ExpectedCase("negative_axis", {b, a, b}, {5, 1, 2, 5, 6, 3, 4, 6}, AxisAttributes(-1)),
      ExpectedCase("rows", {a, Floats({1, 2}, {7, 8})}, {1, 2, 3, 4, 7, 8}, AxisAttributes(0)),
      ExpectedCase("one", {a}, {1, 2, 3, 4}, AxisAttributes(0)),
      ExpectedCase("with_empty", {Floats({0}, {}), Floats({2}, {1, 2})}, {1, 2}, AxisAttributes(0)),
      ExpectedCase(
          "middle",
          {Floats({2, 1, 2}, {1, 2, 3, 4}), Floats({2, 2, 2}, {5, 6, 7, 8, 9, 10, 11, 12})},
          {1, 2, 5, 6, 7, 8, 3, 4, 9, 10, 11, 12}, AxisAttributes(1)),
      ExpectedOnly("i32", {Integers({2}, {1, 2}, DType::kI32), Integers({1}, {3}, DType::kI32)},
                   {1, 2, 3}, AxisAttributes(0))};
  registry.Add(std::move(op));
}

// ---- Split ----

// The extents of the parts of an axis of this extent: `sizes`, or equal parts of which the last may
// be smaller.
std::vector<int64_t> SplitSizes(const ir::Node& node, int64_t extent,
                                const std::optional<std::vector<int64_t>>& sizes) {
  const auto count = static_cast<int64_t>(node.outputs().size());
  if (!sizes) {
    const int64_t each = (extent + count - 1) / count;
    std::vector<int64_t> equal;
    for (int64_t i = 0; i < count; ++i) {
      equal.push_back(std::clamp<int64_t>(extent - i * each, 0, each));
    }
    return equal;
  }
  const int64_t sum = std::accumulate(sizes->begin(), sizes->end(), int64_t{0});
  const bool negative = std::any_of(sizes->begin(), sizes->end(), [](int64_t s) { return s < 0; });
  if (sum != extent || negative || static_cast<int64_t>(sizes->size()) != count) {
    throw Error(ErrorCode::kInvalidInput,
                "cannot split an axis of extent " + std::to_string(extent) + " into " +
                    std::to_string(count) + " parts of " + Shape(*sizes).ToString());
  }
  return *sizes;
}

std::vector<Type> SplitRule(const RuleInputs& in) {
  const Type& x = in.type(0);
  const size_t count = in.node.outputs().size();
  if (in.has(1) == in.node.HasAttribute("num_outputs")) {
    throw Error(ErrorCode::kInvalidInput,
                "give either the input 'split' or the attribute 'num_outputs'");
  }
  if (!in.has(1) && in.node.GetInt("num_outputs") != static_cast<int64_t>(count)) {
    throw Error(ErrorCode::kInvalidInput,
                "attribute 'num_outputs' is " + std::to_string(in.node.GetInt("num_outputs")) +
                    ", but the node has " + std::to_string(count) + " outputs");
  }
  if (!x.has_rank()) {
    return std::vector<Type>(count, Type::TensorOfUnknownRank(x.dtype()));
  }
  const auto axis = static_cast<size_t>(NormalizeAxis(in.node.GetInt("axis"), x.rank()));
  const Dimension& extent = x.dims()[axis];
  const std::optional<std::vector<int64_t>> sizes = in.ints(1);
  std::vector<Dimension> extents(count);
  if (extent.is_static() && (sizes || !in.has(1))) {
    const std::vector<int64_t> known = SplitSizes(in.node, extent.value(), sizes);
    extents.assign(known.begin(), known.end());
  } else if (sizes && sizes->size() == count) {
    extents.assign(sizes->begin(), sizes->end());
  } else if (count == 1) {
    extents[0] = extent;
  }
  std::vector<Type> types;
  for (const Dimension& part : extents) {
    Dimensions dims = x.dims();
    dims[axis] = part;
    types.push_back(Type::Tensor(x.dtype(), std::move(dims)));
  }
  return types;
}

void SplitReference(const ir::ReferenceCall& call) {
  const TensorView& x = call.input(0);
  const int axis = NormalizeAxis(call.node.GetInt("axis"), x.rank());
  const size_t line = LineBytes(x, axis);
  const auto* from = static_cast<const std::byte*>(x.data);
  for (const TensorView& part : call.outputs) {
    const size_t part_line = LineBytes(part, axis);
    CopyLines(from, line, static_cast<std::byte*>(part.data), part_line, part_line, Rows(x, axis));
    from += part_line;
  }
}

void SplitGradient(GradientContext& context) {
  if (!context.wants(0)) return;
  Builder& b = context.builder();
  std::vector<Value*> parts;
  for (size_t i = 0; i < context.node().outputs().size(); ++i) {
    Value* part = context.output_gradient(i);
    if (part == nullptr) {
      Value* like = context.output(i);
      part = b.ExpandLike(b.ScalarLike(like, 0), like);
    }
    parts.push_back(part);
  }
  Value* joined = b.Op("Concat", std::move(parts), AxisAttributes(context.node().GetInt("axis")));
  context.SetInputGradient(0, b.ReshapeLike(joined, context.input(0)));
}

OpCase SplitCase(std::string name, std::vector<OpCase::Input> inputs,
                 std::vector<std::vector<double>> expected, Attributes attributes) {
  OpCase test;
  test.name = std::move(name);
  test.inputs = std::move(inputs);
  test.outputs = expected.size();
  test.expected = std::move(expected);
  test.attributes = std::move(attributes);
  return test;
}

void RegisterSplit(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "Split";
  op.since_version = 18;
  op.summary =
      "Parts of the input along `axis`: of the sizes in `split`, or num_outputs equal ones.";
  op.inputs = {Required("input"), Optional("split", "tint64")};
  op.outputs = {Variadic("outputs")};
  op.attributes = {IntAttribute("axis", 0),
                   OptionalAttribute("num_outputs", ir::AttributeKind::kInt)};
  op.reference = SplitReference;
  op.gradient = SplitGradient;
  SetShapeRule(op, SplitRule);
  const OpCase::Input x = Floats({2, 3}, {1, 2, 3, 4, 5, 6});
  const auto equal = [](int64_t axis, int64_t count) {
    return Attributes{{"axis", Attribute(axis)}, {"num_outputs", Attribute(count)}};
  };
  op.cases = {
      SplitCase("sizes", {x, ConstantInts({1, 2})}, {{1, 4}, {2, 3, 5, 6}}, AxisAttributes(1)),
      SplitCase("equal", {x}, {{1, 2, 3}, {4, 5, 6}}, equal(0, 2)),
      SplitCase("last_is_smaller", {x}, {{1, 2, 4, 5}, {3, 6}}, equal(-1, 2)),
      SplitCase("three", {x, ConstantInts({1, 0, 2})}, {{1, 4}, {}, {2, 3, 5, 6}},
                AxisAttributes(-1)),
      SplitCase("at_run_time", {x, Integers({2}, {2, 1})}, {{1, 2, 4, 5}, {3, 6}},
                AxisAttributes(1)),
      SplitCase("one", {x}, {{1, 2, 3, 4, 5, 6}}, equal(0, 1))};
  OpCase ints = SplitCase("i64", {Integers({3}, {7, 8, 9})}, {{7, 8}, {9}}, equal(0, 2));
  ints.gradient = false;
  op.cases.push_back(std::move(ints));
  registry.Add(std::move(op));
}

}  // namespace

void RegisterMovement(ir::OpRegistry& registry) {
  RegisterTranspose(registry);
  RegisterConcat(registry);
  RegisterSplit(registry);
}

}  // namespace ingot::ops
