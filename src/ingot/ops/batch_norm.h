// Statistics of batch normalisation in training, from the sums S of
// families/batch_norm_training.cc: [2C + 1], the sum of each channel, the sum of its squares, and
// the elements that a channel has.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace ingot::ops {

struct Statistics {
  double mean = 0, variance = 0, count = 0;

  double InverseDeviation(double epsilon) const { return 1 / std::sqrt(variance + epsilon); }
};

template <typename S>
Statistics StatisticsOf(const S* sums, int64_t channels, int64_t c) {
  Statistics statistics;
  statistics.count = double{sums[2 * channels]};
  if (statistics.count <= 0) return statistics;
  statistics.mean = double{sums[c]} / statistics.count;
  const double square = double{sums[channels + c]} / statistics.count;
  statistics.variance = std::max(0.0, square - statistics.mean * statistics.mean);
  return statistics;
}

// The running statistics of a channel after a batch: momentum is the weight of the batch.
struct Running {
  double mean = 0, variance = 0;
};
inline Running Moved(const Running& running, const Statistics& batch, double momentum) {
  // One element has no unbiased variance; its biased one, 0, stands in.
  const double unbiased = batch.variance * batch.count / std::max(batch.count - 1, 1.0);
  return {(1 - momentum) * running.mean + momentum * batch.mean,
          (1 - momentum) * running.variance + momentum * unbiased};
}

// What the gradient with respect to a channel's sums is made of.
struct ChannelGradient {
  double sum = 0;         // of dY
  double normalised = 0;  // of dY (X - mean) / deviation
};

// Adds to ds [2C + 1] what channel c gives. With mean = S1 / n and variance = S2 / n - mean^2.
inline void AddSumsGradient(const Statistics& statistics, double inverse, double scale,
                            const ChannelGradient& gradient, int64_t c, int64_t channels,
                            double* ds) {
  if (statistics.count <= 0) return;
  const double mean = statistics.mean;
  const double d_mean = -scale * inverse * gradient.sum;
  // A variance that was held at 0 does not change with the sums.
  const double d_variance =
      statistics.variance > 0 ? -0.5 * scale * inverse * inverse * gradient.normalised : 0.0;
  ds[c] = (d_mean - 2 * mean * d_variance) / statistics.count;
  ds[channels + c] = d_variance / statistics.count;
  const double square = statistics.variance + mean * mean;
  ds[2 * channels] -= (d_mean * mean + d_variance * (square - 2 * mean * mean)) / statistics.count;
}

}  // namespace ingot::ops
