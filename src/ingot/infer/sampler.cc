// Sampler: see sampler.h.
#include "ingot/infer/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include "ingot/base/error.h"
#include "ingot/tensor/philox.h"

namespace ingot::infer {
namespace {

// In [0, 1), with all the bits of a double.
double Uniform(uint64_t seed, int64_t position) {
  const RandomKey key(seed, "generate", static_cast<uint64_t>(position));
  return static_cast<double>(key.Uint64(0) >> 11) * 0x1p-53;
}

}  // namespace

Sampler::Sampler(const SamplingOptions& options) : options_(options) {
  if (!(options.temperature >= 0) || !std::isfinite(options.temperature)) {
    throw Error(ErrorCode::kInvalidInput,
                fmt::format("the temperature must be 0 or more, not {}", options.temperature));
  }
  if (options.top_k < 0) {
    throw Error(ErrorCode::kInvalidInput,
                fmt::format("top_k must be 0 (all) or more, not {}", options.top_k));
  }
  if (!(options.top_p > 0) || !(options.top_p <= 1)) {
    throw Error(ErrorCode::kInvalidInput,
                fmt::format("top_p must be above 0 and at most 1, not {}", options.top_p));
  }
}

int64_t Sampler::Draw(std::span<const float> scores, int64_t position) {
  for (size_t i = 0; i < scores.size(); ++i) {
    if (std::isnan(scores[i])) {
      throw Error(ErrorCode::kNumeric,
                  fmt::format("the score of token {} at position {} is NaN", i, position));
    }
  }
  if (options_.temperature == 0) {
    return std::max_element(scores.begin(), scores.end()) - scores.begin();
  }
  order_.resize(scores.size());
  std::iota(order_.begin(), order_.end(), int64_t{0});
  size_t kept = scores.size();
  if (options_.top_k > 0) kept = std::min(kept, static_cast<size_t>(options_.top_k));
  const auto by_score = [&scores](int64_t a, int64_t b) {
    const float x = scores[static_cast<size_t>(a)];
    const float y = scores[static_cast<size_t>(b)];
    return x != y ? x > y : a < b;
  };
  std::partial_sort(order_.begin(), order_.begin() + static_cast<std::ptrdiff_t>(kept),
                    order_.end(), by_score);
  weights_.resize(kept);
  const auto largest = static_cast<double>(scores[static_cast<size_t>(order_[0])]);
  double sum = 0;
  for (size_t i = 0; i < kept; ++i) {
    const auto score = static_cast<double>(scores[static_cast<size_t>(order_[i])]);
    weights_[i] = std::exp((score - largest) / options_.temperature);
    sum += weights_[i];
  }
  // The fewest that reach top_p of it; at least the first.
  double reached = 0;
  size_t last = 0;
  for (; last < kept; ++last) {
    reached += weights_[last];
    if (reached >= options_.top_p * sum) break;
  }
  last = std::min(last, kept - 1);
  const double target = Uniform(options_.seed, position) * reached;
  double cumulative = 0;
  for (size_t i = 0; i < last; ++i) {
    cumulative += weights_[i];
    if (cumulative > target) return order_[i];
  }
  return order_[last];
}

}  // namespace ingot::infer
