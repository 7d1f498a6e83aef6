// flatten: all axes behind the batch become one.
#include "ingot/nn/layers/layers.h"

namespace ingot::nn {

namespace {

struct FlattenOptions {};

const OptionTable<FlattenOptions>& FlattenTable() {
  static const OptionTable<FlattenOptions> table("flatten", "[batch, ...] -> [batch, n]");
  return table;
}

std::string DescribeFlatten(const FlattenOptions&) {
  return "flatten";
}

ir::Value* BuildFlatten(const FlattenOptions&, LayerContext& context, ir::Value* x) {
  if (x->type().rank() == 2) return x;
  return context.builder().Op("Flatten", {x}, {{"axis", int64_t{1}}});
}

}  // namespace

LayerKind FlattenLayer() {
  return DefineLayer<FlattenOptions>(FlattenTable(), DescribeFlatten, BuildFlatten,
                                     /*takes_any_type=*/true);
}

}  // namespace ingot::nn
