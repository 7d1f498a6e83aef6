// Convolutions of bytes of 3x3 with stride 1 by Winograd's F(2x2, 3x3), in integers: 16
// multiplications instead of 36, and exactly the sums of the direct product.
//
// Lavin and Gray, arXiv 1509.09308. The input's transform needs additions alone. The filter's has
// halves: it is taken four times as large, so that what comes out is four times the sum, a whole
// number that is shifted back. In sizes: bytes without their zero points are at most 255, their
// transforms 4 * 255 and 9 * 255, which i16 holds; four times a sum over C channels is at most
// 4 * 9 * 255 * 255 * C, which i32 holds for C <= kMostWinogradChannels. What is added on the way
// may go around, which changes nothing in the end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "backends/cpu/convolution.h"
#include "backends/cpu/packed_product.h"
#include "backends/cpu/winograd_tiles.h"
#include "ingot/runtime/team.h"

namespace ingot::cpu {

inline constexpr int64_t kMostWinogradChannels = 896;

// The shape's channels are pairs of i16, as in pair_tiles.h.
class PairWinograd {
 public:
  static bool Pays(const ConvolutionShape& paired);

  explicit PairWinograd(const ConvolutionShape& paired);

  size_t packed_floats() const { return tiles_.packed_floats(); }
  // weight(output, channel, tap), to memory that is zero; 0 beyond the channels.
  void Pack(const std::function<int16_t(int64_t, int64_t, int64_t)>& weight, float* packed) const;
  size_t scratch_bytes() const { return tiles_.scratch_bytes(); }  // of each thread
  // operands.x: the pairs; operands.y: i32 sums. Bias, residual and epilogue are not looked at.
  void Run(const float* packed, const PackedOperands& operands, std::byte* scratch,
           size_t scratch_stride, runtime::Team& team) const;

 private:
  void TransformInput(const float* x, int64_t tile, int64_t slot, int64_t stride, float* v) const;
  void TransformOutput(float* y, int64_t tile, int64_t slot, int64_t stride, const float* m) const;

  ConvolutionShape shape_;
  WinogradTiles tiles_;
};

}  // namespace ingot::cpu
