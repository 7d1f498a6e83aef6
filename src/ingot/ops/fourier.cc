// The algorithms of fourier.h.
#include "ingot/ops/fourier.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numbers>
#include <utility>

namespace ingot::ops {
namespace {

// Below this a sum is as fast.
constexpr int64_t kLongestSum = 24;

// e^(-i pi numerator / denominator); the angle is taken modulo a whole turn first, so that long
// signals lose nothing.
Complex HalfTurns(int64_t numerator, int64_t denominator) {
  const double angle = -std::numbers::pi * static_cast<double>(numerator % (2 * denominator)) /
                       static_cast<double>(denominator);
  return {std::cos(angle), std::sin(angle)};
}

bool IsPowerOfTwo(int64_t length) {
  return std::has_single_bit(static_cast<uint64_t>(length));
}

// In place, of a power of two; `turns` are e^(-2 pi i k / size) for k below half of it.
void TransformPowerOfTwo(std::vector<Complex>& a, const std::vector<Complex>& turns) {
  const size_t size = a.size();
  for (size_t i = 1, j = 0; i < size; ++i) {
    size_t bit = size / 2;
    for (; (j & bit) != 0; bit /= 2) j ^= bit;
    j ^= bit;
    if (i < j) std::swap(a[i], a[j]);
  }
  for (size_t half = 1; half < size; half *= 2) {
    const size_t step = size / (2 * half);
    for (size_t first = 0; first < size; first += 2 * half) {
      for (size_t i = 0; i < half; ++i) {
        const Complex low = a[first + i], high = a[first + half + i] * turns[i * step];
        a[first + i] = low + high;
        a[first + half + i] = low - high;
      }
    }
  }
}

std::vector<Complex> TurnsOf(int64_t size, int64_t count) {
  std::vector<Complex> turns(static_cast<size_t>(count));
  for (int64_t k = 0; k < count; ++k) turns[static_cast<size_t>(k)] = HalfTurns(2 * k, size);
  return turns;
}

}  // namespace

FourierTransform::FourierTransform(int64_t length, bool inverse)
    : length_(length), inverse_(inverse) {
  if (IsPowerOfTwo(length)) {
    turns_ = TurnsOf(length, length / 2);
  } else if (length <= kLongestSum) {
    turns_ = TurnsOf(length, length);
  } else {
    const auto size = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(2 * length - 1)));
    turns_ = TurnsOf(size, size / 2);
    chirp_.resize(static_cast<size_t>(length));
    convolver_.resize(static_cast<size_t>(size));
    for (int64_t k = 0; k < length; ++k) {
      const Complex chirp = HalfTurns(k * k % (2 * length), length);
      chirp_[static_cast<size_t>(k)] = inverse ? chirp.Conjugate() : chirp;
      const Complex back = chirp_[static_cast<size_t>(k)].Conjugate();
      convolver_[static_cast<size_t>(k)] = back;
      if (k > 0) convolver_[static_cast<size_t>(size - k)] = back;
    }
    TransformPowerOfTwo(convolver_, turns_);
  }
}

std::vector<Complex> FourierTransform::Run(const std::vector<Complex>& x,
                                           int64_t frequencies) const {
  std::vector<Complex> y;
  if (!chirp_.empty()) {
    y = RunConvolution(x);
  } else if (IsPowerOfTwo(length_)) {
    y = x;
    y.resize(static_cast<size_t>(length_));
    TransformPowerOfTwo(y, turns_);
    // The other sign takes the frequencies backwards.
    if (inverse_) std::reverse(y.begin() + 1, y.end());
  } else {
    y = RunSums(x, frequencies);
  }
  y.resize(static_cast<size_t>(frequencies));
  if (inverse_) {
    for (Complex& each : y) {
      each.re /= static_cast<double>(length_);
      each.im /= static_cast<double>(length_);
    }
  }
  return y;
}

std::vector<Complex> FourierTransform::RunSums(const std::vector<Complex>& x,
                                               int64_t frequencies) const {
  std::vector<Complex> y(static_cast<size_t>(frequencies));
  const int64_t count = std::min<int64_t>(length_, static_cast<int64_t>(x.size()));
  for (int64_t k = 0; k < frequencies; ++k) {
    Complex& sum = y[static_cast<size_t>(k)];
    for (int64_t n = 0; n < count; ++n) {
      const Complex turn = turns_[static_cast<size_t>(k * n % length_)];
      sum = sum + x[static_cast<size_t>(n)] * (inverse_ ? turn.Conjugate() : turn);
    }
  }
  return y;
}

// y[k] = chirp[k] sum_n (x[n] chirp[n]) conjugate(chirp[k - n]), as 2 k n = k^2 + n^2 - (k - n)^2.
std::vector<Complex> FourierTransform::RunConvolution(const std::vector<Complex>& x) const {
  std::vector<Complex> a(convolver_.size());
  const size_t count = std::min(x.size(), chirp_.size());
  for (size_t n = 0; n < count; ++n) a[n] = x[n] * chirp_[n];
  TransformPowerOfTwo(a, turns_);
  // The inverse is the conjugate of the transform of the conjugate.
  for (size_t i = 0; i < a.size(); ++i) a[i] = (a[i] * convolver_[i]).Conjugate();
  TransformPowerOfTwo(a, turns_);
  const auto size = static_cast<double>(a.size());
  a.resize(chirp_.size());
  for (size_t k = 0; k < a.size(); ++k) {
    const Complex sum = {a[k].re / size, -a[k].im / size};
    a[k] = sum * chirp_[k];
  }
  return a;
}

}  // namespace ingot::ops
