// What `ingot bench` measures: inputs for a model, and how long its runs take.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "ingot/infer/session.h"
#include "ingot/tensor/tensor.h"

namespace ingot::infer {

// Which numbers dynamic dimensions get.
struct BenchDimensions {
  // The first dimension of an input where that is dynamic, and what has its name.
  int64_t batch = 1;
  std::map<std::string, int64_t> symbols = {};  // others, by name
  int64_t length = 128;                         // others yet
};

// The names of the inputs' first dimensions, where those are dynamic and have one.
std::set<std::string> FirstNames(const std::vector<PortInfo>& ports);

// Inputs of a model by its ports: floats in [0, 1), masks of ones, integers 0 and 1, always the
// same. Throws Error(kInvalidInput) where no input has a dynamic first dimension or one of `batch`.
std::vector<Tensor> MakeBenchInputs(const std::vector<PortInfo>& ports,
                                    const BenchDimensions& dimensions);

// Of many runs, in microseconds each.
struct Latency {
  double p50 = 0, p90 = 0, p99 = 0, mean = 0;
  int64_t runs = 0;

  // Of the runs' times; these are sorted.
  static Latency Of(std::vector<double>& microseconds);
};

// Calls `run` for about so many seconds, at least five times, and adds each call's microseconds to
// `times`.
void Measure(const std::function<void()>& run, double seconds, std::vector<double>& times);

}  // namespace ingot::infer
