// Depthwise convolutions of bytes, three by three inside of the plane, along a row. Included once
// for each instruction set.
#if defined(INGOT_BACKENDS_CPU_BYTE_DEPTHWISE_WALK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef INGOT_BACKENDS_CPU_BYTE_DEPTHWISE_WALK_INL_H_
#undef INGOT_BACKENDS_CPU_BYTE_DEPTHWISE_WALK_INL_H_
#else
#define INGOT_BACKENDS_CPU_BYTE_DEPTHWISE_WALK_INL_H_
#endif

#include <algorithm>

#include "hwy/highway.h"

#include "backends/cpu/byte_depthwise.h"
#include "backends/cpu/byte_depthwise_row.h"
#include "backends/cpu/byte_finish-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr auto kBlock = static_cast<size_t>(kDepthwiseBlock);

// What a block of a position reads and writes.
struct BlockPlace {
  size_t first = 0;  // of its start and scale
  size_t at = 0;     // of its channels
  const int16_t* w = nullptr;
};

HWY_INLINE BlockPlace PlaceOf(const ByteDepthwiseRow& call, size_t block, size_t pairs) {
  const auto channels = static_cast<size_t>(call.shape->channels);
  const size_t first = block * kBlock;
  return {first, channels < kBlock ? 0 : std::min(first, channels - kBlock),
          call.w + 2 * first * pairs};
}

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2
template <bool kFlip>
HWY_INLINE __m128i LoadTap(const std::byte* from) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  return kFlip ? _mm_xor_si128(bytes, _mm_set1_epi8(static_cast<char>(0x80))) : bytes;
}
#endif

#if HWY_TARGET == HWY_AVX2
// Three by three inside of the plane: a block of channels walks along the row, two positions at
// once, and what the columns of the filter meet is made ready once for all that meet it.
template <bool kFlip>
class ThreeRows {
 public:
  // `left`: the column that the first position's filter begins at.
  ThreeRows(const ByteDepthwiseRow& call, int64_t left) {
    const ConvolutionShape& shape = *call.shape;
    for (int64_t i = 0; i < 3; ++i) {
      const int64_t y = call.row * shape.rows.stride - shape.rows.pad + i;
      const bool inside = y >= 0 && y < shape.rows.input;
      step_[i] = inside ? shape.channels : 0;
      row_[i] =
          inside ? call.sample + (y * shape.columns.input + left) * shape.channels : call.beyond;
    }
  }

  // The upper two taps of a column.
  HWY_INLINE void Column(int64_t x, size_t c, __m256i (&to)[2]) const {
    Widen(LoadTap<kFlip>(At(0, x) + c), LoadTap<kFlip>(At(1, x) + c), to);
  }

  // Of a position whose columns those are; the third row's taps are read.
  HWY_INLINE void Sum(const __m256i (*columns)[2], int64_t x, size_t c, const int16_t* w,
                      const int32_t* start, __m256i (&sums)[2]) const {
    const auto* weights = reinterpret_cast<const __m256i*>(w);
    __m256i third[2][2];
    Widen(LoadTap<kFlip>(At(2, x) + c), LoadTap<kFlip>(At(2, x + 1) + c), third[0]);
    third[1][0] = Last(At(2, x + 2) + c);
    third[1][1] = Last(At(2, x + 2) + c + 8);
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      __m256i sum = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(start) + half);
#pragma GCC unroll 5
      for (int p = 0; p < 5; ++p) {
        const __m256i x_pair = p < 3 ? columns[p][half] : third[p - 3][half];
        sum = _mm256_add_epi32(
            sum, _mm256_madd_epi16(x_pair, _mm256_loadu_si256(weights + 2 * p + half)));
      }
      sums[half] = sum;
    }
  }

 private:
  const std::byte* At(int row, int64_t x) const {
    return row_[row] + x * step_[row];
  }
  static HWY_INLINE void Widen(__m128i a, __m128i b, __m256i (&to)[2]) {
    to[0] = _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(a, b));
    to[1] = _mm256_cvtepu8_epi16(_mm_unpackhi_epi8(a, b));
  }
  // A tap without another: eight channels, each beside a zero.
  static HWY_INLINE __m256i Last(const std::byte* from) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
    const auto flip = _mm_set1_epi8(static_cast<char>(0x80));
    return _mm256_cvtepu8_epi32(kFlip ? _mm_xor_si128(bytes, flip) : bytes);
  }

  const std::byte* row_[3];
  int64_t step_[3];
};

