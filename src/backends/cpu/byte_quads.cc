// Tiles of quads for AVX2, and the copy that makes rows of them.
#include "backends/cpu/byte_quads.h"

#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backends/cpu/byte_quads.cc"
#include "hwy/foreach_target.h"
// foreach_target.h must come first.
#include "hwy/highway.h"

#include "backends/cpu/byte_finish-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_AVX2
HWY_INLINE __m256i LoadQuads(const std::byte* from) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
}
HWY_INLINE __m256i OneQuad(const std::byte* from) {
  int32_t bits;
  std::memcpy(&bits, from, 4);
  return _mm256_set1_epi32(bits);
}
// sum + the four products of each quad.
HWY_INLINE __m256i AddQuads(__m256i sum, __m256i unsigned_bytes, __m256i signed_bytes,
                            __m256i ones) {
  return _mm256_add_epi32(
      sum, _mm256_madd_epi16(_mm256_maddubs_epi16(unsigned_bytes, signed_bytes), ones));
}

// The same of two quads.
HWY_INLINE __m256i AddTwoQuads(__m256i sum, __m256i pairs, __m256i more, __m256i ones) {
  return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_add_epi16(pairs, more), ones));
}

template <int MR, int NV>
struct QuadTile {
  static HWY_INLINE void PlainTwos(const QuadTileCall& call, __m256i ones, __m256i (&acc)[MR][NV]) {
    const std::byte* w = call.plain_w;
    for (size_t e = 0; e < 2 * call.plain_twos; e += 2, w += 2 * NV * 32) {
#pragma GCC unroll 4
      for (int i = 0; i < MR; ++i) {
        const std::byte* x = call.x + static_cast<size_t>(i) * call.x_row;
        const __m256i a = OneQuad(x + call.at[e]), b = OneQuad(x + call.at[e + 1]);
#pragma GCC unroll 2
        for (int j = 0; j < NV; ++j) {
          acc[i][j] = AddTwoQuads(acc[i][j], _mm256_maddubs_epi16(a, LoadQuads(w + j * 32)),
                                  _mm256_maddubs_epi16(b, LoadQuads(w + (NV + j) * 32)), ones);
        }
      }
    }
  }
  static HWY_INLINE void Plain(const QuadTileCall& call, __m256i ones, __m256i (&acc)[MR][NV]) {
    const std::byte* w = call.plain_w + 2 * call.plain_twos * NV * 32;
    for (size_t e = 2 * call.plain_twos; e < call.plain; ++e, w += NV * 32) {
      const std::byte* x = call.x + call.at[e];
#pragma GCC unroll 4
      for (int i = 0; i < MR; ++i) {
        const __m256i quad = OneQuad(x + static_cast<size_t>(i) * call.x_row);
#pragma GCC unroll 2
        for (int j = 0; j < NV; ++j) {
          acc[i][j] = AddQuads(acc[i][j], quad, LoadQuads(w + j * 32), ones);
        }
      }
    }
  }
  static HWY_INLINE void Masked(const QuadTileCall& call, __m256i ones, __m256i (&acc)[MR][NV]) {
    const std::byte* w = call.masked_w;
    for (size_t e = 0; e < call.masked; ++e, w += 2 * NV * 32) {
      const std::byte* x = call.x + call.at[call.plain + e];
#pragma GCC unroll 4
      for (int i = 0; i < MR; ++i) {
        const __m256i quad = OneQuad(x + static_cast<size_t>(i) * call.x_row);
#pragma GCC unroll 2
        for (int j = 0; j < NV; ++j) {
          const __m256i other = _mm256_xor_si256(quad, LoadQuads(w + (NV + j) * 32));
          acc[i][j] = AddQuads(acc[i][j], LoadQuads(w + j * 32), other, ones);
        }
      }
    }
  }
};

