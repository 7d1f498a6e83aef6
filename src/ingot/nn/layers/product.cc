// Gemm takes matrices: sequences become rows before it and sequences again behind it.
#include "ingot/nn/layers/product.h"

#include <vector>

#include "ingot/base/error.h"

namespace ingot::nn {

ir::Value* AsRows(ir::Builder& builder, ir::Value* x) {
  if (x->type().rank() == 2) return x;
  return builder.Op("Reshape", {x, builder.Ints({-1, x->type().dim(-1).value()})});
}

ir::Value* FromRows(ir::Builder& builder, ir::Value* rows, const ir::Value* like) {
  const ir::Type& type = like->type();
  if (type.rank() == 2) return rows;
  std::vector<int64_t> target = {-1};
  for (int i = 1; i + 1 < type.rank(); ++i) {
    if (!type.dim(i).is_static()) {
      throw Error(ErrorCode::kInvalidInput,
                  "the extents of " + type.ToString() + " behind the batch must be known");
    }
    target.push_back(type.dim(i).value());
  }
  target.push_back(rows->type().dim(-1).value());
  return builder.Op("Reshape", {rows, builder.Ints(target)});
}

ir::Value* Product(ir::Builder& builder, ir::Value* x, ir::Value* weight, ir::Value* bias,
                   bool transposed) {
  std::vector<ir::Value*> inputs = {AsRows(builder, x), weight};
  if (bias != nullptr) inputs.push_back(bias);
  ir::Attributes attributes;
  if (transposed) attributes["transB"] = int64_t{1};
  return FromRows(builder, builder.Op("Gemm", std::move(inputs), std::move(attributes)), x);
}

}  // namespace ingot::nn
