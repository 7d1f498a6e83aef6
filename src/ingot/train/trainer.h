// Train: runs a training job from its first step (or a checkpoint) to its end.
//
// What comes out is a function of the job alone: the weights do not depend on the number of
// threads, nor on whether and where the run was stopped and resumed (on the same kind of CPU).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ingot/base/file.h"
#include "ingot/base/log.h"
#include "ingot/base/progress.h"
#include "ingot/dist/group.h"
#include "ingot/dist/store.h"
#include "ingot/dist/transport.h"
#include "ingot/formats/bytes.h"
#include "ingot/train/job.h"
#include "ingot/train/run_directory.h"
#include "ingot/train/setup.h"
#include "ingot/train/summary.h"

namespace ingot::train {

// One of several processes that share a run (room dist). What is computed is the same; the group's
// lead alone writes the run directory.
struct GroupRequest {
  std::shared_ptr<dist::Store> store;
  std::string token;
  int slot = -1;             // the rank that people know it by; -1: the coordinator gives one
  int expected_workers = 1;  // to wait for at the beginning
  std::string host;          // where the peers reach this process
  std::string version;
  std::string transport = "gloo";  // what carries the tensors
  std::shared_ptr<dist::TransportFactory> transports;
  dist::GroupTiming timing;
  bool ledger = false;  // samples.jsonl
};

struct TrainRequest {
  Job job;
  SetupOptions setup;
  // The run directory; "": nothing is written, for programs that only want the weights.
  std::string out;
  RunMode mode = RunMode::kNew;
  int threads = 0;  // 0: the CPUs this process may use
  // The first Ctrl-C or SIGTERM ends the run after the step at hand, once the job is compiled and
  // the run directory is opened; before that a signal does what it does in the program. False where
  // the program has an InterruptGuard of its own, which is looked at too.
  bool handle_interrupts = true;
  // Whether the end of a run measures the machine's rate of products where it is not remembered yet
  // (gemm_peak.h): some tens of milliseconds, once a machine.
  bool measure_gemm_peak = false;
  // Measures where the time goes, for Summary::time: a fraction of a per cent of a step.
  bool measure_time = false;
  // Where a trace of a few steps is written (trace_file.h); "": none. Measures the time, too.
  std::string profile;
  // In place of the job's schedule; null: that.
  std::function<double(int64_t step)> learning_rate;
  // Called with the mean loss of each step, in order; must be quick. May be null.
  std::function<void(int64_t step, double loss)> on_loss;
  // Looked at between steps: true ends the run as Ctrl-C does. May be null.
  std::function<bool()> should_stop;
  Logger* logger = nullptr;  // not owned; null: silence
  // What is shown while it runs; by default nothing.
  ProgressSettings progress = {.out = nullptr};
  FileSystem* file_system = nullptr;  // not owned; null: the machine's
  std::optional<GroupRequest> group;  // with several processes
};

enum class RunEnd {
  kFinished,      // all epochs or steps are done
  kStoppedEarly,  // early_stopping said so
  kInterrupted,   // Ctrl-C or SIGTERM: a checkpoint was written; the program exits with 130
};

struct TrainResult {
  RunEnd end = RunEnd::kFinished;
  Summary summary;
  bool is_lead = true;  // false: another process of the group has written what the run came to
  std::vector<formats::NamedTensor> parameters;  // the final weights
  // For a person: "interrupted after step 1,234; go on with: ingot train --resume DIR"; "" else.
  std::string advice;
};

// Throws Error: what PrepareTraining and RunDirectory throw; kInvalidInput where the checkpoint to
// be resumed is of another job or other data (naming what differs); kCorrupt where no checkpoint is
// whole; kIo where a checkpoint or a record could not be written (the last good checkpoint stays);
// kNumeric where the loss or a gradient is not finite, naming the step, the first op, its layer and
// the samples (the last good checkpoint stays).
TrainResult Train(const TrainRequest& request);

}  // namespace ingot::train
