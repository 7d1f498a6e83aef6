// Convolutions of 3x3 with stride 1 over planes of f32, channels last, by Winograd's minimal
// filtering F(4x4, 3x3).
//
// Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (arXiv 1509.09308): a tile of
// 6x6 inputs and the filter are transformed, multiplied at each of the 36 places (36 matrix
// products over the channels), and transformed back to 4x4 outputs: 36 multiplications instead of
// 144. The result differs from the direct product by about 1e-6 of the largest one; tests hold it
// to 2e-5. Sums do not depend on the number of threads.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backends/cpu/convolution.h"
#include "backends/cpu/packed_product.h"
#include "backends/cpu/winograd_tiles.h"
#include "ingot/runtime/team.h"

namespace ingot::cpu {

class WinogradProduct {
 public:
  // Whether it is defined for this shape, and expected to be faster than the direct product: a
  // function of the shape and the instruction set alone.
  static bool Pays(const ConvolutionShape& shape);

  explicit WinogradProduct(const ConvolutionShape& shape);

  size_t packed_floats() const { return tiles_.packed_floats(); }
  // w [O, C, 3, 3], aligned or not, to memory that is zero.
  void Pack(const float* w, float* packed) const;
  // Filters that lie tap by tap: those of output o for channel c at w + tap * C * O + c * O + o for
  // the 9 taps, `flipped`: from the last to the first. O must be whole vectors. By vectors, for
  // weights that change with every call.
  void PackRows(const float* w, bool flipped, float* packed) const;
  // The same of filters whose channels and outputs have changed places, as the gradient of the
  // input needs them: at w + tap * C * O + o * C + c. `scratch`: 9 * C * Tiles().width() floats.
  void PackColumns(const float* w, bool flipped, float* scratch, float* packed) const;
  size_t scratch_bytes() const { return tiles_.scratch_bytes(); }  // of each thread
  void Run(const float* packed, const PackedOperands& operands, std::byte* scratch,
           size_t scratch_stride, runtime::Team& team) const;

 private:
  void PackPanel(int64_t first, const float* const (&taps)[9], int64_t stride, float* packed) const;
  void TransformInput(const float* x, int64_t tile, int64_t slot, int64_t stride, float* v) const;
  void TransformOutput(const PackedOperands& operands, int64_t tile, int64_t slot, int64_t stride,
                       const float* m) const;

  ConvolutionShape shape_;
  WinogradTiles tiles_;
};

}  // namespace ingot::cpu
