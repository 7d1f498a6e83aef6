// The numbers of Muon's iteration, which its op and its kernel share.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>

namespace ingot::ops {

inline constexpr int kNewtonSchulzSteps = 5;
inline constexpr double kNewtonSchulzA = 3.4445;
inline constexpr double kNewtonSchulzB = -4.775;
inline constexpr double kNewtonSchulzC = 2.0315;
inline constexpr double kNewtonSchulzEpsilon = 1e-7;

// A tensor as a matrix: its first extent, and the product of the others.
struct MatrixSize {
  int64_t rows = 0;
  int64_t columns = 0;
};

inline MatrixSize MatrixSizeOf(std::span<const int64_t> dims) {
  MatrixSize size{dims[0], 1};
  for (const int64_t dim : dims.subspan(1)) size.columns *= dim;
  return size;
}

inline double MuonScale(MatrixSize size) {
  return 0.2 * std::sqrt(static_cast<double>(std::max(size.rows, size.columns)));
}

}  // namespace ingot::ops
