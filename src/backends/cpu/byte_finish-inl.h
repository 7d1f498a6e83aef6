// From sums to f32 or bytes (ByteFinish), a few vectors at a time. Included once for each
// instruction set.
#if defined(INGOT_BACKENDS_CPU_BYTE_FINISH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef INGOT_BACKENDS_CPU_BYTE_FINISH_INL_H_
#undef INGOT_BACKENDS_CPU_BYTE_FINISH_INL_H_
#else
#define INGOT_BACKENDS_CPU_BYTE_FINISH_INL_H_
#endif

#include <cstring>

#include "hwy/highway.h"

#include "backends/cpu/activation-inl.h"
#include "backends/cpu/byte_rows.h"
#include "backends/cpu/requantize-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Sums of one call at most.
inline constexpr size_t kMostFinished = 64;

// What the sums from column `at` on stand for.
HWY_INLINE FVector FinishedValue(const ByteFinish& finish, const int32_t* sums, size_t at) {
  const FTag df;
  FVector value =
      hn::Mul(hn::ConvertTo(df, hn::LoadU(IntTag(), sums + at)), hn::LoadU(df, finish.scale + at));
  if (finish.offset != nullptr) value = hn::Add(value, hn::LoadU(df, finish.offset + at));
  if (finish.epilogue.kind == Epilogue::Kind::kNone) return value;
  return Activate(df, finish.epilogue, value, value);
}

template <typename T>
HWY_INLINE void FinishBytes(const ByteFinish& finish, const int32_t* sums, size_t vectors,
                            size_t columns, T* to) {
  const IntTag d;
  const FTag df;
  const size_t lanes = hn::Lanes(d);
  const hn::Rebind<T, IntTag> narrow;
  const FVector low = hn::Set(df, finish.low), high = hn::Set(df, finish.high);
  const IntVector shift = hn::Set(d, kRoundsBits - finish.zero);
  HWY_ALIGN T edge[kMostFinished];
  T* out = columns == vectors * lanes ? to : edge;
  for (size_t j = 0; j < vectors; ++j) {
    const FVector value = FinishedValue(finish, sums, j * lanes);
    const IntVector number = Whole(hn::Min(hn::Max(value, low), high), shift);
    hn::StoreU(hn::DemoteTo(narrow, number), narrow, out + j * lanes);
  }
  if (out == edge) std::memcpy(to, edge, columns);
}

HWY_INLINE void FinishFloats(const ByteFinish& finish, const int32_t* sums, size_t vectors,
                             size_t columns, float* to) {
  const FTag df;
  const size_t lanes = hn::Lanes(df);
  for (size_t j = 0; j < vectors; ++j) {
    StoreFloats(FinishedValue(finish, sums, j * lanes), to + j * lanes, columns - j * lanes);
  }
}

#if HWY_TARGET == HWY_AVX2
// Where ByteFinish is plain: what 16 sums become, in order.
class PlainFinish {
 public:
  explicit PlainFinish(const ByteFinish& finish)
      : zero_(_mm256_set1_epi16(static_cast<int16_t>(finish.zero))),
        lowest_(_mm256_set1_epi8(static_cast<char>(finish.lowest))),
        highest_(_mm256_set1_epi8(static_cast<char>(finish.highest))) {}

  // Two rows of sums, as the halves of the result.
  template <typename T>
  HWY_INLINE __m256i Two(const __m256i (&first)[2], const __m256i (&second)[2],
                         const __m256 (&scale)[2]) const {
    return Two<T>(first, scale, second, scale);
  }
  template <typename T>
  HWY_INLINE __m256i Two(const __m256i (&first)[2], const __m256 (&first_scale)[2],
                         const __m256i (&second)[2], const __m256 (&second_scale)[2]) const {
    constexpr bool is_signed = T(-1) < T(0);
    const __m256i a = Halves(first, first_scale), b = Halves(second, second_scale);
    __m256i bytes = is_signed ? _mm256_packs_epi16(a, b) : _mm256_packus_epi16(a, b);
    if (is_signed) {
      bytes = _mm256_min_epi8(_mm256_max_epi8(bytes, lowest_), highest_);
    } else {
      bytes = _mm256_min_epu8(_mm256_max_epu8(bytes, lowest_), highest_);
    }
    return _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
  }

 private:
  // [0..3, 8..11] and [4..7, 12..15], rounded to nearest even, with the zero point.
  HWY_INLINE __m256i Halves(const __m256i (&sums)[2], const __m256 (&scale)[2]) const {
    const __m256i low = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_cvtepi32_ps(sums[0]), scale[0]));
    const __m256i high = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_cvtepi32_ps(sums[1]), scale[1]));
    return _mm256_adds_epi16(_mm256_packs_epi32(low, high), zero_);
  }

  __m256i zero_, lowest_, highest_;
};
#endif

// `columns` results of `vectors` vectors of sums, as many as hold them.
HWY_INLINE void FinishSums(const ByteFinish& finish, const int32_t* sums, size_t vectors,
                           size_t columns, std::byte* to) {
  switch (finish.type) {
    case RequantizeCall::Type::kF32:
      return FinishFloats(finish, sums, vectors, columns, reinterpret_cast<float*>(to));
    case RequantizeCall::Type::kU8:
      return FinishBytes(finish, sums, vectors, columns, reinterpret_cast<uint8_t*>(to));
    case RequantizeCall::Type::kI8:
      return FinishBytes(finish, sums, vectors, columns, reinterpret_cast<int8_t*>(to));
  }
}

// Where the rows of a tile go.
struct FinishedRows {
  const ByteFinish* finish = nullptr;
  std::byte* to = nullptr;
  size_t to_row = 0;  // bytes from row to row
  size_t columns = 0;
};

#if HWY_TARGET == HWY_AVX2
// Two whole vectors of plain bytes: most of all.
template <typename T>
HWY_INLINE void FinishPlain(const FinishedRows& rows, size_t count, const int32_t* sums) {
  const FTag df;
  const PlainFinish finish(*rows.finish);
  const __m256 scale[2] = {hn::LoadU(df, rows.finish->scale).raw,
                           hn::LoadU(df, rows.finish->scale + 8).raw};
  const auto* from = reinterpret_cast<const __m256i*>(sums);
  std::byte* to = rows.to;
  for (size_t row = 0; row < count; row += 2, from += 4) {
    const size_t second = row + 1 < count ? 2 : 0;
    const __m256i bytes =
        finish.Two<T>({from[0], from[1]}, {from[second], from[second + 1]}, scale);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm256_castsi256_si128(bytes));
    to += rows.to_row;
    if (second == 0) return;
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm256_extracti128_si256(bytes, 1));
    to += rows.to_row;
  }
}
#endif

// Rows of sums, each of NV vectors, one behind the other. Not inlined: a copy in every tile is much
// to compile.
template <int NV>
HWY_NOINLINE void FinishTile(const FinishedRows& rows, size_t count, const int32_t* sums) {
#if HWY_TARGET == HWY_AVX2
  if (NV == 2 && rows.columns == 16 && rows.finish->plain) {
    return rows.finish->type == RequantizeCall::Type::kU8 ? FinishPlain<uint8_t>(rows, count, sums)
                                                          : FinishPlain<int8_t>(rows, count, sums);
  }
#endif
  const size_t lanes = hn::Lanes(IntTag());
  for (size_t row = 0; row < count; ++row) {
    FinishSums(*rows.finish, sums + row * NV * lanes, NV, rows.columns,
               rows.to + row * rows.to_row);
  }
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
