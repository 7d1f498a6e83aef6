// RunningSums: loss, weight and metrics summed over steps, for the means of an epoch or an
// interval.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace ingot::train {

// In double, in the order of the steps: the same steps give the same bits. Add does not allocate.
class RunningSums {
 public:
  // `names` as compiler::StepPlan::sums: "loss_sum", "weight_sum", "accuracy_sum", ...
  explicit RunningSums(std::vector<std::string> names);

  void Add(std::span<const float> sums);
  void Clear();
  double weight() const { return values_[weight_]; }
  // ("loss", mean), then every metric; NaN where nothing was added.
  std::vector<std::pair<std::string, double>> Means() const;

  // Finite sums by name, for checkpoints, and back; names that are not known are ignored.
  std::map<std::string, double> State() const;
  void Restore(const std::map<std::string, double>& state);

 private:
  std::vector<std::string> names_;
  std::vector<double> values_;
  size_t weight_ = 0;
};

}  // namespace ingot::train
