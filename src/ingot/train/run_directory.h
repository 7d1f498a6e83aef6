// RunDirectory: the folder that holds everything about a run; all tools read it, nothing else is
// hidden state.
//
//   job.yaml       the job as resolved        metrics.jsonl   one JSON object for each record
//   checkpoints/   checkpoint_store.h         events.out.tfevents.*   the records for TensorBoard
//   log.txt        what was logged            summary.json    what the run came to
//   .lock          held while a run is going on: two runs never share a folder
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ingot/base/file.h"
#include "ingot/base/file_descriptor.h"
#include "ingot/train/summary.h"

namespace ingot::train {

inline constexpr const char* kJobFile = "job.yaml";
inline constexpr const char* kMetricsFile = "metrics.jsonl";
inline constexpr const char* kSummaryFile = "summary.json";
inline constexpr const char* kProfileFile = "profile.json";  // of --profile: trace_file.h
inline constexpr const char* kLogFile = "log.txt";
inline constexpr const char* kCheckpointsFolder = "checkpoints";
// Of runs of several processes: who runs, the records of the group (dist/store.h), which worker
// used which sample in which step.
inline constexpr const char* kPidsFile = "pids";
inline constexpr const char* kRendezvousFolder = "rendezvous";
inline constexpr const char* kLedgerFile = "samples.jsonl";
inline constexpr const char* kWorkersLogFile = "workers.log";  // of a supervisor that took over

enum class RunMode {
  kNew,        // the folder must be empty, not exist, or hold what a start left that never came to
               // write its job.yaml
  kOverwrite,  // as kNew, or it must hold a run: what that left is removed; files of others stay
  kResume,     // the folder must hold a run
  kShared,     // somebody else (the supervisor of several processes) has prepared and locked it
};

// One record: {"kind": "train", "step": 469, "epoch": 1, "seconds": 0.41, NAME: value, ...}.
struct MetricsRecord {
  std::string kind;                                    // "train", "validation", "test"
  int64_t step = 0;                                    // optimizer steps done
  int64_t epoch = 0;                                   // whole epochs done
  double seconds = 0;                                  // since the process began
  std::vector<std::pair<std::string, double>> values;  // what is not finite is written as null
};

// Move-only. Not safe for use by several threads at once. The lock is held while it lives.
class RunDirectory {
 public:
  // Throws Error(kInvalidInput) where the folder is not as `mode` needs it (the hint says both ways
  // out) or another run holds the lock, Error(kIo) where it cannot be made or written.
  RunDirectory(FileSystem& file_system, const std::string& path, RunMode mode);
  const std::string& path() const { return path_; }
  std::string File(const std::string& name) const { return path_ + "/" + name; }
  std::string checkpoints() const { return File(kCheckpointsFolder); }

  // Atomically. Throws Error(kIo).
  void WriteJob(const std::string& yaml);
  void WriteSummary(const Summary& summary);

  // Drops the records of later steps, and a last line that a crash has cut off. For a resumed run,
  // before its first AppendMetrics. Throws Error(kIo).
  void TruncateMetrics(int64_t step);
  // The same for a worker that becomes the one that writes: in a new file, which is open from then
  // on, so that what the worker before it still writes goes nowhere. `epoch_is_open`: the epoch
  // that ends with this step, if one does, has its records yet to come. `through`: of
  // WriteFileAtomically.
  void TakeOverMetrics(int64_t step, bool epoch_is_open, const std::string& through = "");
  // One line, handed to the system at once. Throws Error(kIo).
  void AppendMetrics(const MetricsRecord& record);

 private:
  void OpenMetrics();

  FileSystem& file_system_;
  std::string path_;
  FileDescriptor lock_;
  FileDescriptor metrics_;
};

// The line of metrics.jsonl, without its end.
std::string ToJson(const MetricsRecord& record);

}  // namespace ingot::train
