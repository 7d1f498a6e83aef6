// Sampler: which token comes next, drawn from a model's scores.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace ingot::infer {

struct SamplingOptions {
  double temperature = 1;  // scores are divided by it; 0: always the highest score
  int64_t top_k = 0;       // only the k highest scores are drawn from; 0: all
  double top_p = 1;  // and of those the fewest whose probabilities reach p (Holtzman et al. 2020,
                     // "The curious case of neural text degeneration")
  uint64_t seed = 0;
};

// Draws are keyed by seed and position: the same scores and options give the same tokens. Not safe
// for use by several threads.
class Sampler {
 public:
  // Throws Error(kInvalidInput) naming the option that is out of its range.
  explicit Sampler(const SamplingOptions& options);

  // The token at `position` of a text, from the scores (logits) [vocabulary] of all tokens: the
  // first whose cumulative probability, in the order of falling scores, is above a uniform number.
  // Equal scores are ordered by their numbers. Throws Error(kNumeric) where a score is NaN.
  int64_t Draw(std::span<const float> scores, int64_t position);

 private:
  SamplingOptions options_;
  std::vector<int64_t> order_;
  std::vector<double> weights_;
};

}  // namespace ingot::infer
