// The discrete Fourier transform of a length, in double: in time proportional to n log n whatever
// the length is.
//
// Powers of two by the algorithm of Cooley and Tukey (1965); other lengths by Bluestein's (1970),
// which makes of the transform a convolution, and of that transforms whose length is a power of
// two; short ones by the sum itself. Relative errors are some 1e-15.
#pragma once

#include <cstdint>
#include <vector>

namespace ingot::ops {

struct Complex {
  double re = 0, im = 0;

  friend Complex operator+(Complex a, Complex b) { return {a.re + b.re, a.im + b.im}; }
  friend Complex operator-(Complex a, Complex b) { return {a.re - b.re, a.im - b.im}; }
  friend Complex operator*(Complex a, Complex b) {
    return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
  }
  Complex Conjugate() const { return {re, -im}; }
};

class FourierTransform {
 public:
  // length: at least 1. Safe for several threads at once when it is made.
  FourierTransform(int64_t length, bool inverse);

  // y[k] = sum_n x[n] e^(-2 pi i k n / length) for k in [0, frequencies), at most `length` of them;
  // inverse: the other sign, and divided by `length`. Samples beyond x are zero, samples of x
  // beyond the length are not read.
  std::vector<Complex> Run(const std::vector<Complex>& x, int64_t frequencies) const;

 private:
  std::vector<Complex> RunSums(const std::vector<Complex>& x, int64_t frequencies) const;
  std::vector<Complex> RunConvolution(const std::vector<Complex>& x) const;

  int64_t length_;
  bool inverse_;
  std::vector<Complex> turns_;      // e^(-2 pi i k / size): of all k for sums, else of half of them
  std::vector<Complex> chirp_;      // e^(-pi i k^2 / length), conjugate for the inverse
  std::vector<Complex> convolver_;  // the transform of the chirp's conjugate
};

}  // namespace ingot::ops
