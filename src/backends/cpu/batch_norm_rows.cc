// Loops of batch normalisation, compiled for every instruction set.
#include "backends/cpu/batch_norm_rows.h"

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

void AddMomentsImpl(const ChannelRows& size, const float* x, double* sum, double* squares) {
  for (size_t r = 0; r < size.rows; ++r, x += size.channels) {
    ForEachVector(size.channels, [&](auto d, auto f, size_t c) HWY_ATTR {
      const auto value = hn::PromoteTo(d, hn::LoadU(f, x + c));
      hn::StoreU(hn::Add(hn::LoadU(d, sum + c), value), d, sum + c);
      // The square of an f32 is exact, so that a fused multiply-add has the same bits.
      hn::StoreU(hn::MulAdd(value, value, hn::LoadU(d, squares + c)), d, squares + c);
    });
  }
}

void AddGradientMomentsImpl(const ChannelRows& size, const float* x, const double* mean,
                            const float* dy, double* sum, double* centred) {
  for (size_t r = 0; r < size.rows; ++r, x += size.channels, dy += size.channels) {
    ForEachVector(size.channels, [&](auto d, auto f, size_t c) HWY_ATTR {
      const auto gradient = hn::PromoteTo(d, hn::LoadU(f, dy + c));
      const auto distance = hn::Sub(hn::PromoteTo(d, hn::LoadU(f, x + c)), hn::LoadU(d, mean + c));
      hn::StoreU(hn::Add(hn::LoadU(d, sum + c), gradient), d, sum + c);
      // Not fused, for the same bits on every instruction set.
      const auto product = hn::Mul(gradient, distance);
      hn::StoreU(hn::Add(hn::LoadU(d, centred + c), product), d, centred + c);
    });
  }
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

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {

HWY_EXPORT(AddMomentsImpl);
HWY_EXPORT(AddGradientMomentsImpl);
HWY_EXPORT(NormalizeChannelsImpl);
HWY_EXPORT(AffineChannelsImpl);

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

}  // namespace ingot::cpu
#endif
