// What Conv, ConvTranspose and their gradients share: the extents of a convolution, checked, and
// where the elements of its weights lie.
//
// Activations: window.h. Weights are [O, C / group, kernel...], or [kernel..., C / group, O] where
// channels_last is 1. Group g joins the input channels g * C / group, ... with the output channels
// g * O / group, ...
#pragma once

#include <cstdint>
#include <vector>

#include "ingot/ir/op.h"
#include "ingot/ops/window.h"

namespace ingot::ops {

// What is known of a convolution Y = X * W.
struct Convolution {
  bool channels_last = false;
  int64_t group = 1;
  ir::Dimension batch, channels, outputs;  // channels of X and of Y
  std::vector<WindowAxis> windows;         // from X to Y

  ir::Type y_type(DType dtype) const;
};

// The types of weights and their spatial extents.
ir::Type FilterType(DType dtype, const ir::Dimension& outputs, const ir::Dimension& inputs,
                    const ir::Dimensions& kernel, bool channels_last);
ir::Dimensions KernelDimensions(const ir::Type& w, bool channels_last);

// The attribute `group`; throws Error(kInvalidInput) unless it is at least 1.
int64_t GroupOf(const ir::Node& node);

// Of the node's attributes and the types of X and W, whose ranks are known and at least 3. Throws
// Error(kInvalidInput), naming both, where they do not fit.
Convolution ConvolutionOf(const ir::Node& node, const ir::Type& x, const ir::Type& w);

// Of a node's operands, whichever of Conv, ConvInputGradient and ConvWeightGradient it is; needs
// the ranks of its inputs. Throws Error(kInvalidInput) where they do not fit.
Convolution ConvolutionOf(const ir::Node& node);

// Of a ConvTranspose and the types of its X and W, whose ranks are known: the convolution whose
// input is the result and whose output is X. Its input extents are unknown where X's are.
Convolution TransposedConvolutionOf(const ir::Node& node, const ir::Type& x, const ir::Type& w);

// Where the elements of weights lie: (o, c, t), c counted in the group and t in row-major order.
struct Filters {
  Filters(const TensorView& w, bool channels_last);

  int64_t At(int64_t o, int64_t c, int64_t t) const {
    return o * output_stride + c * input_stride + t * tap_stride;
  }

  int64_t outputs = 1, inputs = 1, taps = 1;
  int64_t output_stride = 1, input_stride = 1, tap_stride = 1;
};

// ---- the three products, on elements of one type; all of them sum in double in index order ----

// Y = X * W + bias; the bias may be absent (data == null).
void ConvolveForward(const Convolution& convolution, const TensorView& x, const TensorView& w,
                     const TensorView& bias, const TensorView& y);
// dX from dY and W. A bias over X's channels is added where there is one.
void ConvolveInputGradient(const Convolution& convolution, const TensorView& dy,
                           const TensorView& w, const TensorView& bias, const TensorView& dx);
// dW from X and dY: the sum over all samples given.
void ConvolveWeightGradient(const Convolution& convolution, const TensorView& x,
                            const TensorView& dy, const TensorView& dw);

}  // namespace ingot::ops
