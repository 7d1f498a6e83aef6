// Which columns or rows of a product's left side are not zero throughout a register tile. Images
// with an empty background, one-hot and rectified inputs have many that are: these need not be
// multiplied, and the result keeps its bits (see AccumulateListed). Included once for each
// instruction set, from within the namespace of that target.
#if defined(INGOT_BACKENDS_CPU_ZERO_LISTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef INGOT_BACKENDS_CPU_ZERO_LISTS_INL_H_
#undef INGOT_BACKENDS_CPU_ZERO_LISTS_INL_H_
#else
#define INGOT_BACKENDS_CPU_ZERO_LISTS_INL_H_
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "hwy/cache_control.h"
#include "hwy/highway.h"

#include "backends/cpu/set_bits.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// A few probes tell whether looking closer pays.
constexpr size_t kProbes = 16;
constexpr size_t kWorthwhile = kProbes / 4;

HWY_INLINE bool IsZeroBits(const float* at) {
  uint32_t bits;
  std::memcpy(&bits, at, sizeof(bits));
  return bits == 0;
}

// Of columns: a[i * a_row + k], i < rows.
HWY_INLINE bool HasZeroColumns(const float* a, size_t a_row, size_t rows, size_t k,
                               size_t worthwhile) {
  if (k < 4 * kProbes) return false;
  size_t zeros = 0;
  for (size_t probe = 0; probe < kProbes; ++probe) {
    const size_t column = probe * k / kProbes;
    bool zero = true;
    for (size_t i = 0; i < rows; ++i) zero = zero && IsZeroBits(a + i * a_row + column);
    zeros += zero ? 1 : 0;
  }
  return zeros >= worthwhile;
}

// The columns that are not zero in all of MR rows, upwards, then `ahead` times the last; their
// number. (Highway's Compress would copy its table to the stack at each call with GCC 12.)
template <int MR>
HWY_INLINE size_t ListColumns(const float* a, size_t a_row, size_t k, uint32_t* list,
                              size_t ahead) {
  const hn::CappedTag<uint32_t, 8> d;
  const hn::Rebind<uint8_t, decltype(d)> d8;
  const size_t lanes = hn::Lanes(d);
  size_t count = 0;
  size_t column = 0;
  for (; column + lanes <= k; column += lanes) {
    auto any = hn::LoadU(d, reinterpret_cast<const uint32_t*>(a + column));
    for (size_t i = 1; i < MR; ++i) {
      any = hn::Or(any, hn::LoadU(d, reinterpret_cast<const uint32_t*>(a + i * a_row + column)));
    }
    uint8_t bits[8] = {};
    hn::StoreMaskBits(d, hn::Ne(any, hn::Zero(d)), bits);
    const auto places = hn::PromoteTo(d, hn::LoadU(d8, kSetBits.places[bits[0]].data()));
    hn::StoreU(hn::Add(places, hn::Set(d, static_cast<uint32_t>(column))), d, list + count);
    count += kSetBits.count[bits[0]];
  }
  for (; column < k; ++column) {
    bool zero = true;
    for (size_t i = 0; i < MR; ++i) zero = zero && IsZeroBits(a + i * a_row + column);
    list[count] = static_cast<uint32_t>(column);
    count += zero ? 0 : 1;
  }
  const uint32_t last = count == 0 ? 0 : list[count - 1];
  std::fill(list + count, list + count + ahead, last);
  return count;
}

// The rows r with x[r * stride + i] not zero for all i < MR; `rows` of them where it is not worth
// it.
template <int MR>
HWY_INLINE size_t ListRows(const float* x, size_t stride, size_t rows, uint32_t* list) {
  size_t count = 0;
  for (size_t r = 0; r < rows; ++r) {
    uint32_t bits[MR];
    std::memcpy(bits, x + r * stride, sizeof(bits));
    uint32_t any = bits[0];
    for (int i = 1; i < MR; ++i) any |= bits[i];
    list[count] = static_cast<uint32_t>(r);
    count += any != 0 ? 1 : 0;
    if (r + 1 == kProbes / 2 && count == r + 1) return rows;  // dense, most likely
  }
  return count;
}

// The same for kBlocks neighbouring blocks of four at once: list b, its length first, goes to lists
// + b * stride. False, with no list made, where it is not worth it.
template <size_t kBlocks>
HWY_INLINE bool ListRowsOfLine(const float* x, size_t x_stride, size_t rows, uint32_t* lists,
                               size_t stride) {
  const hn::CappedTag<uint32_t, 4> d;
  const size_t lanes = hn::Lanes(d);
  size_t count[kBlocks] = {};
  for (size_t r = 0; r < rows; ++r) {
    const auto* line = reinterpret_cast<const uint32_t*>(x + r * x_stride);
    hwy::Prefetch(line + 4 * kBlocks);  // the next blocks, which come soon
    for (size_t b = 0; b < kBlocks; ++b) {
      auto any = hn::LoadU(d, line + 4 * b);
      for (size_t i = lanes; i < 4; i += lanes) any = hn::Or(any, hn::LoadU(d, line + 4 * b + i));
      lists[b * stride + 1 + count[b]] = static_cast<uint32_t>(r);
      count[b] += hn::AllFalse(d, hn::Ne(any, hn::Zero(d))) ? 0 : 1;
    }
    if (r + 1 == kProbes / 2) {
      size_t listed = 0;
      for (const size_t c : count) listed += c;
      if (listed == kBlocks * (r + 1)) return false;  // dense, most likely
    }
  }
  for (size_t b = 0; b < kBlocks; ++b) lists[b * stride] = static_cast<uint32_t>(count[b]);
  return true;
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
