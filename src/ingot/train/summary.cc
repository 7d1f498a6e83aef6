// Summary: see summary.h.
#include "ingot/train/summary.h"

#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

namespace ingot::train {
namespace {

using Json = nlohmann::ordered_json;

Json Number(std::optional<double> value) {
  if (!value || !std::isfinite(*value)) return nullptr;
  return *value;
}

}  // namespace

std::optional<data::StageTime> SlowestStage(const Summary& summary) {
  const auto slowest = std::max_element(
      summary.data_stages.begin(), summary.data_stages.end(),
      [](const data::StageTime& a, const data::StageTime& b) { return a.seconds < b.seconds; });
  if (slowest == summary.data_stages.end()) return std::nullopt;
  return *slowest;
}

std::string ToJson(const Summary& summary) {
  Json json;
  json["status"] = summary.status;
  json["test_accuracy"] = Number(summary.test_accuracy);
  json["test_loss"] = Number(summary.test_loss);
  for (const auto& [name, value] : summary.test_metrics) json[name] = Number(value);
  json["wall_seconds"] = Number(summary.wall_seconds);
  json["steps"] = summary.steps;
  json["epochs"] = summary.epochs;
  json["step_microseconds_median"] = Number(summary.step_microseconds_median);
  json["logical_shards"] = summary.logical_shards;
  json["parameters"] = summary.parameters;
  json["precision"] = summary.precision;
  if (summary.skipped_steps) json["skipped_steps"] = *summary.skipped_steps;
  if (summary.loss_scale) json["loss_scale"] = Number(*summary.loss_scale);
  json["gflops"] = Number(summary.gflops);
  json["gemm_peak_gflops"] = Number(summary.gemm_peak_gflops);
  if (!summary.gemm_peak_reason.empty()) json["gemm_peak_reason"] = summary.gemm_peak_reason;
  json["peak_memory_bytes"] = summary.peak_memory_bytes;
  json["resumed_from_step"] = summary.resumed_from_step;
  json["seed"] = summary.seed;
  json["threads"] = summary.threads;
  json["process_start_to_first_step_seconds"] = Number(summary.process_start_to_first_step_seconds);
  json["train_seconds"] = Number(summary.train_seconds);
  json["data_wait_seconds"] = Number(summary.data_wait_seconds);
  if (summary.skipped_samples > 0) json["skipped_samples"] = summary.skipped_samples;
  json["checkpoint_stall_seconds"] = Number(summary.checkpoint_stall_seconds);
  json["checkpoints_written"] = summary.checkpoints_written;
  if (!summary.best_metric.empty()) {
    json["best_metric"] = summary.best_metric;
    json["best_value"] = Number(summary.best_value);
    json["best_step"] = summary.best_step;
  }
  json["kernel_digest"] = summary.kernel_digest;
  if (!summary.samples_per_rank.empty()) json["samples_per_rank"] = summary.samples_per_rank;
  if (!summary.memory_bytes_per_rank.empty()) {
    json["memory_bytes_per_rank"] = summary.memory_bytes_per_rank;
  }
  if (!summary.wire_bytes_per_rank.empty()) {
    json["wire_bytes_per_rank"] = summary.wire_bytes_per_rank;
  }
  if (!summary.sync.empty()) json["sync"] = summary.sync;
  if (summary.replicas) json["replicas"] = *summary.replicas;
  if (const auto slowest = SlowestStage(summary)) {
    for (const data::StageTime& stage : summary.data_stages) {
      json["data_stages"][stage.name] = Number(stage.seconds);
    }
    json["slowest_transform"] = slowest->name;
    json["prefetch_wait_seconds"] = Number(summary.prefetch_wait_seconds);
  }
  for (const TimeRow& row : summary.time) json["time"][row.name] = Number(row.seconds);
  return json.dump(2) + "\n";
}

}  // namespace ingot::train
