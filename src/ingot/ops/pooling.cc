// The windows of pooling and what their sums are divided by.
#include "ingot/ops/pooling.h"

#include <algorithm>
#include <string>

#include "ingot/base/error.h"

namespace ingot::ops {

namespace {

bool IsGlobal(const ir::Node& node) {
  return node.op().FindAttribute("kernel_shape") == nullptr;
}

}  // namespace

std::vector<WindowAxis> PoolWindows(const ir::Node& node, const ir::Dimensions& spatial) {
  if (!IsGlobal(node)) {
    const std::vector<WindowAxis> windows = Windows(node, spatial, node.GetInts("kernel_shape"));
    for (const WindowAxis& axis : windows) {
      if (std::max(axis.pad_begin, axis.pad_end) < axis.span()) continue;
      throw Error(ErrorCode::kInvalidInput,
                  "attribute 'pads' holds " +
                      std::to_string(std::max(axis.pad_begin, axis.pad_end)) +
                      ", expected less than the window's extent of " + std::to_string(axis.span()));
    }
    return windows;
  }
  std::vector<WindowAxis> windows(spatial.size());
  for (size_t i = 0; i < spatial.size(); ++i) {
    windows[i].input = spatial[i];
    windows[i].output = 1;
    windows[i].kernel = spatial[i].value();
  }
  return windows;
}

std::vector<double> PoolDivisors(const ir::Node& node, const std::vector<WindowAxis>& windows,
                                 const TapTable& table) {
  const bool include_pad = !IsGlobal(node) && node.GetInt("count_include_pad") != 0;
  std::vector<double> divisors;
  for (int64_t p = 0; p < table.outputs(); ++p) {
    int64_t count = 0;
    for (int64_t t = 0; t < table.taps(); ++t) count += table.At(p, t) >= 0 ? 1 : 0;
    if (include_pad) {
      count = 1;
      int64_t rest = p;
      for (size_t i = windows.size(); i-- > 0;) {
        const WindowAxis& axis = windows[i];
        const int64_t begin = rest % axis.output.value() * axis.stride;
        rest /= axis.output.value();
        const int64_t padded = axis.pad_begin + axis.input.value() + axis.pad_end;
        // Taps that stand within the padded extent; with ceil_mode some may not.
        count *= std::min(axis.kernel, (padded - begin + axis.dilation - 1) / axis.dilation);
      }
    }
    divisors.push_back(static_cast<double>(std::max<int64_t>(count, 1)));
  }
  return divisors;
}

}  // namespace ingot::ops
