// Loops of batch normalisation, compiled for every instruction set.
#include "backends/cpu/batch_norm_rows.h"

#include <algorithm>
#include <type_traits>

#ifndef HWY_TARGET_INCLUDE  // else its unit says it
#define HWY_TARGET_INCLUDE "backends/cpu/batch_norm_rows.cc"
#endif
#include "hwy/foreach_target.h"
// foreach_target.h must come first.
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Calls f(tag of doubles, tag of as many floats, channel), with single ones at the end.
template <typename F>
HWY_INLINE void ForEachVector(size_t channels, F f) {
  const hn::ScalableTag<double> vector;
  const size_t lanes = hn::Lanes(vector);
  size_t c = 0;
  for (; c + lanes <= channels; c += lanes) f(vector, hn::Rebind<float, decltype(vector)>(), c);
  const hn::CappedTag<double, 1> one;
  for (; c < channels; ++c) f(one, hn::Rebind<float, decltype(one)>(), c);
}

// Rows that are walked channel by channel, so that sums stay in registers: no more than a page of
// them, which is fetched ahead as if it were read in order.
HWY_INLINE size_t StripRows(size_t channels) {
  constexpr size_t kStripFloats = 1024;
  return std::max<size_t>(1, kStripFloats / std::max<size_t>(1, channels));
}

// Calls f(tag of doubles, tag of as many floats, first row, rows, channel, count of vectors) for
// every strip of rows: four vectors at once, then one, then single channels.
template <typename F>
HWY_INLINE void ForEachStrip(const ChannelRows& size, F f) {
  const hn::ScalableTag<double> vector;
  const hn::CappedTag<double, 1> one;
  const size_t lanes = hn::Lanes(vector);
  const size_t strip = StripRows(size.channels);
  for (size_t r = 0; r < size.rows; r += strip) {
    const size_t rows = std::min(strip, size.rows - r);
    size_t c = 0;
    for (; c + 4 * lanes <= size.channels; c += 4 * lanes) {
      f(vector, hn::Rebind<float, decltype(vector)>(), r, rows, c,
        std::integral_constant<size_t, 4>());
    }
    for (; c + lanes <= size.channels; c += lanes) {
      f(vector, hn::Rebind<float, decltype(vector)>(), r, rows, c,
        std::integral_constant<size_t, 1>());
    }
    for (; c < size.channels; ++c) {
      f(one, hn::Rebind<float, decltype(one)>(), r, rows, c, std::integral_constant<size_t, 1>());
    }
  }
}

void AddMomentsImpl(const ChannelRows& size, const float* x, double* sum, double* squares) {
  const size_t channels = size.channels;
  ForEachStrip(size, [&](auto d, auto f, size_t first, size_t rows, size_t c, auto count) HWY_ATTR {
    constexpr size_t kVectors = decltype(count)::value;
    const size_t lanes = hn::Lanes(d);
    using Vector = hn::Vec<decltype(d)>;
    Vector sums[kVectors], seconds[kVectors];
    for (size_t v = 0; v < kVectors; ++v) {
      sums[v] = hn::LoadU(d, sum + c + v * lanes);
      seconds[v] = hn::LoadU(d, squares + c + v * lanes);
    }
    const float* row = x + first * channels + c;
    for (size_t r = 0; r < rows; ++r, row += channels) {
      for (size_t v = 0; v < kVectors; ++v) {
        const Vector value = hn::PromoteTo(d, hn::LoadU(f, row + v * lanes));
        sums[v] = hn::Add(sums[v], value);
        // The square of an f32 is exact, so that a fused multiply-add has the same bits.
        seconds[v] = hn::MulAdd(value, value, seconds[v]);
      }
    }
    for (size_t v = 0; v < kVectors; ++v) {
      hn::StoreU(sums[v], d, sum + c + v * lanes);
      hn::StoreU(seconds[v], d, squares + c + v * lanes);
    }
  });
}

void AddGradientMomentsImpl(const ChannelRows& size, const float* x, const double* mean,
                            const float* dy, double* sum, double* centred) {
  const size_t channels = size.channels;
  ForEachStrip(size, [&](auto d, auto f, size_t first, size_t rows, size_t c, auto count) HWY_ATTR {
    constexpr size_t kVectors = decltype(count)::value;
    const size_t lanes = hn::Lanes(d);
    using Vector = hn::Vec<decltype(d)>;
    Vector sums[kVectors], products[kVectors], means[kVectors];
    for (size_t v = 0; v < kVectors; ++v) {
      sums[v] = hn::LoadU(d, sum + c + v * lanes);
      products[v] = hn::LoadU(d, centred + c + v * lanes);
      means[v] = hn::LoadU(d, mean + c + v * lanes);
    }
    const size_t begin = first * channels + c;
    for (size_t r = 0; r < rows; ++r) {
      for (size_t v = 0; v < kVectors; ++v) {
        const size_t at = begin + r * channels + v * lanes;
        const Vector gradient = hn::PromoteTo(d, hn::LoadU(f, dy + at));
        const Vector distance = hn::Sub(hn::PromoteTo(d, hn::LoadU(f, x + at)), means[v]);
        sums[v] = hn::Add(sums[v], gradient);
        // Not fused, for the same bits on every instruction set.
        products[v] = hn::Add(products[v], hn::Mul(gradient, distance));
      }
    }
    for (size_t v = 0; v < kVectors; ++v) {
      hn::StoreU(sums[v], d, sum + c + v * lanes);
      hn::StoreU(products[v], d, centred + c + v * lanes);
    }
  });
}

