// Metrics: one value for each sample, summed over a data set and divided by the number of samples.
//
//   accuracy  1 where the class with the largest score is the label (two classes from one logit:
//             where its sign is). Of sequences [batch, T] the share of positions, as in top_k
//   top_k     1 where the label is among the k largest scores; called "top_5" in reports
//   perplexity  softmax cross-entropy (loss.h); exp is taken of the mean over all samples
//   bits_per_byte  the same in bits: perplexity = 2 ^ bits_per_byte. Bits for a byte where a label
//   is one mae       absolute error, mean over the elements of a sample rmse      squared error,
//   mean over the elements of a sample; the root is taken of the mean over
//             all samples
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "ingot/base/config.h"
#include "ingot/base/options.h"
#include "ingot/ir/builder.h"

namespace ingot::nn {

struct Metric {
  std::string name;  // "accuracy", "top_5"
  ConfigNode resolved;
  // output [batch, ...] and target [batch, ...] -> [batch]. Throws Error(kInvalidInput) where they
  // do not fit the metric.
  std::function<ir::Value*(ir::Builder& builder, ir::Value* output, ir::Value* target)> build;
};

// A list of names (`[accuracy, top_k: 5]`); null: none. Throws Error(kInvalidInput) at the node's
// place for an unknown metric (with the nearest name) or one that is there twice.
std::vector<Metric> ReadMetrics(const ConfigNode& list);
std::vector<std::string> MetricNames();
std::vector<OptionHelp> MetricHelp();

}  // namespace ingot::nn
