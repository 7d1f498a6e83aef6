// 3x3 convolutions of bytes with stride 1 by Winograd's algorithms F(4x4, 3x3) and F(2x2, 3x3), in
// integers alone: a quarter or four ninths of the multiplications, and exactly the direct sums.
//
// Filters are transformed without the fractions of the textbook: each row of G times its
// denominator, which the output's transform makes up for, so that what comes out is the sum times
// 9 * 2^k (or 4). All of it holds modulo 2^32: the factor 9 is undone by its inverse there, the
// power of two by a shift. For that sums must be below 2^25 (2^29) in size: `MostSum` says how far
// they can go for given filters.
//
// Transformed bytes are below 17340 in size and transformed filters below 12500, so that their
// sums, which byte_tiles.h multiplies, fit 16 bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "backends/cpu/byte_product.h"
#include "backends/cpu/winograd_grid.h"

namespace ingot::cpu {

class ByteWinograd {
 public:
  // Outputs of a tile along an axis, 4 or 2; 0 where the direct product is as good. `most_sum`: the
  // size that sums may have.
  static int64_t SideFor(const ConvolutionShape& shape, int64_t most_sum);

  ByteWinograd(const ConvolutionShape& shape, int64_t side);

  size_t packed_bytes() const;
  // `fill` as ByteProduct::Pack has it.
  void Pack(const std::function<void(int64_t output, int16_t* line)>& fill, std::byte* to) const;

  size_t scratch_bytes() const;  // of each thread
  void Run(const std::byte* packed, const ByteOperands& operands, std::byte* scratch,
           size_t scratch_stride, runtime::Team& team) const;

 private:
  // Where transformed tiles and their products lie.
  struct Memory {
    int64_t slots = 0;
    int16_t* wide = nullptr;   // [place][slot], product_.row() apart
    int32_t* inner = nullptr;  // [place][slot]
    int32_t* sums = nullptr;   // [place][slot], product_.sums_row() apart
  };

  int64_t places() const { return grid_.places(); }
  // A cache line more than there is, from place to place.
  int64_t WidePlace(int64_t slots) const { return slots * product_.row() + 32; }
  int64_t SumsPlace(int64_t slots) const { return slots * product_.sums_row() + 16; }
  int64_t BytesOf(int64_t slots) const;
  Memory MemoryAt(std::byte* scratch, int64_t slots) const;
  size_t OwnBytes() const;  // of a thread, besides Memory

  void TransformInput(const ByteOperands& operands, int64_t tile, int64_t slot,
                      const Memory& memory) const;
  void Multiply(const std::byte* packed, int64_t place, const Memory& memory) const;
  void TransformOutput(const ByteOperands& operands, int64_t tile, int64_t slot,
                       const Memory& memory, std::byte* own) const;

  ConvolutionShape shape_;
  int64_t side_;
  WinogradGrid grid_;
  ByteProduct product_;  // of one place
  int64_t together_;     // tiles that one thread takes at once
};

}  // namespace ingot::cpu
