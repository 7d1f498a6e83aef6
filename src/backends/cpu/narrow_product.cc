// Rows of x are copied once: padded to whole blocks, for 4 bits with the even elements of each 16
// before the odd ones (as the low and the high halves of 8 bytes are), and their sums by block.
#include "backends/cpu/narrow_product.h"

#include <algorithm>

#ifndef HWY_TARGET_INCLUDE  // else its unit says it
#define HWY_TARGET_INCLUDE "backends/cpu/narrow_product.cc"
#endif
#include "hwy/foreach_target.h"
// foreach_target.h must come first.
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Eight at a time, whatever the set has more.
using NTag = hn::CappedTag<float, 8>;
using NVector = hn::Vec<NTag>;
using NIntTag = hn::RebindToSigned<NTag>;
using NByteTag = hn::Rebind<uint8_t, NTag>;

// The sum over one block of 16 * `count` weights of 4 bits.
HWY_INLINE NVector BlockOfFour(const uint8_t* w, const float* x, size_t count, NVector sum) {
  const NTag d;
  const NIntTag di;
  const NByteTag db;
  const size_t lanes = hn::Lanes(d);
  const auto low_bits = hn::Set(di, 15);
  for (size_t i = 0; i < count; ++i, w += 8, x += 16) {
    for (size_t j = 0; j < 8; j += lanes) {
      const auto bytes = hn::PromoteTo(di, hn::LoadU(db, w + j));
      const NVector low = hn::ConvertTo(d, hn::And(bytes, low_bits));
      const NVector high = hn::ConvertTo(d, hn::ShiftRight<4>(bytes));
      sum = hn::MulAdd(low, hn::LoadU(d, x + j), sum);
      sum = hn::MulAdd(high, hn::LoadU(d, x + 8 + j), sum);
    }
  }
  return sum;
}

HWY_INLINE NVector BlockOfEight(const uint8_t* w, const float* x, size_t count, NVector sum) {
  const NTag d;
  const NIntTag di;
  const NByteTag db;
  const size_t lanes = hn::Lanes(d);
  for (size_t i = 0; i < 16 * count; i += lanes) {
    const auto bytes = hn::PromoteTo(di, hn::LoadU(db, w + i));
    sum = hn::MulAdd(hn::ConvertTo(d, bytes), hn::LoadU(d, x + i), sum);
  }
  return sum;
}

void NarrowProductImpl(const NarrowMatrix& m, const float* scratch, size_t rows, size_t begin,
                       size_t end, const float* bias, float* y) {
  const NTag d;
  const size_t row_floats = NarrowScratchFloats(m);
  const size_t block_bytes = m.block * static_cast<size_t>(m.bits) / 8;
  for (size_t n = begin; n < end; ++n) {
    const uint8_t* column = m.weights + n * m.blocks * block_bytes;
    const float* scales = m.scales + n * m.blocks;
    const float* zeros = m.zeros + n * m.blocks;
    for (size_t r = 0; r < rows; ++r) {
      const float* x = scratch + r * row_floats;
      const float* sums = x + m.blocks * m.block;
      NVector total = hn::Zero(d);
      float correction = 0;
      for (size_t b = 0; b < m.blocks; ++b) {
        const uint8_t* w = column + b * block_bytes;
        const NVector block = m.bits == 4
                                  ? BlockOfFour(w, x + b * m.block, m.block / 16, hn::Zero(d))
                                  : BlockOfEight(w, x + b * m.block, m.block / 16, hn::Zero(d));
        total = hn::MulAdd(block, hn::Set(d, scales[b]), total);
        correction += scales[b] * zeros[b] * sums[b];
      }
      const float sum = hn::GetLane(hn::SumOfLanes(d, total)) - correction;
      y[r * m.n + n] = bias == nullptr ? sum : sum + bias[n];
    }
  }
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {

HWY_EXPORT(NarrowProductImpl);

size_t NarrowScratchFloats(const NarrowMatrix& matrix) {
  return matrix.blocks * (matrix.block + 1);
}

void PrepareNarrow(const NarrowMatrix& m, const float* x, size_t rows, float* scratch) {
  for (size_t r = 0; r < rows; ++r, x += m.k) {
    float* to = scratch + r * NarrowScratchFloats(m);
    float* sums = to + m.blocks * m.block;
    for (size_t b = 0; b < m.blocks; ++b) {
      float sum = 0;
      for (size_t i = 0; i < m.block; ++i) {
        const size_t k = b * m.block + i;
        const float value = k < m.k ? x[k] : 0;
        sum += value;
        const size_t inside = i % 16;
        const size_t at = m.bits == 4 ? i - inside + inside % 2 * 8 + inside / 2 : i;
        to[b * m.block + at] = value;
      }
      sums[b] = sum;
    }
  }
}

void NarrowProduct(const NarrowMatrix& matrix, const float* scratch, size_t rows, size_t begin,
                   size_t end, const float* bias, float* y) {
  HWY_DYNAMIC_DISPATCH(NarrowProductImpl)(matrix, scratch, rows, begin, end, bias, y);
}

}  // namespace ingot::cpu
#endif
