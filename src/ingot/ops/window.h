// Sliding windows over spatial axes, as convolutions and pooling share them: layouts, attributes
// (kernel_shape, strides, dilations, pads, auto_pad, ceil_mode, channels_last, with ONNX's
// meanings), output extents, and which input position each tap of each window meets.
//
// Activations are [N, C, spatial...], or [N, spatial..., C] where channels_last is 1.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ingot/ir/op.h"
#include "ingot/tensor/tensor.h"

namespace ingot::ops {

// ---- layout ----

// Whether the node has channels_last = 1. Throws Error(kInvalidInput) for other values than 0
// and 1.
bool ChannelsLast(const ir::Node& node);

// The axis of the channels, and the spatial axes, of activations of this rank.
int ChannelAxis(int rank, bool channels_last);
std::vector<int64_t> SpatialAxes(int rank, bool channels_last);

// The spatial extents of activations.
ir::Dimensions SpatialDimensions(const ir::Type& x, bool channels_last);
// [batch, channels, spatial...] or [batch, spatial..., channels].
ir::Type ActivationType(DType dtype, const ir::Dimension& batch, const ir::Dimension& channels,
                        const ir::Dimensions& spatial, bool channels_last);

// Where the elements of activations lie: element (n, c, s), s counting the spatial positions in
// row-major order, is at n * sample + c * channel_stride + s * position_stride.
struct Activations {
  Activations(const TensorView& x, bool channels_last);

  int64_t At(int64_t n, int64_t c, int64_t s) const {
    return n * sample + c * channel_stride + s * position_stride;
  }

  int64_t batch = 1, channels = 1, positions = 1;
  int64_t sample = 1, channel_stride = 1, position_stride = 1;
};

// ---- windows ----

struct WindowAxis {
  ir::Dimension input, output;  // extents; unknown where they are
  int64_t kernel = 1, stride = 1, dilation = 1;
  int64_t pad_begin = 0, pad_end = 0;  // auto_pad worked out where `input` is known

  // Extent that a window covers, dilation included.
  int64_t span() const { return (kernel - 1) * dilation + 1; }
};

// The windows of a node over input extents `spatial` with kernels of `kernel` (-1: unknown, then
// the output is too). Reads strides, dilations, pads, auto_pad and ceil_mode where the op has them.
// Throws Error(kInvalidInput) for attributes of wrong lengths or values, and for a window that is
// larger than the padded input.
std::vector<WindowAxis> Windows(const ir::Node& node, const ir::Dimensions& spatial,
                                std::span<const int64_t> kernel);
ir::Dimensions OutputsOf(const std::vector<WindowAxis>& windows);

// The attributes among those that describe windows, channels_last and group that a node has: what a
// gradient op must be given.
ir::Attributes WindowAttributes(const ir::Node& node);
// Their declarations, without kernel_shape, group and ceil_mode.
std::vector<ir::AttributeSpec> WindowAttributeSpecs();

// For each output position (row-major) and tap (row-major) the input position (row-major) that
// they meet, or -1 in the padding. All extents must be known.
class TapTable {
 public:
  explicit TapTable(const std::vector<WindowAxis>& windows);

  int64_t outputs() const { return outputs_; }
  int64_t taps() const { return taps_; }
  int64_t At(int64_t output, int64_t tap) const {
    return inputs_[static_cast<size_t>(output * taps_ + tap)];
  }

 private:
  int64_t outputs_ = 1, taps_ = 1;
  std::vector<int64_t> inputs_;
};

}  // namespace ingot::ops
