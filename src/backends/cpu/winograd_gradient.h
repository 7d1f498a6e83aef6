// The weight gradient of 3x3 convolutions with stride 1 over planes of f32, channels last, by
// Winograd's minimal filtering: the transpose of the algorithm of winograd.h.
//
// Where the product is Y = A^T [(G g G^T) . (B^T d B)] A, the gradient of the filter g is
// G^T [(A dY A^T) . (B^T d B)] G. So tiles of inputs and of dY are transformed, 36 products of
// [channels, tiles] and [tiles, outputs] sum over the tiles, and their results are transformed to
// the 9 taps: 36 multiplications for each 4x4 positions instead of 144. The result differs from
// the direct sum by about 1e-6 of the largest one; tests hold it to 2e-5. On one thread.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backends/cpu/convolution.h"
#include "backends/cpu/winograd_grid.h"

namespace ingot::cpu {

class WinogradWeightGradient {
 public:
  // Whether it is defined for this shape, and expected to be faster than the direct sum: a function
  // of the shape and the instruction set alone.
  static bool Pays(const ConvolutionShape& shape);

  explicit WinogradWeightGradient(const ConvolutionShape& shape);

  size_t scratch_floats() const;
  // dw [3, 3, C, O] of x [N, H, W, C] and dy [N, H', W', O]; scratch is aligned to 64 bytes.
  void Run(const float* x, const float* dy, float* dw, float* scratch) const;

 private:
  // Some of the tiles, as they lie in scratch: [place][panel][tile][channel of the panel].
  struct Block {
    int64_t first, count;
    bool continues;  // adds to dw
    float *inputs, *gradients, *products;
    int64_t input_stride, gradient_stride;  // from place to place
  };

  void TransformInput(const float* x, const Block& block, int64_t slot) const;
  void TransformGradient(const float* dy, const Block& block, int64_t slot) const;
  void MultiplyPanel(const Block& block, int64_t channel, int64_t channels, int64_t output,
                     float* dw) const;

  ConvolutionShape shape_;
  WinogradGrid grid_;
  int64_t blocks_, together_;  // and how many tiles the largest block has
};

}  // namespace ingot::cpu
