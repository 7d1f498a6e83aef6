// ingot.SumToLike, ingot.ExpandLike, ingot.ReshapeLike: what gradients of broadcasting and
// reshaping need while shapes are still symbolic. Of `like` only the shape counts, so its type may
// be any.
#include <cstring>
#include <string>

#include "ingot/base/error.h"
#include "ingot/ops/elementwise.h"

namespace ingot::ops {
namespace {

using ir::Builder;
using ir::GradientContext;
using ir::Type;
using ir::Value;

ir::OpDefinition LikeOp(std::string name, std::string summary) {
  ir::OpDefinition op;
  op.name = std::move(name);
  op.domain = "ingot";
  op.summary = std::move(summary);
  op.inputs = {Required("x"), Required("like", "L")};
  op.outputs = {Required("y")};
  return op;
}

// Throws unless `small` surely or possibly broadcasts to `large`.
void CheckBroadcast(const Type& small, const Type& large) {
  if (!small.has_rank() || !large.has_rank()) return;
  const bool fits = small.rank() <= large.rank();
  for (int i = 1; fits && i <= small.rank(); ++i) {
    const ir::Dimension& a = small.dim(-i);
    const ir::Dimension& b = large.dim(-i);
    if (a.is_static() && b.is_static() && a.value() != b.value() && a.value() != 1) {
      throw Error(ErrorCode::kInvalidInput,
                  small.ToString() + " does not broadcast to " + large.ToString());
    }
  }
  if (!fits) {
    throw Error(ErrorCode::kInvalidInput, small.ToString() + " has more axes than " +
                                              large.ToString() + ", to which it should broadcast");
  }
}

Type ShapeOfLike(const ir::InferContext& context) {
  const DType dtype = context.input(0).dtype();
  const Type& like = context.input(1);
  return like.has_rank() ? Type::Tensor(dtype, like.dims()) : Type::TensorOfUnknownRank(dtype);
}

void SumToReference(const ir::ReferenceCall& call) {
  const TensorView& x = call.input(0);
  const std::vector<int64_t> strides = BroadcastStrides(call.output().dims, x.dims);
  DispatchNumeric("SumToLike", x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using A = Compute<T>;
    std::vector<A> sums(static_cast<size_t>(call.output().size()), A(0));
    StridedIndex<1> index(x.dims, {strides});
    for (int64_t i = 0; i < x.size(); ++i, index.Next()) {
      A& sum = sums[static_cast<size_t>(index[0])];
      sum = WrapAdd<A>(sum, static_cast<A>(x.as<T>()[i]));
    }
    for (size_t i = 0; i < sums.size(); ++i) call.output().as<T>()[i] = static_cast<T>(sums[i]);
  });
}

OpCase::Input Like(Shape shape) {
  OpCase::Input input = Uniform(std::move(shape));
  input.differentiable = false;
  return input;
}

void RegisterSumToLike(ir::OpRegistry& registry) {
  ir::OpDefinition op = LikeOp(
      "SumToLike", "x summed over the axes along which the shape of `like` was broadcast to x's.");
  op.infer = [](ir::InferContext& context) {
    RequireType(context, 0, Types::kNumeric);
    CheckBroadcast(context.input(1), context.input(0));
    context.SetOutput(0, ShapeOfLike(context));
  };
  op.reference = SumToReference;
  op.gradient = [](GradientContext& context) {
    if (!context.wants(0)) return;
    context.SetInputGradient(
        0, context.builder().ExpandLike(context.output_gradient(), context.input(0)));
  };
  const OpCase::Input x = Floats({2, 3}, {1, 2, 3, 10, 20, 30});
  op.cases = {
      ExpectedCase("row", {x, Like({3})}, {11, 22, 33}),
      ExpectedCase("kept_row", {x, Like({1, 3})}, {11, 22, 33}),
      ExpectedCase("column", {x, Like({2, 1})}, {6, 60}),
      ExpectedCase("scalar", {x, Like({})}, {66}),
      ExpectedCase("ones", {x, Like({1, 1})}, {66}),
      ExpectedCase("same", {x, Like({2, 3})}, {1, 2, 3, 10, 20, 30}),
      ExpectedCase("of_nothing", {Floats({0, 2}, {}), Like({2})}, {0, 0}),
      ExpectedCase("any_type", {x, Integers({3}, {0, 0, 0}, DType::kBool)}, {11, 22, 33}),
      ExpectedOnly("i32", {Integers({2, 2}, {1, 2, 3, 4}, DType::kI32), Like({2})}, {4, 6})};
  registry.Add(std::move(op));
}

void RegisterExpandLike(ir::OpRegistry& registry) {
  ir::OpDefinition op = LikeOp("ExpandLike", "x broadcast to the shape of `like`.");
  op.infer = [](ir::InferContext& context) {
    CheckBroadcast(context.input(0), context.input(1));
    context.SetOutput(0, ShapeOfLike(context));
  };
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
  op.cases = {ExpectedCase("row", {Floats({3}, {1, 2, 3}), Like({2, 3})}, {1, 2, 3, 1, 2, 3}),
              ExpectedCase("column", {Floats({2, 1}, {1, 2}), Like({2, 3})}, {1, 1, 1, 2, 2, 2}),
              ExpectedCase("scalar", {Floats({}, {5}), Like({2, 2})}, {5, 5, 5, 5}),
              ExpectedCase("to_nothing", {Floats({1}, {5}), Like({0})}, {}),
              ExpectedOnly("i64", {Integers({1}, {5}), Like({2})}, {5, 5})};
  registry.Add(std::move(op));
}

void RegisterReshapeLike(ir::OpRegistry& registry) {
  ir::OpDefinition op = LikeOp("ReshapeLike", "The elements of x in the shape of `like`.");
  op.infer = [](ir::InferContext& context) {
    const Type& x = context.input(0);
    const Type& like = context.input(1);
    if (x.is_static() && like.is_static() && x.shape().size() != like.shape().size()) {
      throw Error(ErrorCode::kInvalidInput, "cannot reshape " + x.ToString() + " to the shape of " +
                                                like.ToString() +
                                                ": the numbers of elements differ");
    }
    context.SetOutput(0, ShapeOfLike(context));
  };
  op.reference = [](const ir::ReferenceCall& call) {
    if (call.input(0).size() != call.output().size()) {
      throw Error(ErrorCode::kInvalidInput, "cannot reshape " +
                                                Shape(call.input(0).dims).ToString() + " to " +
                                                Shape(call.output().dims).ToString());
    }
    if (call.output().bytes() == 0) return;
    std::memmove(call.output().data, call.input(0).data, call.output().bytes());
  };
  op.gradient = [](GradientContext& context) {
    if (!context.wants(0)) return;
    context.SetInputGradient(
        0, context.builder().ReshapeLike(context.output_gradient(), context.input(0)));
  };
  op.may_run_in_place = true;
  const std::vector<double> x = {1, 2, 3, 4, 5, 6};
  op.cases = {ExpectedCase("split", {Floats({6}, x), Like({2, 3})}, x),
              ExpectedCase("join", {Floats({2, 3}, x), Like({3, 1, 2})}, x),
              ExpectedCase("scalar", {Floats({1, 1}, {2}), Like({})}, {2}),
              ExpectedCase("empty", {Floats({0, 3}, {}), Like({5, 0})}, {})};
  registry.Add(std::move(op));
}

}  // namespace

void RegisterLikeOps(ir::OpRegistry& registry) {
  RegisterSumToLike(registry);
  RegisterExpandLike(registry);
  RegisterReshapeLike(registry);
}

}  // namespace ingot::ops
