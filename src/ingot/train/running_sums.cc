// RunningSums: see running_sums.h.
#include "ingot/train/running_sums.h"

#include <algorithm>
#include <cmath>

#include "ingot/base/error.h"
#include "ingot/train/metrics.h"

namespace ingot::train {

RunningSums::RunningSums(std::vector<std::string> names)
    : names_(std::move(names)), values_(names_.size(), 0.0) {
  const auto weight = std::find(names_.begin(), names_.end(), "weight_sum");
  INGOT_ASSERT(weight != names_.end(), "a step counts its samples");
  weight_ = static_cast<size_t>(weight - names_.begin());
}

void RunningSums::Add(std::span<const float> sums) {
  for (size_t i = 0; i < values_.size(); ++i) values_[i] += static_cast<double>(sums[i]);
}

void RunningSums::Clear() {
  std::fill(values_.begin(), values_.end(), 0.0);
}

std::vector<std::pair<std::string, double>> RunningSums::Means() const {
  std::vector<std::pair<std::string, double>> means;
  for (size_t i = 0; i < names_.size(); ++i) {
    if (i == weight_) continue;
    const std::string metric = names_[i].substr(0, names_[i].size() - std::string("_sum").size());
    means.emplace_back(metric, MetricFromSum(metric, values_[i], weight()));
  }
  return means;
}

std::map<std::string, double> RunningSums::State() const {
  std::map<std::string, double> state;
  for (size_t i = 0; i < names_.size(); ++i) {
    if (std::isfinite(values_[i])) state[names_[i]] = values_[i];
  }
  return state;
}

void RunningSums::Restore(const std::map<std::string, double>& state) {
  for (size_t i = 0; i < names_.size(); ++i) {
    const auto found = state.find(names_[i]);
    values_[i] = found == state.end() ? 0 : found->second;
  }
}

}  // namespace ingot::train