// Most tiles are of four rows by two vectors. Instruction by instruction: in the order that the
// compiler chooses, the work does not fit the sixteen registers.
// clang-format off
#define INGOT_PLAIN_ROW(X, LEFT, RIGHT)                                                      \
  "vpbroadcastd (%[" X "],%[at]),%[t0]\n vpmaddubsw %[w0],%[t0],%[t1]\n"                     \
  "vpmaddwd %[ones],%[t1],%[t1]\n vpaddd %[t1],%[" LEFT "],%[" LEFT "]\n"                    \
  "vpmaddubsw %[w1],%[t0],%[t0]\n"                                                           \
  "vpmaddwd %[ones],%[t0],%[t0]\n vpaddd %[t0],%[" RIGHT "],%[" RIGHT "]\n"
#define INGOT_MASKED_ROW(X, LEFT, RIGHT)                                                     \
  "vpbroadcastd (%[" X "],%[at]),%[t0]\n"                                                    \
  "vpxor %[m0],%[t0],%[t1]\n vpmaddubsw %[t1],%[w0],%[t1]\n"                                 \
  "vpmaddwd %[ones],%[t1],%[t1]\n vpaddd %[t1],%[" LEFT "],%[" LEFT "]\n"                    \
  "vpxor %[m1],%[t0],%[t0]\n vpmaddubsw %[t0],%[w1],%[t0]\n"                                 \
  "vpmaddwd %[ones],%[t0],%[t0]\n vpaddd %[t0],%[" RIGHT "],%[" RIGHT "]\n"
#define INGOT_PLAIN_TWO_ROW(X, LEFT, RIGHT)                                                  \
  "vpbroadcastd (%[a]" X "),%[t0]\n vpbroadcastd (%[b]" X "),%[t1]\n"                       \
  "vpmaddubsw %[w0],%[t0],%[t2]\n vpmaddubsw %[w1],%[t0],%[t0]\n"                           \
  "vpmaddubsw %[v0],%[t1],%[t3]\n vpmaddubsw %[v1],%[t1],%[t1]\n"                           \
  "vpaddw %[t3],%[t2],%[t2]\n vpaddw %[t1],%[t0],%[t0]\n"                                   \
  "vpmaddwd %[ones],%[t2],%[t2]\n vpaddd %[t2],%[" LEFT "],%[" LEFT "]\n"                   \
  "vpmaddwd %[ones],%[t0],%[t0]\n vpaddd %[t0],%[" RIGHT "],%[" RIGHT "]\n"
#define INGOT_FOUR_ROWS(ROW) \
  ROW("x0", "s0", "s1") ROW("x1", "s2", "s3") ROW("x2", "s4", "s5") ROW("x3", "s6", "s7")
#define INGOT_SUMS                                                                           \
  [s0] "+x"(acc[0][0]), [s1] "+x"(acc[0][1]), [s2] "+x"(acc[1][0]), [s3] "+x"(acc[1][1]),    \
  [s4] "+x"(acc[2][0]), [s5] "+x"(acc[2][1]), [s6] "+x"(acc[3][0]), [s7] "+x"(acc[3][1])
#define INGOT_ROWS [x0] "r"(x0), [x1] "r"(x1), [x2] "r"(x2), [x3] "r"(x3)
// clang-format on

