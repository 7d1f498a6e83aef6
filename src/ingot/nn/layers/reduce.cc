// select and reduce: one place of an axis, or a number for all of them.
#include "ingot/base/error.h"
#include "ingot/nn/layers/layers.h"

namespace ingot::nn {

namespace {

// The axis counted from 0; throws unless it is one behind the batch.
int64_t AxisOf(const std::string& what, int64_t axis, const ir::Value* x) {
  const int64_t rank = x->type().rank();
  const int64_t at = axis < 0 ? axis + rank : axis;
  if (at >= 1 && at < rank) return at;
  throw Error(ErrorCode::kInvalidInput,
              what + " along axis " + std::to_string(axis) + " of " + x->type().ToString(),
              "axes count from 0, which is the batch and cannot be it");
}

struct SelectOptions {
  int64_t index = 0;
  int64_t axis = 1;
};

const OptionTable<SelectOptions>& SelectTable() {
  static const auto table =
      OptionTable<SelectOptions>("select",
                                 "one place of an axis, which is gone then: [batch, length, n] -> "
                                 "[batch, n]")
          .Add("index", &SelectOptions::index, "the place; negative ones count from the end")
          .Add("axis", &SelectOptions::axis, "not 0, which is the batch")
          .Shorthand("index");
  return table;
}

std::string DescribeSelect(const SelectOptions& options) {
  return "select " + std::to_string(options.index);
}

ir::Value* BuildSelect(const SelectOptions& options, LayerContext& context, ir::Value* x) {
  const int64_t axis = AxisOf("select", options.axis, x);
  const ir::Dimension& extent = x->type().dim(static_cast<int>(axis));
  if (extent.is_static() && (options.index >= extent.value() || options.index < -extent.value())) {
    throw Error(ErrorCode::kInvalidInput, "there is no place " + std::to_string(options.index) +
                                              " along axis " + std::to_string(options.axis) +
                                              " of " + x->type().ToString());
  }
  ir::Builder& builder = context.builder();
  ir::Value* place = builder.Constant(Tensor::Scalar<int64_t>(options.index));
  return builder.Op("Gather", {x, place}, {{"axis", axis}});
}

struct ReduceOptions {
  std::string by = "sum";
  int64_t axis = -1;
};

const OptionTable<ReduceOptions>& ReduceTable() {
  static const auto table =
      OptionTable<ReduceOptions>("reduce", "sum, mean or largest along an axis, which is gone then")
          .AddChoice("by", &ReduceOptions::by, "what is computed", {"sum", "mean", "max"})
          .Add("axis", &ReduceOptions::axis, "not 0, which is the batch")
          .Shorthand("by");
  return table;
}

std::string DescribeReduce(const ReduceOptions& options) {
  return "reduce " + options.by;
}

ir::Value* BuildReduce(const ReduceOptions& options, LayerContext& context, ir::Value* x) {
  const int64_t axis = AxisOf("reduce", options.axis, x);
  const std::string op = options.by == "sum"    ? "ReduceSum"
                         : options.by == "mean" ? "ReduceMean"
                                                : "ReduceMax";
  ir::Builder& builder = context.builder();
  return builder.Op(op, {x, builder.Ints({axis})}, {{"keepdims", int64_t{0}}});
}

}  // namespace

LayerKind SelectLayer() {
  return DefineLayer<SelectOptions>(SelectTable(), DescribeSelect, BuildSelect,
                                    /*takes_any_type=*/true);
}

LayerKind ReduceLayer() {
  return DefineLayer<ReduceOptions>(ReduceTable(), DescribeReduce, BuildReduce);
}

}  // namespace ingot::nn
