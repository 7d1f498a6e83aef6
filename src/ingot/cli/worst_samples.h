// WorstSamples: which samples of a data set a classifier does worst on, found in one pass.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ingot/cli/evaluation_report.h"
#include "ingot/data/data_options.h"
#include "ingot/nn/layer.h"
#include "ingot/tensor/tensor.h"

namespace ingot::cli {

// Keeps `count` samples, whatever the size of the data. Not safe for use by several threads.
class WorstSamples {
 public:
  explicit WorstSamples(int64_t count) : count_(count) {}

  // `output`: [n, C], or [n] or [n, 1] where one value decides between two classes; probabilities
  // or logits as `kind` says. labels[i] is the class of sample first + i.
  void Add(int64_t first, const TensorView& output, nn::OutputKind kind,
           std::span<const int64_t> labels);

  // The lowest probability of the label first, equal ones by index.
  std::vector<JudgedSample> Take();

 private:
  int64_t count_;
  std::vector<JudgedSample> kept_;  // a heap, the best of them at its front
};

// Fills in where the sample stands in the test data and, where wanted, its picture.
void Locate(const data::DataSets& data, bool with_picture, JudgedSample& sample);

}  // namespace ingot::cli
