// Summary: what a finished (or stopped) run came to, as `summary.json` holds it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "ingot/data/stage_times.h"

namespace ingot::train {

// A part of a run's time: see time_table.h.
struct TimeRow {
  std::string name;  // "products", "start-up", "data"
  double seconds = 0;
};

struct Summary {
  // "finished", "stopped early" (early stopping) or "interrupted" (Ctrl-C).
  std::string status = "finished";
  std::optional<double> test_accuracy;  // null in the file where nothing was evaluated
  std::optional<double> test_loss;
  std::map<std::string, double> test_metrics;  // "test_" + name of every other metric
  double wall_seconds = 0;                     // from process start to the summary
  int64_t steps = 0;                    // optimizer steps done, those before a resume included
  int64_t epochs = 0;                   // whole epochs done
  double step_microseconds_median = 0;  // over this process's steps; batch assembly included
  int64_t logical_shards = 0;
  int64_t parameters = 0;
  std::string precision;                 // as the job names it
  std::optional<int64_t> skipped_steps;  // of fp16: gradients overflowed
  std::optional<double> loss_scale;      // of fp16, at the end
  std::optional<double> gflops;  // of the median step; products and convolutions, 2 a multiply-add
  std::optional<double> gemm_peak_gflops;  // what the machine reaches on all workers' threads
  std::string gemm_peak_reason;            // why that is not known; else ""
  uint64_t peak_memory_bytes = 0;          // largest resident set of the process
  int64_t resumed_from_step = 0;           // 0 where the run was not resumed
  uint64_t seed = 0;
  int64_t threads = 0;
  double process_start_to_first_step_seconds = 0;  // to the end of the first step
  double train_seconds = 0;                        // inside the steps of training
  double data_wait_seconds = 0;         // threads' time in batch assembly, as far as it is measured
  double checkpoint_stall_seconds = 0;  // training waited for checkpoints
  int64_t checkpoints_written = 0;
  std::optional<double> best_value;  // of the metric that chose checkpoints/best
  std::string best_metric;
  int64_t best_step = 0;
  std::string kernel_digest;
  std::vector<int64_t> samples_per_rank;  // of a run of several processes: computed by each
  // What each has sent in exchanges, as far as its process was there at the end.
  std::vector<uint64_t> wire_bytes_per_rank;
  // Of its engine: parameters, optimizer state, activations; as far as its process was there.
  std::vector<uint64_t> memory_bytes_per_rank;
  std::string sync;                 // how processes train together, as the job names it
  std::optional<int64_t> replicas;  // that trained apart
  int64_t skipped_samples = 0;      // damaged, and left out as the job allows
  // Of assembling samples, of all threads that do; empty where that is cheap.
  std::vector<data::StageTime> data_stages;
  double prefetch_wait_seconds = 0;  // of all threads: for batches that were not ready
  std::vector<TimeRow> time;         // where wall_seconds went; empty where it was not measured
};

// Of the data's stages the one that took longest; none where they were not measured.
std::optional<data::StageTime> SlowestStage(const Summary& summary);

// JSON, one member to a line. Numbers that are not finite are written as null.
std::string ToJson(const Summary& summary);

}  // namespace ingot::train
