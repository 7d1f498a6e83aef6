// Rows of normalisations, for every instruction set.
#include "backends/cpu/normalization.h"

#include <algorithm>
#include <cmath>
#include <type_traits>

#ifndef HWY_TARGET_INCLUDE  // else its unit says it
#define HWY_TARGET_INCLUDE "backends/cpu/normalization.cc"
#endif
#include "hwy/foreach_target.h"
// foreach_target.h must come first.
#include "hwy/highway.h"

#include "backends/cpu/row_parts-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {

// A sum over the parts of a row.
struct RowSum {
  // Not by default initialisers: an implicit constructor is not compiled for the target.
  HWY_INLINE RowSum() : whole(hn::Zero(RowTag())), rest(hn::Zero(OneTag())) {}

  hn::Vec<RowTag> whole;
  hn::Vec<OneTag> rest;

  template <class D>
  HWY_INLINE void AddProduct(D, hn::Vec<D> a, hn::Vec<D> b) {
    if constexpr (std::is_same_v<D, OneTag>) {
      rest = hn::MulAdd(a, b, rest);
    } else {
      whole = hn::MulAdd(a, b, whole);
    }
  }
  HWY_INLINE float Total() const {
    return hn::GetLane(hn::SumOfLanes(RowTag(), whole)) + hn::GetLane(rest);
  }
};

struct RowStatistics {
  float mean = 0;
  float inverse = 0;
};

HWY_INLINE RowStatistics StatisticsOf(const RowNormalization& r, const float* x) {
  RowStatistics out;
  const auto n = static_cast<float>(r.length);
  if (r.centred) {
    RowSum sum;
    ForEachPart(r.length, [&](auto d, size_t j) HWY_ATTR {
      sum.AddProduct(d, hn::LoadU(d, x + j), hn::Set(d, 1.0f));
    });
    out.mean = sum.Total() / n;
  }
  RowSum squares;
  ForEachPart(r.length, [&](auto d, size_t j) HWY_ATTR {
    const auto centred = hn::Sub(hn::LoadU(d, x + j), hn::Set(d, out.mean));
    squares.AddProduct(d, centred, centred);
  });
  out.inverse = 1 / std::sqrt(squares.Total() / n + r.epsilon);
  return out;
}

void NormalizeRowsImpl(const RowNormalization& r, const float* bias, float* y, float* mean,
                       float* inverse) {
  for (size_t i = 0; i < r.rows; ++i) {
    const float* x = r.x + i * r.length;
    float* to = y + i * r.length;
    const RowStatistics s = StatisticsOf(r, x);
    ForEachPart(r.length, [&](auto d, size_t j) HWY_ATTR {
      const auto centred = hn::Sub(hn::LoadU(d, x + j), hn::Set(d, s.mean));
      const auto h = hn::Mul(centred, hn::Set(d, s.inverse));
      const auto scale = hn::LoadU(d, r.scale + j);
      hn::StoreU(bias == nullptr ? hn::Mul(h, scale) : hn::MulAdd(h, scale, hn::LoadU(d, bias + j)),
                 d, to + j);
    });
    if (mean != nullptr) mean[i] = s.mean;
    if (inverse != nullptr) inverse[i] = s.inverse;
  }
}

void NormalizeRowsGradientImpl(const RowNormalization& r, const float* dy, float* dx,
                               float* d_scale, float* d_bias) {
  std::fill_n(d_scale, r.length, 0.0f);
  if (d_bias != nullptr) std::fill_n(d_bias, r.length, 0.0f);
  const auto n = static_cast<float>(r.length);
  for (size_t i = 0; i < r.rows; ++i) {
    const float* x = r.x + i * r.length;
    const float* from = dy + i * r.length;
    float* to = dx + i * r.length;
    const RowStatistics s = StatisticsOf(r, x);
    const auto normalized = [&](auto d, size_t j) HWY_ATTR {
      return hn::Mul(hn::Sub(hn::LoadU(d, x + j), hn::Set(d, s.mean)), hn::Set(d, s.inverse));
    };
    RowSum sum, sum_h;
    ForEachPart(r.length, [&](auto d, size_t j) HWY_ATTR {
      const auto h = normalized(d, j);
      const auto up = hn::LoadU(d, from + j);
      const auto g = hn::Mul(up, hn::LoadU(d, r.scale + j));
      sum.AddProduct(d, g, hn::Set(d, 1.0f));
      sum_h.AddProduct(d, g, h);
      hn::StoreU(hn::MulAdd(up, h, hn::LoadU(d, d_scale + j)), d, d_scale + j);
      if (d_bias != nullptr) hn::StoreU(hn::Add(hn::LoadU(d, d_bias + j), up), d, d_bias + j);
    });
    const float of_mean = r.centred ? sum.Total() / n : 0;
    const float of_h = sum_h.Total() / n;
    ForEachPart(r.length, [&](auto d, size_t j) HWY_ATTR {
      const auto g = hn::Mul(hn::LoadU(d, from + j), hn::LoadU(d, r.scale + j));
      const auto rest = hn::NegMulAdd(normalized(d, j), hn::Set(d, of_h), hn::Set(d, -of_mean));
      hn::StoreU(hn::Mul(hn::Add(g, rest), hn::Set(d, s.inverse)), d, to + j);
    });
  }
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {

HWY_EXPORT(NormalizeRowsImpl);
HWY_EXPORT(NormalizeRowsGradientImpl);

void NormalizeRows(const RowNormalization& rows, const float* bias, float* y, float* mean,
                   float* inverse) {
  HWY_DYNAMIC_DISPATCH(NormalizeRowsImpl)(rows, bias, y, mean, inverse);
}

void NormalizeRowsGradient(const RowNormalization& rows, const float* dy, float* dx, float* d_scale,
                           float* d_bias) {
  HWY_DYNAMIC_DISPATCH(NormalizeRowsGradientImpl)(rows, dy, dx, d_scale, d_bias);
}

}  // namespace ingot::cpu
#endif
