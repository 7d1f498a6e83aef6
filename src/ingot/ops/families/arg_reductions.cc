// ArgMax and ArgMin: where along an axis the extreme value stands, as i64. Not differentiable.
#include "ingot/base/error.h"
#include "ingot/ops/elementwise.h"
#include "ingot/ops/reduction.h"

namespace ingot::ops {
namespace {

using ir::Attribute;
using ir::Attributes;

// kSign is 1 for the largest and -1 for the smallest value. NaN is never chosen over a number that
// comes first.
template <int kSign>
void ArgExtremum(const ir::ReferenceCall& call) {
  const TensorView& input = call.input(0);
  const int axis = NormalizeAxis(call.node.GetInt("axis"), input.rank());
  const bool last = call.node.GetInt("select_last_index") != 0;
  int64_t outer = 1;
  int64_t inner = 1;
  for (int i = 0; i < axis; ++i) outer *= input.dim(i);
  for (int i = axis + 1; i < input.rank(); ++i) inner *= input.dim(i);
  const int64_t extent = input.dim(axis);
  DispatchNumeric(call.node.op_type(), input.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* in = input.as<T>();
    int64_t* out = call.output().as<int64_t>();
    for (int64_t i = 0; i < outer * inner; ++i) {
      const T* line = in + (i / inner) * extent * inner + i % inner;
      int64_t best = 0;
      for (int64_t j = 1; j < extent; ++j) {
        const T value = line[j * inner];
        const T other = line[best * inner];
        const bool better = kSign > 0 ? value > other : value < other;
        if (better || (last && value == other)) best = j;
      }
      out[i] = best;
    }
  });
}

void ArgRule(ir::InferContext& context) {
  RequireType(context, 0, Types::kNumeric);
  const ir::Type& x = context.input(0);
  const bool keepdims = context.node().GetInt("keepdims") != 0;
  if (!x.has_rank()) {
    context.SetOutput(0, ir::Type::TensorOfUnknownRank(DType::kI64));
    return;
  }
  if (x.rank() == 0) throw Error(ErrorCode::kInvalidInput, "data is a scalar, which has no axis");
  const int axis = NormalizeAxis(context.node().GetInt("axis"), x.rank());
  if (x.dims()[static_cast<size_t>(axis)].value() == 0) {
    throw Error(ErrorCode::kInvalidInput, "data is " + x.ToString() + ", whose axis " +
                                              std::to_string(axis) + " has no element to choose");
  }
  std::vector<bool> reduced(static_cast<size_t>(x.rank()), false);
  reduced[static_cast<size_t>(axis)] = true;
  context.SetOutput(0,
                    ir::Type::Tensor(DType::kI64, ReducedDimensions(x.dims(), reduced, keepdims)));
}

template <int kSign>
ir::OpDefinition ArgDefinition(std::string name, std::string summary) {
  ir::OpDefinition op;
  op.name = std::move(name);
  op.since_version = 13;
  op.summary = std::move(summary);
  op.inputs = {Required("data")};
  op.outputs = {Required("reduced", "tint64")};
  op.attributes = {IntAttribute("axis", 0), IntAttribute("keepdims", 1),
                   IntAttribute("select_last_index", 0)};
  op.infer = ArgRule;
  op.reference = ArgExtremum<kSign>;
  return op;
}

Attributes With(int64_t axis, int64_t keepdims, int64_t last = 0) {
  return {{"axis", Attribute(axis)},
          {"keepdims", Attribute(keepdims)},
          {"select_last_index", Attribute(last)}};
}

}  // namespace

void RegisterArgReductions(ir::OpRegistry& registry) {
  const OpCase::Input x = Floats({2, 3}, {1, 5, 5, 4, -2, 4});
  ir::OpDefinition max = ArgDefinition<1>(
      "ArgMax",
      "The index of the largest value along the axis; of equal ones the first (or last).");
  max.cases = {ExpectedOnly("defaults", {x}, {1, 0, 0}),
               ExpectedOnly("ties_first", {x}, {1, 0}, With(1, 0)),
               ExpectedOnly("ties_last", {x}, {2, 2}, With(-1, 1, 1)),
               ExpectedOnly("inner", {Floats({2, 2, 2}, {1, 2, 3, 0, 7, 6, 5, 8})}, {1, 0, 0, 1},
                            With(1, 0)),
               ExpectedOnly("u8", {Integers({3}, {3, 200, 100}, DType::kU8)}, {1}, With(0, 0))};
  registry.Add(std::move(max));

  ir::OpDefinition min = ArgDefinition<-1>(
      "ArgMin",
      "The index of the smallest value along the axis; of equal ones the first (or last).");
  min.cases = {ExpectedOnly("defaults", {x}, {0, 1, 1}),
               ExpectedOnly("rows", {x}, {0, 1}, With(1, 0)),
               ExpectedOnly("ties_last", {Floats({4}, {1, 0, 2, 0})}, {3}, With(0, 0, 1)),
               ExpectedOnly("i32", {Integers({3}, {3, -200, 100}, DType::kI32)}, {1}, With(0, 1))};
  registry.Add(std::move(min));
}

}  // namespace ingot::ops
