// TimeTable: see time_table.h.
#include "ingot/train/time_table.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <utility>

#include <fmt/format.h>

#include "ingot/base/clock.h"
#include "ingot/base/text.h"

namespace ingot::train {
namespace {

struct FamilyWord {
  std::string_view word;  // in a kernel's name, in small letters
  const char* family;
};

// The first that fits counts: a normalisation's gradient may name a reduction too.
constexpr FamilyWord kWords[] = {
    {"crossentropy", "softmax and loss"},
    {"cross_entropy", "softmax and loss"},
    {"convtranspose", "convolution"},
    {"conv", "convolution"},
    {"winograd", "convolution"},
    {"pool", "pooling"},
    {"attention", "attention"},
    {"rotary", "attention"},
    {"batchnorm", "normalisation"},
    {"norm", "normalisation"},
    {"lstm", "recurrence"},
    {"gru", "recurrence"},
    {"embedding", "embedding"},
    {"gather", "embedding"},
    {"matmul", "products"},
    {"gemm", "products"},
    {"product", "products"},
    {"einsum", "products"},
    {"softmax", "softmax and loss"},
    {"loss", "softmax and loss"},
    {"dropout", "random numbers"},
    {"random", "random numbers"},
    {"reduce", "reductions"},
    {"sum_", "reductions"},
    {"argmax", "reductions"},
    {"topk", "reductions"},
    {"transpose", "copies and layout"},
    {"reshape", "copies and layout"},
    {"concat", "copies and layout"},
    {"split", "copies and layout"},
    {"slice", "copies and layout"},
    {"copy", "copies and layout"},
    {"elementwise", "elementwise"},
    {"relu", "elementwise"},
    {"fused", "elementwise"},
    {"gelu", "elementwise"},
    {"swish", "elementwise"},
    {"softplus", "elementwise"},
    {"mish", "elementwise"},
    {"expand", "copies and layout"},
    {"resize", "resizing"},
};

}  // namespace

PhaseClock::PhaseClock() : since_(SecondsSinceProcessStart()) {
  seconds_[static_cast<size_t>(Phase::kStartUp)] = since_;
}

Phase PhaseClock::Switch(Phase phase) {
  const double now = SecondsSinceProcessStart();
  seconds_[static_cast<size_t>(phase_)] += now - since_;
  since_ = now;
  return std::exchange(phase_, phase);
}

std::array<double, kPhases> PhaseClock::Seconds() const {
  std::array<double, kPhases> seconds = seconds_;
  seconds[static_cast<size_t>(phase_)] += SecondsSinceProcessStart() - since_;
  return seconds;
}

std::string FamilyOf(const runtime::TelemetryItem& item) {
  if (item.stage == "data") return "data";
  if (item.stage == "update") return "update";
  const std::string name = LowerCase(item.name);
  if (item.stage == "reduce") {
    const bool product = name.find("matmul") != std::string::npos;
    return product ? "products" : "gradients over shards";
  }
  if (item.layer.starts_with("metric (")) return "metrics";
  for (const FamilyWord& word : kWords) {
    if (name.find(word.word) != std::string::npos) return word.family;
  }
  return "other kernels";
}

std::vector<TimeRow> TimeTable(const std::array<double, kPhases>& phases,
                               const std::vector<runtime::TelemetryTotal>& totals, int threads,
                               double data_wait_seconds) {
  const auto phase = [&phases](Phase which) { return phases[static_cast<size_t>(which)]; };
  std::map<std::string, double> parts;
  double busy = 0;
  for (const runtime::TelemetryTotal& total : totals) {
    const double share = total.seconds / threads;
    parts[FamilyOf(total.item)] += share;
    busy += share;
  }
  const double steps = phase(Phase::kSteps);
  // Two clocks measured it: the cycle counter may run ahead by some parts in a million.
  if (busy > steps && busy > 0) {
    for (auto& part : parts) part.second *= steps / busy;
  }
  if (const auto data = parts.find("data"); data != parts.end() && data_wait_seconds > 0) {
    const double wait = std::min(data->second, data_wait_seconds / threads);
    data->second -= wait;
    parts["waiting for data"] += wait;
  }
  parts["waiting and hand-over"] += std::max(0.0, steps - busy);
  parts["start-up"] += phase(Phase::kStartUp);
  parts["validation"] += phase(Phase::kValidation);
  parts["test"] += phase(Phase::kTest);
  parts["checkpoints"] += phase(Phase::kCheckpoint);
  parts["measuring the machine"] += phase(Phase::kMachine);
  parts["records and log"] += phase(Phase::kRecords);
  std::vector<TimeRow> rows;
  for (const auto& [name, seconds] : parts) {
    if (seconds > 0) rows.push_back({name, seconds});
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [](const TimeRow& a, const TimeRow& b) { return a.seconds > b.seconds; });
  rows.push_back({"other", phase(Phase::kOther)});
  return rows;
}

std::string TimeTableText(const std::vector<TimeRow>& rows) {
  const double sum = std::accumulate(rows.begin(), rows.end(), 0.0,
                                     [](double s, const TimeRow& row) { return s + row.seconds; });
  std::string text = "where the time went\n";
  for (const TimeRow& row : rows) {
    text += fmt::format("  {:<22} {:>9} {:>6.1f}%\n", row.name, HumanSeconds(row.seconds),
                        sum > 0 ? 100 * row.seconds / sum : 0);
  }
  return text;
}

}  // namespace ingot::train
