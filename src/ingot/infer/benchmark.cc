// See benchmark.h.
#include "ingot/infer/benchmark.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <string>

#include "ingot/base/error.h"

namespace ingot::infer {
namespace {

int64_t ExtentOf(const PortInfo& port, size_t axis, const BenchDimensions& dimensions,
                 const std::set<std::string>& batch_names) {
  if (port.dims[axis] >= 0) return port.dims[axis];
  const std::string& symbol = port.symbols[axis];
  const auto named = dimensions.symbols.find(symbol);
  if (named != dimensions.symbols.end()) return named->second;
  return axis == 0 || batch_names.contains(symbol) ? dimensions.batch : dimensions.length;
}

void Fill(Tensor& tensor, uint64_t seed) {
  uint64_t state = seed * 0x9e3779b97f4a7c15ULL + 1;
  const auto next = [&state] {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return state >> 40;  // 24 bits
  };
  if (tensor.dtype() == DType::kString) return;
  DispatchAll("the inputs of a benchmark", tensor.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (T& value : tensor.data<T>()) {
      if constexpr (std::is_same_v<T, bool>) {
        value = true;
      } else if constexpr (std::is_integral_v<T>) {
        value = static_cast<T>(next() & 1);
      } else {
        value = static_cast<T>(static_cast<float>(next()) / 16777216.0F);
      }
    }
  });
}

}  // namespace

std::set<std::string> FirstNames(const std::vector<PortInfo>& ports) {
  std::set<std::string> names;
  for (const PortInfo& port : ports) {
    if (!port.dims.empty() && port.dims[0] < 0 && !port.symbols[0].empty()) {
      names.insert(port.symbols[0]);
    }
  }
  return names;
}

std::vector<Tensor> MakeBenchInputs(const std::vector<PortInfo>& ports,
                                    const BenchDimensions& dimensions) {
  // The batch by name: wherever else it stands, it is as large.
  std::set<std::string> batch_names = FirstNames(ports);
  batch_names.insert("batch");
  std::vector<Tensor> inputs;
  bool has_batch = ports.empty();
  for (const PortInfo& port : ports) {
    if (port.kind != PortInfo::Kind::kTensor || !port.has_rank) {
      throw Error(ErrorCode::kUnsupported, "input '" + port.Describe() +
                                               "' is no tensor of known rank, which a benchmark "
                                               "cannot make");
    }
    std::vector<int64_t> dims;
    for (size_t axis = 0; axis < port.dims.size(); ++axis) {
      dims.push_back(ExtentOf(port, axis, dimensions, batch_names));
    }
    has_batch = has_batch || (!dims.empty() && dims[0] == dimensions.batch);
    inputs.emplace_back(port.dtype, Shape(dims));
    Fill(inputs.back(), inputs.size());
  }
  if (!has_batch && dimensions.batch != 1) {
    throw Error(ErrorCode::kInvalidInput,
                "the model takes no batch of " + std::to_string(dimensions.batch) + ": '" +
                    ports[0].Describe() + "' is fixed",
                "export it with a dynamic first dimension, or leave --batch out");
  }
  return inputs;
}

Latency Latency::Of(std::vector<double>& microseconds) {
  std::sort(microseconds.begin(), microseconds.end());
  Latency latency;
  latency.runs = static_cast<int64_t>(microseconds.size());
  if (microseconds.empty()) return latency;
  const auto at = [&](double part) {
    const auto last = static_cast<double>(microseconds.size() - 1);
    return microseconds[static_cast<size_t>(part * last + 0.5)];
  };
  latency.p50 = at(0.5);
  latency.p90 = at(0.9);
  latency.p99 = at(0.99);
  for (const double time : microseconds) latency.mean += time / static_cast<double>(latency.runs);
  return latency;
}

void Measure(const std::function<void()>& run, double seconds, std::vector<double>& times) {
  using Clock = std::chrono::steady_clock;
  const auto begin = Clock::now();
  auto before = begin;
  constexpr int kLeastRuns = 5;
  for (int runs = 0;; ++runs) {
    run();
    const auto after = Clock::now();
    times.push_back(std::chrono::duration<double, std::micro>(after - before).count());
    const double elapsed = std::chrono::duration<double>(after - begin).count();
    if (elapsed >= seconds && runs + 1 >= kLeastRuns) return;
    before = Clock::now();
  }
}

}  // namespace ingot::infer
