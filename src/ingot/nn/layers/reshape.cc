// reshape: the same elements of a sample under another shape.
#include "ingot/base/error.h"
#include "ingot/nn/layers/layers.h"

namespace ingot::nn {

namespace {

struct ReshapeOptions {
  std::vector<int64_t> shape;
};

const OptionTable<ReshapeOptions>& ReshapeTable() {
  static const auto table =
      OptionTable<ReshapeOptions>("reshape", "the same elements of a sample in another shape")
          .Add("shape", &ReshapeOptions::shape, "of a sample, without the batch", AtLeast(1))
          .Shorthand("shape")
          .Required("shape");
  return table;
}

std::string DescribeReshape(const ReshapeOptions& options) {
  return "reshape " + Shape(options.shape).ToString();
}

ir::Value* BuildReshape(const ReshapeOptions& options, LayerContext& context, ir::Value* x) {
  int64_t have = 1;
  for (int i = 1; i < x->type().rank(); ++i) have *= x->type().dim(i).value();
  const int64_t want = Shape(options.shape).size();
  if (have != want) {
    throw Error(ErrorCode::kInvalidInput,
                "cannot reshape " + ir::ToString(x->type().dims()) + " to [batch, ...] of " +
                    Shape(options.shape).ToString() + ": a sample has " + std::to_string(have) +
                    " elements, not " + std::to_string(want));
  }
  std::vector<int64_t> target = {0};  // ONNX: 0 keeps the extent, here the batch
  target.insert(target.end(), options.shape.begin(), options.shape.end());
  return context.builder().Op("Reshape", {x, context.builder().Ints(target)});
}

}  // namespace

LayerKind ReshapeLayer() {
  return DefineLayer<ReshapeOptions>(ReshapeTable(), DescribeReshape, BuildReshape,
                                     /*takes_any_type=*/true);
}

}  // namespace ingot::nn
