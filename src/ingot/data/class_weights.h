// Weights of classes: as a job gives them, or worked out from how often each occurs.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ingot/base/config.h"
#include "ingot/data/selection.h"
#include "ingot/data/source.h"
#include "ingot/tensor/philox.h"

namespace ingot::data {

// The class of every selected record, in the selection's order. Throws Error(kInvalidInput) where
// "y" is not one class number a sample; `who` names the option that asks.
std::vector<int64_t> LabelsOf(const Source& source, const Selection& selection,
                              const std::string& who);

// One weight for each class: the word `equal`, "auto" or "balanced" (samples / (classes * samples
// of the class), so that every class counts the same and the mean over the samples is 1), a list by
// class number, or a map by name, in which classes that are not named have weight 1. Throws
// Error(kInvalidInput) at the node's place for anything else, for another number of weights, and
// for a class without samples under `equal`.
std::vector<double> ReadClassWeights(const ConfigNode& node, std::string_view equal,
                                     const std::vector<std::string>& class_names, int64_t classes,
                                     const std::vector<int64_t>& labels);

// Draws samples with replacement, each as often as its weight says: a pure function of seed, epoch
// and position. Immutable; safe from any thread; O(log n) and no allocation.
class WeightedSampler {
 public:
  // Weights of the places of a selection, not negative, not all 0.
  WeightedSampler(const std::vector<double>& weights, uint64_t seed);
  // A place of the selection.
  int64_t Draw(int64_t epoch, int64_t position) const;

 private:
  std::vector<double> sums_;  // of the weights up to and including each place
  RandomKey key_;
};

}  // namespace ingot::data
