// A walk over a row of any length in whole vectors, then one by one. Included once for each
// instruction set, from within the namespace of that target.
#if defined(INGOT_BACKENDS_CPU_ROW_PARTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef INGOT_BACKENDS_CPU_ROW_PARTS_INL_H_
#undef INGOT_BACKENDS_CPU_ROW_PARTS_INL_H_
#else
#define INGOT_BACKENDS_CPU_ROW_PARTS_INL_H_
#endif

#include <cstddef>

#include "hwy/highway.h"

#include "backends/cpu/matmul.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using RowTag = hn::CappedTag<float, kMostLanes>;
using OneTag = hn::CappedTag<float, 1>;

// f(tag, j) for whole vectors of a row, then for what is left one by one.
template <typename F>
HWY_INLINE void ForEachPart(size_t length, F f) {
  const RowTag d;
  const size_t lanes = hn::Lanes(d);
  size_t j = 0;
  for (; j + lanes <= length; j += lanes) f(d, j);
  for (; j < length; ++j) f(OneTag(), j);
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
