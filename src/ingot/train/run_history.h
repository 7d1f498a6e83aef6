// RunHistory: what a run has recorded so far, read back from its metrics.jsonl.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ingot/train/run_directory.h"

namespace ingot::train {

// The values of one metric of one kind of record, in the order of recording. Each vector has one
// entry a record.
struct MetricHistory {
  std::string kind;  // "train", "epoch", "validation", "test"
  std::string name;  // "loss"
  std::vector<int64_t> steps;
  std::vector<int64_t> epochs;
  std::vector<double> seconds;  // since the process began
  std::vector<double> values;   // NaN where it was not finite
};

// In the order of their first records. A last line that is not whole is left out: the run may be
// writing it. Throws Error: kNotFound where nothing is recorded, kCorrupt naming the line of a
// record that cannot be read.
std::vector<MetricHistory> ReadHistory(const std::string& run_folder);

}  // namespace ingot::train
