// Convolutions of f32 over planes, channels last, on one thread: direct, on the tile of
// tile_product.h. A line is a plane of one row.
//
// x [N, H, W, C], w [KH, KW, C / groups, O], y [N, OH, OW, O]. Weights are packed into panels once
// a call; padding is a copy of a few samples with zeros around them, so that the inner loop knows
// none. Sums go through taps and channels in an order fixed by the shapes; those of a weight
// gradient upwards through samples and positions.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backends/cpu/activation.h"

namespace ingot::cpu {

// One spatial axis.
struct ConvolutionAxis {
  int64_t input = 1, output = 1;
  int64_t kernel = 1, stride = 1, dilation = 1;
  int64_t pad = 0;  // before the first element
};

struct ConvolutionShape {
  int64_t samples = 0;
  int64_t channels = 0, outputs = 0, groups = 1;
  ConvolutionAxis rows, columns;
};

// The gradient of the input of a convolution with stride 1 is a convolution of dy with the flipped
// filters: its shape.
ConvolutionShape InputGradientShape(const ConvolutionShape& shape);

// Scratch is aligned to 64 bytes; operands need not be.
struct ConvolutionOperands {
  const float* x = nullptr;     // or dy for the input gradient
  const float* w = nullptr;     // or dy for the weight gradient
  const float* bias = nullptr;  // [O], or null; of the forward product alone
  float* y = nullptr;           // or dx, or dw
  Epilogue epilogue;
  const float* gradient_of = nullptr;  // like y, for Epilogue kReluGradient
  float* scratch = nullptr;
};

// y = epilogue(x * w + bias).
void ConvolutionForward(const ConvolutionShape& shape, const ConvolutionOperands& operands);
size_t ConvolutionForwardScratchFloats(const ConvolutionShape& shape);

// dx = epilogue(what x's gradient is, given dy and w).
void ConvolutionInputGradient(const ConvolutionShape& shape, const ConvolutionOperands& operands);
size_t ConvolutionInputGradientScratchFloats(const ConvolutionShape& shape);

// dw = the sum over samples and positions of x at each tap times dy.
void ConvolutionWeightGradient(const ConvolutionShape& shape, const ConvolutionOperands& operands);
size_t ConvolutionWeightGradientScratchFloats(const ConvolutionShape& shape);

}  // namespace ingot::cpu
