// Depthwise convolutions of bytes over planes, channels last, in exact i32: each channel with a
// filter of its own. Two taps of a channel are multiplied and added at once; beyond the plane is a
// line of zero points. All of it is arithmetic of integers: the bits are the same on every
// instruction set and depend on no number of threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "backends/cpu/byte_product.h"

namespace ingot::cpu {

// Channels whose weights lie together.
inline constexpr int64_t kDepthwiseBlock = 16;

class ByteDepthwise {
 public:
  explicit ByteDepthwise(const ConvolutionShape& shape);

  size_t packed_bytes() const;
  // `fill` writes the taps of a channel in row-major order.
  void Pack(const std::function<void(int64_t channel, int16_t* line)>& fill, std::byte* to) const;

  size_t scratch_bytes() const;  // of each thread
  void Run(const std::byte* packed, const ByteOperands& operands, std::byte* scratch,
           size_t scratch_stride, runtime::Team& team) const;

 private:
  int64_t pairs() const { return (taps_ + 1) / 2; }
  int64_t SumsBegin() const;  // of each channel's sum of weights in what is packed, in bytes
  int64_t BlockBegin(int64_t block) const;
  void RunRows(int64_t begin, int64_t end, const std::byte* packed, const ByteOperands& operands,
               std::byte* scratch) const;

  ConvolutionShape shape_;
  int64_t taps_;
  int64_t blocks_;  // the last one begins earlier rather than being cut
};

}  // namespace ingot::cpu
