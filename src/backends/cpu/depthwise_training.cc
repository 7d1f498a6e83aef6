// Loops over blocks of channels, compiled for every instruction set.
#include "backends/cpu/depthwise_training.h"

#include <algorithm>
#include <span>
#include <type_traits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backends/cpu/depthwise_training.cc"
#include "hwy/foreach_target.h"
// foreach_target.h must come first.
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using Tag = hn::ScalableTag<float>;
using Vector = hn::Vec<Tag>;
// Chains that hide the latency of a multiply-add.
constexpr size_t kVectors = 4;

HWY_INLINE std::span<const TapLists::Meeting> MeetingsOf(const TapLists& lists, int64_t position) {
  const auto at = static_cast<size_t>(position);
  return {lists.meetings.data() + lists.begin[at], lists.meetings.data() + lists.begin[at + 1]};
}

// Calls f(tag, vectors, channel) for blocks of channels: of kVectors vectors, of one, of one
// element.
template <typename F>
HWY_INLINE void ForEachBlock(size_t channels, F f) {
  const Tag vector;
  const hn::CappedTag<float, 1> one;
  const size_t lanes = hn::Lanes(vector);
  size_t c = 0;
  for (; c + kVectors * lanes <= channels; c += kVectors * lanes) {
    f(vector, std::integral_constant<size_t, kVectors>(), c);
  }
  for (; c + lanes <= channels; c += lanes) f(vector, std::integral_constant<size_t, 1>(), c);
  for (; c < channels; ++c) f(one, std::integral_constant<size_t, 1>(), c);
}

template <size_t kCount, typename D>
HWY_INLINE void GatherPosition(D d, const ConvolutionShape& shape,
                               std::span<const TapLists::Meeting> rows,
                               std::span<const TapLists::Meeting> columns, const float* dy,
                               const float* w, float* dx) {
  const size_t lanes = hn::Lanes(d);
  hn::Vec<D> sum[kCount];
  for (size_t v = 0; v < kCount; ++v) sum[v] = hn::Zero(d);
  for (const TapLists::Meeting& up : rows) {
    const float* dy_row = dy + up.output * shape.columns.output * shape.channels;
    const float* w_row = w + up.tap * shape.columns.kernel * shape.channels;
    for (const TapLists::Meeting& along : columns) {
      const float* at = dy_row + along.output * shape.channels;
      const float* weight = w_row + along.tap * shape.channels;
      for (size_t v = 0; v < kCount; ++v) {
        sum[v] = hn::MulAdd(hn::LoadU(d, at + v * lanes), hn::LoadU(d, weight + v * lanes), sum[v]);
      }
    }
  }
  for (size_t v = 0; v < kCount; ++v) hn::StoreU(sum[v], d, dx + v * lanes);
}

void DepthwiseInputGradientImpl(const ConvolutionShape& shape, const TapLists& rows,
                                const TapLists& columns, const float* dy, const float* w,
                                float* dx) {
  const int64_t y_sample = shape.rows.output * shape.columns.output * shape.channels;
  for (int64_t n = 0; n < shape.samples; ++n, dy += y_sample) {
    for (int64_t row = 0; row < shape.rows.input; ++row) {
      for (int64_t column = 0; column < shape.columns.input; ++column, dx += shape.channels) {
        const auto up = MeetingsOf(rows, row), along = MeetingsOf(columns, column);
        ForEachBlock(
            static_cast<size_t>(shape.channels), [&](auto d, auto count, size_t c) HWY_ATTR {
              GatherPosition<decltype(count)::value>(d, shape, up, along, dy + c, w + c, dx + c);
            });
      }
    }
  }
}

// The output positions that meet the input by one tap, and the input position of the first.
struct Range {
  int64_t begin, end, input;
};

