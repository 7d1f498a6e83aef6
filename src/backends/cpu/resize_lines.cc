// Weighted sums of rows, compiled for every instruction set.
#include "backends/cpu/resize_lines.h"

#include <algorithm>
#include <cstring>

#ifndef HWY_TARGET_INCLUDE  // else its unit says it
#define HWY_TARGET_INCLUDE "backends/cpu/resize_lines.cc"
#endif
#include "hwy/foreach_target.h"
// foreach_target.h must come first.
#include "hwy/highway.h"

#include "backends/cpu/row_parts-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// The weighted sum of `count` rows of `inner` elements.
HWY_INLINE void WeightedRows(const uint32_t* source, const float* weight, size_t count,
                             size_t inner, const float* x, float* y) {
  ForEachPart(inner, [&](auto d, size_t i) HWY_ATTR {
    auto total = hn::Mul(hn::Set(d, weight[0]), hn::LoadU(d, x + source[0] * inner + i));
    for (size_t t = 1; t < count; ++t) {
      const auto part = hn::Mul(hn::Set(d, weight[t]), hn::LoadU(d, x + source[t] * inner + i));
      total = hn::Add(total, part);
    }
    hn::StoreU(total, d, y + i);
  });
}

void ResizeLineImpl(const ResizeTaps& taps, size_t from, size_t to, size_t inner, const float* x,
                    float outside, float* y) {
  for (size_t n = from; n < to; ++n) {
    const size_t begin = taps.begin[n];
    const size_t count = taps.begin[n + 1] - begin;
    float* row = y + n * inner;
    if (count == 0) {
      std::fill_n(row, inner, outside);
    } else if (count == 1 && taps.weight[begin] == 1) {
      std::memcpy(row, x + taps.source[begin] * inner, inner * sizeof(float));
    } else {
      WeightedRows(taps.source.data() + begin, taps.weight.data() + begin, count, inner, x, row);
    }
  }
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {

HWY_EXPORT(ResizeLineImpl);

void ResizeLine(const ResizeTaps& taps, size_t from, size_t to, size_t inner, const float* x,
                float outside, float* y) {
  HWY_DYNAMIC_DISPATCH(ResizeLineImpl)(taps, from, to, inner, x, outside, y);
}

}  // namespace ingot::cpu
#endif
