// Gather (embedding look-up) and its gradient. Negative indices count from the end; an index
// outside is an error that names it. The gradient adds rows in the order of the indices, so that
// its bits do not depend on who computes it.
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
using ir::GradientContext;
using ir::Type;
using ir::Value;

void GatherRule(ir::InferContext& context) {
  RequireIndices(context, 1);
  const Type& data = context.input(0);
  const Type& indices = context.input(1);
  if (!data.has_rank() || !indices.has_rank()) {
    context.SetOutput(0, Type::TensorOfUnknownRank(data.dtype()));
    return;
  }
  if (data.rank() == 0)
    throw Error(ErrorCode::kInvalidInput, "data is a scalar, which has no axis");
  const int axis = NormalizeAxis(context.node().GetInt("axis"), data.rank());
  const ir::Dimensions& from = data.dims();
  ir::Dimensions dims(from.begin(), from.begin() + axis);
  dims.insert(dims.end(), indices.dims().begin(), indices.dims().end());
  dims.insert(dims.end(), from.begin() + axis + 1, from.end());
  context.SetOutput(0, Type::Tensor(data.dtype(), std::move(dims)));
}

void GatherReference(const ir::ReferenceCall& call) {
  const TensorView& data = call.input(0);
  const AxisSplit split(data.dims, call.node.GetInt("axis"));
  const std::vector<int64_t> indices = CheckedIndices(call.input(1), split.extent);
  const size_t line = static_cast<size_t>(split.inner) * ItemSize(data.dtype);
  if (call.output().bytes() == 0) return;
  const auto* from = static_cast<const std::byte*>(data.data);
  auto* to = static_cast<std::byte*>(call.output().data);
  for (int64_t i = 0; i < split.outer; ++i) {
    for (const int64_t index : indices) {
      std::memcpy(to, from + static_cast<size_t>(i * split.extent + index) * line, line);
      to += line;
    }
  }
}

void GatherGradientReference(const ir::ReferenceCall& call) {
  const TensorView& out = call.output();
  const AxisSplit split(out.dims, call.node.GetInt("axis"));
  const std::vector<int64_t> indices = CheckedIndices(call.input(1), split.extent);
  DispatchFloat("GatherGradient", out.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    std::vector<double> sums(static_cast<size_t>(out.size()), 0);
    const T* dy = call.input(0).as<T>();
    for (int64_t i = 0; i < split.outer; ++i) {
      for (const int64_t index : indices) {
        double* row = sums.data() + (i * split.extent + index) * split.inner;
        for (int64_t j = 0; j < split.inner; ++j) row[j] += static_cast<double>(*dy++);
      }
    }
    for (size_t i = 0; i < sums.size(); ++i) out.as<T>()[i] = static_cast<T>(sums[i]);
  });
}

void RegisterForward(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "Gather";
  op.since_version = 13;
  op.summary = "The slices of `data` along `axis` that `indices` name.";
  op.inputs = {Required("data"), Required("indices", "Tind")};
  op.outputs = {Required("output")};
  op.attributes = {IntAttribute("axis", 0)};
  op.infer = GatherRule;
  op.reference = GatherReference;
  op.gradient = [](GradientContext& context) {
    if (!context.wants(0)) return;
    context.SetInputGradient(
        0, context.builder().Op("ingot.GatherGradient",
                                {context.output_gradient(), context.input(1), context.input(0)},
                                AxisAttributes(context.node().GetInt("axis"))));
  };
  const OpCase::Input table = Floats({3, 2}, {1, 2, 3, 4, 5, 6});
  op.cases = {ExpectedCase("rows", {table, Integers({4}, {2, 0, 2, -1})}, {5, 6, 1, 2, 5, 6, 5, 6}),
              ExpectedCase("columns", {table, Integers({1}, {1}, DType::kI32)}, {2, 4, 6},
                           AxisAttributes(1)),
              ExpectedCase("matrix_of_indices", {table, Integers({2, 2}, {0, 1, 1, 0})},
                           {1, 2, 3, 4, 3, 4, 1, 2}),
              ExpectedCase("scalar_index", {table, Integers({}, {1})}, {3, 4}),
              ExpectedCase("last_axis", {table, Integers({2}, {1, 0})}, {2, 1, 4, 3, 6, 5},
                           AxisAttributes(-1)),
              ExpectedCase("no_indices", {table, Integers({0}, {})}, {}),
              ExpectedOnly("i64", {Integers({3}, {7, 8, 9}), Integers({2}, {2, 0})}, {9, 7})};
  registry.Add(std::move(op));
}

void RegisterBackward(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "GatherGradient";
  op.domain = "ingot";
  op.summary = "Zeros of the shape of `like`, with the slices of dY added where they came from.";
  op.inputs = {Required("dY"), Required("indices", "Tind"), Required("like", "L")};
  op.outputs = {Required("dX")};
  op.attributes = {IntAttribute("axis", 0)};
  op.infer = [](ir::InferContext& context) {
    RequireType(context, 0, Types::kFloat);
    RequireIndices(context, 1);
    const Type& like = context.input(2);
    const DType dtype = context.input(0).dtype();
    context.SetOutput(
        0, like.has_rank() ? Type::Tensor(dtype, like.dims()) : Type::TensorOfUnknownRank(dtype));
  };
  op.reference = GatherGradientReference;
  op.gradient = [](GradientContext& context) {
    if (!context.wants(0)) return;
    context.SetInputGradient(
        0, context.builder().Op("Gather", {context.output_gradient(), context.input(1)},
                                AxisAttributes(context.node().GetInt("axis"))));
  };
  OpCase::Input like = Uniform({3, 2});
  like.differentiable = false;
  op.cases = {
      ExpectedCase("repeated_rows",
                   {Floats({4, 2}, {1, 2, 3, 4, 5, 6, 7, 8}), Integers({4}, {2, 0, 2, -1}), like},
                   {3, 4, 0, 0, 13, 16}),
      ExpectedCase("columns", {Floats({3, 1}, {1, 2, 3}), Integers({1}, {1}), like},
                   {0, 1, 0, 2, 0, 3}, AxisAttributes(1)),
      ExpectedCase("no_indices", {Floats({0, 2}, {}), Integers({0}, {}), like},
                   {0, 0, 0, 0, 0, 0})};
  registry.Add(std::move(op));
}

}  // namespace

void RegisterGather(ir::OpRegistry& registry) {
  RegisterForward(registry);
  RegisterBackward(registry);
}

}  // namespace ingot::ops