template <>
struct QuadTile<4, 2> {
  static HWY_INLINE void PlainTwos(const QuadTileCall& call, __m256i ones, __m256i (&acc)[4][2]) {
    const std::byte* w = call.plain_w;
    for (size_t e = 0; e < 2 * call.plain_twos; e += 2, w += 128) {
      __m256i t0, t1, t2, t3;
      // clang-format off
      asm(INGOT_PLAIN_TWO_ROW("", "s0", "s1")
          INGOT_PLAIN_TWO_ROW(",%[row]", "s2", "s3")
          INGOT_PLAIN_TWO_ROW(",%[row],2", "s4", "s5")
          INGOT_PLAIN_TWO_ROW(",%[rows3]", "s6", "s7")
          // clang-format on
          : INGOT_SUMS, [t0] "=&x"(t0), [t1] "=&x"(t1), [t2] "=&x"(t2), [t3] "=&x"(t3)
          : [w0] "x"(LoadQuads(w)), [w1] "x"(LoadQuads(w + 32)),
            [v0] "m"(*reinterpret_cast<const __m256i*>(w + 64)), [v1] "x"(LoadQuads(w + 96)),
            [a] "r"(call.x + call.at[e]), [b] "r"(call.x + call.at[e + 1]), [row] "r"(call.x_row),
            [rows3] "r"(3 * call.x_row), [ones] "x"(ones)
          : "memory");
    }
  }
  static HWY_INLINE void Plain(const QuadTileCall& call, __m256i ones, __m256i (&acc)[4][2]) {
    const std::byte *x0 = call.x, *x1 = x0 + call.x_row, *x2 = x1 + call.x_row;
    const std::byte *x3 = x2 + call.x_row, *w = call.plain_w + 128 * call.plain_twos;
    for (size_t e = 2 * call.plain_twos; e < call.plain; ++e, w += 64) {
      __m256i w0, w1, t0, t1;
      asm("vmovdqu (%[w]),%[w0]\n"
          "vmovdqu 32(%[w]),%[w1]\n"  //
          INGOT_FOUR_ROWS(INGOT_PLAIN_ROW)
          : INGOT_SUMS, [w0] "=&x"(w0), [w1] "=&x"(w1), [t0] "=&x"(t0), [t1] "=&x"(t1)
          : [w] "r"(w), [at] "r"(int64_t{call.at[e]}), [ones] "x"(ones), INGOT_ROWS
          : "memory");
    }
  }
  static HWY_INLINE void Masked(const QuadTileCall& call, __m256i ones, __m256i (&acc)[4][2]) {
    const std::byte *x0 = call.x, *x1 = x0 + call.x_row, *x2 = x1 + call.x_row;
    const std::byte *x3 = x2 + call.x_row, *w = call.masked_w;
    const int32_t* at = call.at + call.plain;
    for (size_t e = 0; e < call.masked; ++e, w += 128) {
      __m256i w0, w1, m0, m1, t0, t1;
      asm("vmovdqu (%[w]),%[w0]\n"
          "vmovdqu 32(%[w]),%[w1]\n"
          "vmovdqu 64(%[w]),%[m0]\n"
          "vmovdqu 96(%[w]),%[m1]\n"  //
          INGOT_FOUR_ROWS(INGOT_MASKED_ROW)
          : INGOT_SUMS, [w0] "=&x"(w0), [w1] "=&x"(w1), [m0] "=&x"(m0), [m1] "=&x"(m1),
            [t0] "=&x"(t0), [t1] "=&x"(t1)
          : [w] "r"(w), [at] "r"(int64_t{at[e]}), [ones] "x"(ones), INGOT_ROWS
          : "memory");
    }
  }
};
#undef INGOT_PLAIN_TWO_ROW
#undef INGOT_PLAIN_ROW
#undef INGOT_MASKED_ROW
#undef INGOT_FOUR_ROWS
#undef INGOT_SUMS
#undef INGOT_ROWS

// Four rows of sixteen plain bytes, from the registers in which their sums are.
template <typename T>
HWY_INLINE void FinishFour(const PlainFinish& finish, const __m256 (&scale)[2],
                           const __m256i (&acc)[4][2], std::byte* to, size_t to_row) {
#pragma GCC unroll 2
  for (int i = 0; i < 4; i += 2, to += 2 * to_row) {
    const __m256i bytes = finish.Two<T>(acc[i], acc[i + 1], scale);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm256_castsi256_si128(bytes));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + to_row), _mm256_extracti128_si256(bytes, 1));
  }
}