HWY_INLINE Range RangeOf(const ConvolutionAxis& axis, int64_t tap) {
  const int64_t offset = tap * axis.dilation - axis.pad;  // of output 0
  const int64_t begin = offset >= 0 ? 0 : (-offset + axis.stride - 1) / axis.stride;
  const int64_t end =
      offset >= axis.input ? 0 : std::min(axis.output, (axis.input - 1 - offset) / axis.stride + 1);
  return {begin, std::max(begin, end), begin * axis.stride + offset};
}

template <size_t kCount, typename D>
HWY_INLINE void AddTap(D d, const ConvolutionShape& shape, const Range& rows, const Range& columns,
                       const float* x, const float* dy, float* dw) {
  const size_t lanes = hn::Lanes(d);
  const int64_t channels = shape.channels;
  hn::Vec<D> sum[kCount];
  for (size_t v = 0; v < kCount; ++v) sum[v] = hn::LoadU(d, dw + v * lanes);
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const int64_t input_row = rows.input + (row - rows.begin) * shape.rows.stride;
    const float* from = x + (input_row * shape.columns.input + columns.input) * channels;
    const float* gradient = dy + (row * shape.columns.output + columns.begin) * channels;
    for (int64_t column = columns.begin; column < columns.end; ++column) {
      for (size_t v = 0; v < kCount; ++v) {
        sum[v] =
            hn::MulAdd(hn::LoadU(d, from + v * lanes), hn::LoadU(d, gradient + v * lanes), sum[v]);
      }
      from += shape.columns.stride * channels;
      gradient += channels;
    }
  }
  for (size_t v = 0; v < kCount; ++v) hn::StoreU(sum[v], d, dw + v * lanes);
}

void DepthwiseWeightGradientImpl(const ConvolutionShape& shape, const float* x, const float* dy,
                                 float* dw) {
  const int64_t taps = shape.rows.kernel * shape.columns.kernel;
  std::fill_n(dw, taps * shape.channels, 0.0f);
  const int64_t x_sample = shape.rows.input * shape.columns.input * shape.channels;
  const int64_t y_sample = shape.rows.output * shape.columns.output * shape.channels;
  // A block of channels of one sample stays in cache for all taps.
  for (int64_t n = 0; n < shape.samples; ++n, x += x_sample, dy += y_sample) {
    ForEachBlock(static_cast<size_t>(shape.channels), [&](auto d, auto count, size_t c) HWY_ATTR {
      for (int64_t tap = 0; tap < taps; ++tap) {
        const Range rows = RangeOf(shape.rows, tap / shape.columns.kernel);
        const Range columns = RangeOf(shape.columns, tap % shape.columns.kernel);
        AddTap<decltype(count)::value>(d, shape, rows, columns, x + c, dy + c,
                                       dw + tap * shape.channels + static_cast<int64_t>(c));
      }
    });
  }
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {

HWY_EXPORT(DepthwiseInputGradientImpl);
HWY_EXPORT(DepthwiseWeightGradientImpl);

TapLists TapsOfInputs(const ConvolutionAxis& axis) {
  TapLists lists;
  for (int64_t i = 0; i < axis.input; ++i) {
    lists.begin.push_back(lists.meetings.size());
    for (int64_t k = 0; k < axis.kernel; ++k) {
      const int64_t from = i + axis.pad - k * axis.dilation;
      if (from < 0 || from % axis.stride != 0 || from / axis.stride >= axis.output) continue;
      lists.meetings.push_back({k, from / axis.stride});
    }
  }
  lists.begin.push_back(lists.meetings.size());
  return lists;
}

void DepthwiseInputGradient(const ConvolutionShape& shape, const TapLists& rows,
                            const TapLists& columns, const float* dy, const float* w, float* dx) {
  HWY_DYNAMIC_DISPATCH(DepthwiseInputGradientImpl)(shape, rows, columns, dy, w, dx);
}

void DepthwiseWeightGradient(const ConvolutionShape& shape, const float* x, const float* dy,
                             float* dw) {
  HWY_DYNAMIC_DISPATCH(DepthwiseWeightGradientImpl)(shape, x, dy, dw);
}

}  // namespace ingot::cpu
#endif
