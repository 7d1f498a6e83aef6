// The product of activations with a weight along their last axis, as layers build it.
#pragma once

#include "ingot/ir/builder.h"

namespace ingot::nn {

// x [batch, ..., in] -> x W + b [batch, ..., out], a Gemm over all rows. W is [in, out], or with
// `transposed` [out, in]; b [out] may be null. Throws Error(kInvalidInput) naming both shapes where
// they do not fit.
ir::Value* Product(ir::Builder& builder, ir::Value* x, ir::Value* weight, ir::Value* bias,
                   bool transposed = false);

// x [batch, ..., n] -> [batch * ..., n].
ir::Value* AsRows(ir::Builder& builder, ir::Value* x);
// [batch * ..., n] -> [batch, ..., n] with the middle extents of `like` [batch, ..., m].
ir::Value* FromRows(ir::Builder& builder, ir::Value* rows, const ir::Value* like);

}  // namespace ingot::nn
