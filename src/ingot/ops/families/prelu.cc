// PRelu: a leaky rectifier whose slopes are learnt. The slopes broadcast to X, so that those of
// channels are [C, 1, 1] for [N, C, H, W].
#include <string>

#include "ingot/base/error.h"
#include "ingot/ops/elementwise.h"

namespace ingot::ops {

void RegisterPrelu(ir::OpRegistry& registry);

namespace {

using ir::GradientContext;
using ir::Type;
using ir::Value;

void PreluGradient(GradientContext& context) {
  ir::Builder& b = context.builder();
  Value* x = context.input(0);
  Value* slope = context.input(1);
  Value* dy = context.output_gradient();
  Value* negative = b.Op("Less", {x, b.ScalarLike(x, 0)});
  if (context.wants(0)) {
    context.SetInputGradient(0, b.Op("Where", {negative, b.Mul(dy, slope), dy}));
  }
  if (context.wants(1)) {
    Value* each = b.Op("Where", {negative, b.Mul(dy, x), b.ScalarLike(x, 0)});
    context.SetInputGradient(1, b.SumToLike(each, slope));
  }
}

}  // namespace

void RegisterPrelu(ir::OpRegistry& registry) {
  ir::OpDefinition op =
      Binary<Types::kFloat>("PRelu", 16, "Y = X where X is not negative, else slope X.",
                            [](auto x, auto slope) { return x < 0 ? slope * x : x; });
  op.inputs = {Required("X"), Required("slope")};
  op.outputs = {Required("Y")};
  op.infer = [](ir::InferContext& context) {
    RequireType(context, 0, Types::kFloat);
    const Type& x = context.input(0);
    const Type y = BroadcastInputs(context);
    bool same = !x.has_rank() || !y.has_rank() || x.rank() == y.rank();
    for (int i = 0; same && x.has_rank() && y.has_rank() && i < x.rank(); ++i) {
      same = !x.dim(i).is_static() || !y.dim(i).is_static() || x.dim(i) == y.dim(i);
    }
    if (!same) {
      throw Error(ErrorCode::kInvalidInput, "the slopes are " + context.input(1).ToString() +
                                                ", which do not broadcast to X, " + x.ToString());
    }
    context.SetOutput(0, x);
  };
  op.gradient = PreluGradient;
  op.cases = {ExpectedCase("by_hand", {Floats({2, 2}, {-1, 2, -3, -4}), Floats({2}, {0.5, -2})},
                           {-0.5, 2, -1.5, 8}),
              OpCase{.name = "channels", .inputs = {Uniform({2, 3, 2, 2}), Uniform({3, 1, 1})}},
              OpCase{.name = "last", .inputs = {Uniform({2, 2, 2, 5}), Uniform({5})}},
              OpCase{.name = "one_slope", .inputs = {Uniform({13, 7}), Uniform({1})}},
              OpCase{.name = "empty", .inputs = {Uniform({0, 7}), Uniform({7})}}};
  registry.Add(std::move(op));
}

}  // namespace ingot::ops