template <bool kFlip, int kStride, typename T>
HWY_INLINE void WalkBlock(const ByteDepthwiseRow& call, const ThreeRows<kFlip>& rows,
                          const PlainFinish& finish, const BlockPlace& place, int64_t count,
                          std::byte* to) {
  constexpr int kKept = 3 - kStride;  // columns that the next two positions meet too
  const int64_t channels = call.shape->channels;
  const int32_t* start = call.start + place.first;
  const float* scales = call.finish.scale + place.first;
  const __m256 scale[2] = {_mm256_loadu_ps(scales), _mm256_loadu_ps(scales + 8)};
  __m256i columns[kStride + 3][2], sums[2][2];
#pragma GCC unroll 2
  for (int i = 0; i < kKept; ++i) rows.Column(i, place.at, columns[i]);
  int64_t x = 0;
  for (int64_t j = 0; j + 2 <= count; j += 2, x += 2 * kStride, to += 2 * channels) {
#pragma GCC unroll 4
    for (int i = kKept; i < kStride + 3; ++i) rows.Column(x + i, place.at, columns[i]);
    rows.Sum(columns, x, place.at, place.w, start, sums[0]);
    rows.Sum(columns + kStride, x + kStride, place.at, place.w, start, sums[1]);
    const __m256i bytes = finish.Two<T>(sums[0], sums[1], scale);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm256_castsi256_si128(bytes));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + channels), _mm256_extracti128_si256(bytes, 1));
#pragma GCC unroll 2
    for (int i = 0; i < kKept; ++i) {
      columns[i][0] = columns[2 * kStride + i][0];
      columns[i][1] = columns[2 * kStride + i][1];
    }
  }
  if (count % 2 == 0) return;
#pragma GCC unroll 2
  for (int i = kKept; i < 3; ++i) rows.Column(x + i, place.at, columns[i]);
  rows.Sum(columns, x, place.at, place.w, start, sums[0]);
  const __m256i bytes = finish.Two<T>(sums[0], sums[0], scale);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm256_castsi256_si128(bytes));
}

bool CanWalk(const ByteDepthwiseRow& call) {
  const ConvolutionAxis &rows = call.shape->rows, &columns = call.shape->columns;
  return rows.dilation == 1 && columns.dilation == 1 &&
         (columns.stride == 1 || columns.stride == 2) && call.finish.plain &&
         call.shape->channels >= kDepthwiseBlock;
}

template <bool kFlip, int kStride, typename T>
HWY_INLINE void WalkBlocks(const ByteDepthwiseRow& call, int64_t begin, int64_t end) {
  const ThreeRows<kFlip> rows(call, begin * kStride - call.shape->columns.pad);
  const PlainFinish finish(call.finish);
  const size_t blocks = (static_cast<size_t>(call.shape->channels) + kBlock - 1) / kBlock;
  for (size_t block = 0; block < blocks; ++block) {
    const BlockPlace place = PlaceOf(call, block, 5);
    std::byte* to = call.to + begin * call.shape->channels + place.at;
    WalkBlock<kFlip, kStride, T>(call, rows, finish, place, end - begin, to);
  }
}

// Positions [begin, end), all inside of the row.
template <bool kFlip>
void WalkRow(const ByteDepthwiseRow& call, int64_t begin, int64_t end) {
  const bool is_unsigned = call.finish.type == RequantizeCall::Type::kU8;
  if (call.shape->columns.stride == 1) {
    return is_unsigned ? WalkBlocks<kFlip, 1, uint8_t>(call, begin, end)
                       : WalkBlocks<kFlip, 1, int8_t>(call, begin, end);
  }
  return is_unsigned ? WalkBlocks<kFlip, 2, uint8_t>(call, begin, end)
                     : WalkBlocks<kFlip, 2, int8_t>(call, begin, end);
}
#endif

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
