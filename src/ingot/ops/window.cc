// Geometry of sliding windows: attributes, extents and the table of taps.
#include "ingot/ops/window.h"

#include <algorithm>
#include <string>

#include "ingot/ops/definition.h"
#include "ingot/ops/shape_rule.h"

namespace ingot::ops {

namespace {

// Sums and products of two of them stay within 64 bits.
constexpr int64_t kMostOfAxis = int64_t{1} << 31;

// An attribute of one or (pads) two positive numbers for each spatial axis, else `otherwise`.
std::vector<int64_t> AxisAttribute(const ir::Node& node, const char* name, size_t length,
                                   int64_t least, int64_t otherwise) {
  const std::vector<int64_t>* values = node.FindInts(name);
  if (values == nullptr) return std::vector<int64_t>(length, otherwise);
  if (values->size() != length) {
    Refuse("attribute '" + std::string(name) + "' has " + std::to_string(values->size()) +
           " entries, expected " + std::to_string(length) + " for the spatial axes");
  }
  for (const int64_t value : *values) {
    if (value < least) {
      Refuse("attribute '" + std::string(name) + "' holds " + std::to_string(value) +
             ", expected at least " + std::to_string(least));
    }
    if (value > kMostOfAxis) {
      Refuse("attribute '" + std::string(name) + "' holds " + std::to_string(value) +
             ", more than any picture has");
    }
  }
  return *values;
}

std::string AutoPad(const ir::Node& node) {
  if (node.op().FindAttribute("auto_pad") == nullptr) return "NOTSET";
  const std::string& mode = node.GetString("auto_pad");
  if (mode != "NOTSET" && mode != "VALID" && mode != "SAME_UPPER" && mode != "SAME_LOWER") {
    Refuse("attribute 'auto_pad' is '" + mode + "'",
           "expected NOTSET, VALID, SAME_UPPER or SAME_LOWER");
  }
  return mode;
}

// Padding with which there are ceil(input / stride) outputs.
void PadToSame(WindowAxis& axis, bool more_at_end) {
  const int64_t outputs = (axis.input.value() + axis.stride - 1) / axis.stride;
  const int64_t total =
      std::max<int64_t>(0, (outputs - 1) * axis.stride + axis.span() - axis.input.value());
  axis.pad_begin = more_at_end ? total / 2 : total - total / 2;
  axis.pad_end = total - axis.pad_begin;
}

ir::Dimension OutputExtent(const WindowAxis& axis, bool ceil_mode) {
  const int64_t padding = axis.pad_begin + axis.pad_end;
  if (!axis.input.is_static()) {
    const bool same = axis.stride == 1 && padding == axis.span() - 1;
    return same ? axis.input : ir::Dimension();
  }
  const int64_t free = axis.input.value() + padding - axis.span();
  if (free < 0) {
    Refuse("a window of " + std::to_string(axis.span()) + " does not fit into an extent of " +
               std::to_string(axis.input.value()) + " with padding " + std::to_string(padding),
           "use a smaller kernel or dilation, or more padding");
  }
  if (!ceil_mode) return free / axis.stride + 1;
  const int64_t outputs = (free + axis.stride - 1) / axis.stride + 1;
  // A window that would begin in the padding at the end is dropped.
  const bool begins_outside = (outputs - 1) * axis.stride >= axis.input.value() + axis.pad_begin;
  return begins_outside ? outputs - 1 : outputs;
}

}  // namespace

// ---- layout ----

bool ChannelsLast(const ir::Node& node) {
  const int64_t value = node.GetInt("channels_last");
  if (value != 0 && value != 1) {
    Refuse("attribute 'channels_last' is " + std::to_string(value) + ", expected 0 or 1");
  }
  return value == 1;
}

int ChannelAxis(int rank, bool channels_last) {
  return channels_last ? rank - 1 : 1;
}

std::vector<int64_t> SpatialAxes(int rank, bool channels_last) {
  std::vector<int64_t> axes;
  for (int i = 2; i < rank; ++i) axes.push_back(channels_last ? i - 1 : i);
  return axes;
}

ir::Dimensions SpatialDimensions(const ir::Type& x, bool channels_last) {
  ir::Dimensions spatial;
  for (const int64_t axis : SpatialAxes(x.rank(), channels_last)) {
    spatial.push_back(x.dim(static_cast<int>(axis)));
  }
  return spatial;
}

ir::Type ActivationType(DType dtype, const ir::Dimension& batch, const ir::Dimension& channels,
                        const ir::Dimensions& spatial, bool channels_last) {
  ir::Dimensions dims = {batch};
  if (!channels_last) dims.push_back(channels);
  dims.insert(dims.end(), spatial.begin(), spatial.end());
  if (channels_last) dims.push_back(channels);
  return ir::Type::Tensor(dtype, std::move(dims));
}

Activations::Activations(const TensorView& x, bool channels_last) {
  batch = x.dim(0);
  channels = x.dim(ChannelAxis(x.rank(), channels_last));
  for (const int64_t axis : SpatialAxes(x.rank(), channels_last)) {
    positions *= x.dim(static_cast<int>(axis));
  }
  sample = channels * positions;
  channel_stride = channels_last ? 1 : positions;
  position_stride = channels_last ? channels : 1;
}

// ---- windows ----

std::vector<WindowAxis> Windows(const ir::Node& node, const ir::Dimensions& spatial,
                                std::span<const int64_t> kernel) {
  const size_t axes = spatial.size();
  if (kernel.size() != axes) {
    Refuse("the kernel has " + std::to_string(kernel.size()) + " spatial axes, but the input has " +
           std::to_string(axes));
  }
  const std::vector<int64_t> strides = AxisAttribute(node, "strides", axes, 1, 1);
  const std::vector<int64_t> dilations = AxisAttribute(node, "dilations", axes, 1, 1);
  const std::vector<int64_t> pads = AxisAttribute(node, "pads", 2 * axes, 0, 0);
  const std::string auto_pad = AutoPad(node);
  const bool ceil_mode =
      node.op().FindAttribute("ceil_mode") != nullptr && node.GetInt("ceil_mode") != 0;
  std::vector<WindowAxis> windows(axes);
  for (size_t i = 0; i < axes; ++i) {
    WindowAxis& axis = windows[i];
    axis.input = spatial[i];
    axis.kernel = kernel[i];
    axis.stride = strides[i];
    axis.dilation = dilations[i];
    if (kernel[i] < 0) continue;
    if (kernel[i] == 0) Refuse("a window has the extent 0, expected at least 1");
    const bool same = auto_pad == "SAME_UPPER" || auto_pad == "SAME_LOWER";
    if (auto_pad == "NOTSET") {
      axis.pad_begin = pads[i];
      axis.pad_end = pads[axes + i];
    } else if (same && axis.input.is_static()) {
      PadToSame(axis, auto_pad == "SAME_UPPER");
    } else if (same) {
      continue;  // the padding and so the output depend on the input's extent
    }
    axis.output = OutputExtent(axis, ceil_mode);
  }
  return windows;
}

ir::Dimensions OutputsOf(const std::vector<WindowAxis>& windows) {
  ir::Dimensions outputs;
  for (const WindowAxis& axis : windows) outputs.push_back(axis.output);
  return outputs;
}

ir::Attributes WindowAttributes(const ir::Node& node) {
  ir::Attributes attributes;
  for (const char* name : {"auto_pad", "ceil_mode", "channels_last", "count_include_pad",
                           "dilations", "group", "kernel_shape", "pads", "strides"}) {
    const auto found = node.attributes().find(name);
    if (found != node.attributes().end()) attributes.insert(*found);
  }
  return attributes;
}

std::vector<ir::AttributeSpec> WindowAttributeSpecs() {
  return {StringAttribute("auto_pad", "NOTSET"), IntAttribute("channels_last", 0),
          OptionalAttribute("dilations", ir::AttributeKind::kInts),
          OptionalAttribute("pads", ir::AttributeKind::kInts),
          OptionalAttribute("strides", ir::AttributeKind::kInts)};
}

TapTable::TapTable(const std::vector<WindowAxis>& windows) {
  for (const WindowAxis& axis : windows) {
    outputs_ *= axis.output.value();
    taps_ *= axis.kernel;
  }
  inputs_.reserve(static_cast<size_t>(outputs_ * taps_));
  std::vector<int64_t> output(windows.size()), tap(windows.size());
  for (int64_t o = 0; o < outputs_; ++o) {
    int64_t rest = o;
    for (size_t i = windows.size(); i-- > 0; rest /= windows[i].output.value()) {
      output[i] = rest % windows[i].output.value();
    }
    for (int64_t t = 0; t < taps_; ++t) {
      rest = t;
      for (size_t i = windows.size(); i-- > 0; rest /= windows[i].kernel) {
        tap[i] = rest % windows[i].kernel;
      }
      int64_t position = 0;
      for (size_t i = 0; i < windows.size() && position >= 0; ++i) {
        const WindowAxis& axis = windows[i];
        const int64_t at = output[i] * axis.stride + tap[i] * axis.dilation - axis.pad_begin;
        const bool inside = at >= 0 && at < axis.input.value();
        position = inside ? position * axis.input.value() + at : -1;
      }
      inputs_.push_back(position);
    }
  }
}

}  // namespace ingot::ops
