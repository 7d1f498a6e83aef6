// From whole numbers to bytes, and vectors that are not full. Included once for each instruction
// set.
#if defined(INGOT_BACKENDS_CPU_REQUANTIZE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef INGOT_BACKENDS_CPU_REQUANTIZE_INL_H_
#undef INGOT_BACKENDS_CPU_REQUANTIZE_INL_H_
#else
#define INGOT_BACKENDS_CPU_REQUANTIZE_INL_H_
#endif

#include <cstring>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using IntTag = hn::ScalableTag<int32_t>;
using IntVector = hn::Vec<IntTag>;
using PairTag = hn::Repartition<int16_t, IntTag>;
using FTag = hn::ScalableTag<float>;
using FVector = hn::Vec<FTag>;

// sum + the two products of each pair of i16.
template <bool kVnni>
HWY_INLINE IntVector AddPairs(IntVector a, IntVector b, IntVector sum) {
#if HWY_TARGET == HWY_AVX3
  if constexpr (kVnni) {
    // Highway's AVX3 has no name for it, as not all CPUs of that set have the instruction.
    asm("vpdpwssd %1, %2, %0" : "+v"(sum.raw) : "v"(a.raw), "v"(b.raw));
    return sum;
  }
#endif
#if HWY_ARCH_X86 && HWY_TARGET != HWY_SCALAR && HWY_TARGET != HWY_EMU128
  const IntTag d;
  const PairTag dp;
  IntVector unused = hn::Zero(d);
  return hn::ReorderWidenMulAccumulate(d, hn::BitCast(dp, a), hn::BitCast(dp, b), sum, unused);
#else
  const IntVector low =
      hn::Mul(hn::ShiftRight<16>(hn::ShiftLeft<16>(a)), hn::ShiftRight<16>(hn::ShiftLeft<16>(b)));
  return hn::Add(sum, hn::Add(low, hn::Mul(hn::ShiftRight<16>(a), hn::ShiftRight<16>(b))));
#endif
}

HWY_INLINE IntVector LoadSums(const float* from, size_t count) {
  const IntTag d;
  if (count >= hn::Lanes(d)) return hn::LoadU(d, reinterpret_cast<const int32_t*>(from));
  HWY_ALIGN int32_t edge[HWY_MAX_BYTES / 4] = {};
  std::memcpy(edge, from, count * 4);
  return hn::Load(d, edge);
}

// Added to 1.5 * 2^23, a number has no bits behind the point: the sum's rounding is the one wanted,
// to nearest even, and the lowest bits of the result are the whole number.
constexpr float kRounds = 0x1.8p23f;
constexpr int32_t kRoundsBits = 0x4b400000;

// A value below 2^22 in size as a whole number; `shift` is kRoundsBits less what is added to it.
HWY_INLINE IntVector Whole(FVector value, IntVector shift) {
  const IntTag d;
  return hn::Sub(hn::BitCast(d, hn::Add(value, hn::Set(FTag(), kRounds))), shift);
}

// Rounds to nearest even and cuts to the bytes of T.
template <typename T>
HWY_INLINE hn::Vec<hn::Rebind<T, IntTag>> RoundToBytes(FVector value, IntVector zero) {
  const IntTag d;
  const FTag df;
  // Beyond this a byte is saturated whatever its zero point.
  const FVector cut = hn::Min(hn::Max(value, hn::Set(df, -1.0e6f)), hn::Set(df, 1.0e6f));
  const IntVector number = Whole(cut, hn::Sub(hn::Set(d, kRoundsBits), zero));
  return hn::DemoteTo(hn::Rebind<T, IntTag>(), number);
}

#if HWY_TARGET == HWY_AVX2
// Two vectors of whole numbers that bytes hold.
template <typename T>
HWY_INLINE void StoreTwoOfBytes(IntVector first, IntVector second, T* to) {
  // [0..3 of the first, of the second, 4..7 of the first, of the second]
  const __m256i halves = _mm256_packs_epi32(first.raw, second.raw);
  const __m128i left = _mm256_castsi256_si128(halves);
  const __m128i right = _mm256_extracti128_si256(halves, 1);
  const __m128i bytes = T(-1) < T(0) ? _mm_packs_epi16(left, right) : _mm_packus_epi16(left, right);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm_shuffle_epi32(bytes, 0xd8));
}
#endif

template <typename T>
HWY_INLINE void StoreBytes(FVector value, IntVector zero, T* to, size_t count) {
  const IntTag d;
  const hn::Rebind<T, IntTag> narrow;
  const auto bytes = RoundToBytes<T>(value, zero);
  if (count >= hn::Lanes(d)) {
    hn::StoreU(bytes, narrow, to);
    return;
  }
  HWY_ALIGN T edge[HWY_MAX_BYTES / 4];
  hn::StoreU(bytes, narrow, edge);
  std::memcpy(to, edge, count);
}

HWY_INLINE FVector LoadFloats(const float* from, size_t count) {
  const FTag d;
  if (count >= hn::Lanes(d)) return hn::LoadU(d, from);
  HWY_ALIGN float edge[HWY_MAX_BYTES / 4] = {};
  std::memcpy(edge, from, count * 4);
  return hn::Load(d, edge);
}

HWY_INLINE void StoreFloats(FVector value, float* to, size_t count) {
  const FTag d;
  if (count >= hn::Lanes(d)) {
    hn::StoreU(value, d, to);
    return;
  }
  HWY_ALIGN float edge[HWY_MAX_BYTES / 4];
  hn::Store(value, d, edge);
  std::memcpy(to, edge, count * 4);
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