template <int MR, int NV>
HWY_INLINE void SumQuads(const QuadTileCall& call, __m256i ones, __m256i (&acc)[MR][NV]) {
#pragma GCC unroll 4
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 2
    for (int j = 0; j < NV; ++j) acc[i][j] = hn::LoadU(IntTag(), call.start + j * 8).raw;
  }
  QuadTile<MR, NV>::PlainTwos(call, ones, acc);
  QuadTile<MR, NV>::Plain(call, ones, acc);
  QuadTile<MR, NV>::Masked(call, ones, acc);
}

template <int MR>
HWY_INLINE void NextTile(QuadTileCall& call) {
  call.x += MR * call.x_row;
  call.sums += MR * call.sums_row;
  if (call.to != nullptr) call.to += MR * call.to_row;
}

template <typename T>
void RunPlainTiles(QuadTileCall call) {
  const __m256i ones = _mm256_set1_epi16(1);
  const PlainFinish finish(*call.finish);
  const __m256 scale[2] = {_mm256_loadu_ps(call.finish->scale),
                           _mm256_loadu_ps(call.finish->scale + 8)};
  for (size_t tile = 0; tile < call.tiles; ++tile) {
    __m256i acc[4][2];
    SumQuads<4, 2>(call, ones, acc);
    FinishFour<T>(finish, scale, acc, call.to, call.to_row);
    NextTile<4>(call);
  }
}

template <int MR, int NV>
void RunQuadTile(const QuadTileCall& first) {
  if (MR == 4 && NV == 2 && first.finish != nullptr && first.finish->plain && first.columns == 16) {
    return first.finish->type == RequantizeCall::Type::kU8 ? RunPlainTiles<uint8_t>(first)
                                                           : RunPlainTiles<int8_t>(first);
  }
  const __m256i ones = _mm256_set1_epi16(1);
  QuadTileCall call = first;
  for (size_t tile = 0; tile < first.tiles; ++tile) {
    __m256i acc[MR][NV];
    SumQuads<MR, NV>(call, ones, acc);
    // Through memory, so that the loops above have all registers for themselves.
    HWY_ALIGN int32_t own[MR * NV * 8];
    int32_t* sums = call.finish == nullptr ? call.sums : own;
    const size_t sums_row = call.finish == nullptr ? call.sums_row : NV * 8;
#pragma GCC unroll 4
    for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 2
      for (int j = 0; j < NV; ++j) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums + i * sums_row + j * 8), acc[i][j]);
      }
    }
    if (call.finish != nullptr) {
      const FinishedRows rows{call.finish, call.to, call.to_row, call.columns};
      FinishTile<NV>(rows, MR, own);
    }
    NextTile<MR>(call);
  }
}

const QuadTileSet* QuadTilesImpl() {
  static const QuadTileSet tiles = {{{RunQuadTile<1, 1>, RunQuadTile<1, 2>},
                                     {RunQuadTile<2, 1>, RunQuadTile<2, 2>},
                                     {RunQuadTile<3, 1>, RunQuadTile<3, 2>},
                                     {RunQuadTile<4, 1>, RunQuadTile<4, 2>}}};
  return &tiles;
}
#else
const QuadTileSet* QuadTilesImpl() {
  return nullptr;
}
#endif

void CopyBytesImpl(const std::byte* from, bool is_signed, int64_t count, std::byte* to) {
  if (!is_signed) {
    std::memcpy(to, from, static_cast<size_t>(count));
    return;
  }
  for (int64_t i = 0; i < count; ++i) to[i] = from[i] ^ std::byte{0x80};
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {

HWY_EXPORT(QuadTilesImpl);
HWY_EXPORT(CopyBytesImpl);

const QuadTileSet* QuadTiles() {
  return HWY_DYNAMIC_DISPATCH(QuadTilesImpl)();
}
void CopyBytes(const std::byte* from, bool is_signed, int64_t count, std::byte* to) {
  HWY_DYNAMIC_DISPATCH(CopyBytesImpl)(from, is_signed, count, to);
}

}  // namespace ingot::cpu
#endif