void NormalizeChannelsImpl(const ChannelRows& size, const float* x, const float* mean,
                           const float* factor, const float* bias, float* y) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  for (size_t r = 0; r < size.rows; ++r, x += size.channels, y += size.channels) {
    size_t c = 0;
    for (; c + lanes <= size.channels; c += lanes) {
      const auto centred = hn::Sub(hn::LoadU(d, x + c), hn::LoadU(d, mean + c));
      const auto scaled = hn::Mul(centred, hn::LoadU(d, factor + c));
      hn::StoreU(hn::Add(scaled, hn::LoadU(d, bias + c)), d, y + c);
    }
    for (; c < size.channels; ++c) y[c] = (x[c] - mean[c]) * factor[c] + bias[c];
  }
}

void AffineChannelsImpl(const ChannelRows& size, const float* x, const double* first,
                        const double* second, float* y) {
  for (size_t r = 0; r < size.rows; ++r, x += size.channels, y += size.channels) {
    ForEachVector(size.channels, [&](auto d, auto f, size_t c) HWY_ATTR {
      const auto value = hn::PromoteTo(d, hn::LoadU(f, x + c));
      const auto product = hn::Mul(value, hn::LoadU(d, second + c));
      hn::StoreU(hn::DemoteTo(f, hn::Add(product, hn::LoadU(d, first + c))), f, y + c);
    });
  }
}

void JoinChannelGradientsImpl(const ChannelRows& size, const float* dy, const double* factor,
                              const float* x, const double* first, const double* second,
                              float* dx) {
  const size_t channels = size.channels;
  for (size_t r = 0; r < size.rows; ++r, dy += channels, x += channels, dx += channels) {
    ForEachVector(channels, [&](auto d, auto f, size_t c) HWY_ATTR {
      const auto gradient = hn::PromoteTo(d, hn::LoadU(f, dy + c));
      const auto value = hn::PromoteTo(d, hn::LoadU(f, x + c));
      // Not fused, for the same bits on every instruction set.
      const auto of_sums = hn::Mul(value, hn::LoadU(d, second + c));
      const auto past = hn::Mul(gradient, hn::LoadU(d, factor + c));
      const auto result = hn::Add(past, hn::Add(hn::LoadU(d, first + c), of_sums));
      hn::StoreU(hn::DemoteTo(f, result), f, dx + c);
    });
  }
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {

HWY_EXPORT(AddMomentsImpl);
HWY_EXPORT(AddGradientMomentsImpl);
HWY_EXPORT(NormalizeChannelsImpl);
HWY_EXPORT(AffineChannelsImpl);
HWY_EXPORT(JoinChannelGradientsImpl);

void AddMoments(const ChannelRows& size, const float* x, double* sum, double* squares) {
  HWY_DYNAMIC_DISPATCH(AddMomentsImpl)(size, x, sum, squares);
}
void AddGradientMoments(const ChannelRows& size, const float* x, const double* mean,
                        const float* dy, double* sum, double* centred) {
  HWY_DYNAMIC_DISPATCH(AddGradientMomentsImpl)(size, x, mean, dy, sum, centred);
}
void NormalizeChannels(const ChannelRows& size, const float* x, const float* mean,
                       const float* factor, const float* bias, float* y) {
  HWY_DYNAMIC_DISPATCH(NormalizeChannelsImpl)(size, x, mean, factor, bias, y);
}
void AffineChannels(const ChannelRows& size, const float* x, const double* first,
                    const double* second, float* y) {
  HWY_DYNAMIC_DISPATCH(AffineChannelsImpl)(size, x, first, second, y);
}
void JoinChannelGradients(const ChannelRows& size, const float* dy, const double* factor,
                          const float* x, const double* first, const double* second, float* dx) {
  HWY_DYNAMIC_DISPATCH(JoinChannelGradientsImpl)(size, dy, factor, x, first, second, dx);
}

}  // namespace ingot::cpu
#endif
