// RunDirectory: see run_directory.h.
#include "ingot/train/run_directory.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <filesystem>
#include <optional>
#include <string_view>
#include <system_error>

#include <fcntl.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/file.h>
#include <unistd.h>

#include "ingot/base/error.h"
#include "ingot/train/checkpoint.h"
#include "ingot/train/checkpoint_store.h"

namespace ingot::train {
namespace {

constexpr const char* kLockFile = ".lock";
constexpr std::string_view kEvents = "events.out.tfevents.";

bool BelongsToARun(const std::string& name) {
  // What WriteFileAtomically had begun to write, too.
  if (const size_t suffix = name.find(".tmp-"); suffix != std::string::npos) {
    return BelongsToARun(name.substr(0, suffix));
  }
  return name == kJobFile || name == kMetricsFile || name == kSummaryFile || name == kLogFile ||
         name == kCheckpointsFolder || name == kProfileFile || name == kPidsFile ||
         name == kRendezvousFolder || name == kLedgerFile || name == kWorkersLogFile ||
         name.starts_with(kEvents);
}

// What stands in the folder, the lock aside.
std::vector<std::string> Contents(FileSystem& file_system, const std::string& path) {
  std::vector<std::string> names = file_system.List(path);
  names.erase(std::remove(names.begin(), names.end(), kLockFile), names.end());
  return names;
}

FileDescriptor TakeLock(const std::string& path) {
  FileDescriptor lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666));
  if (!lock.valid()) throw FileError("open for writing", path, errno);
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) == 0) return lock;
  const int error = errno;
  // Some network file systems have no locks: better without than not at all.
  if (error == ENOLCK || error == EOPNOTSUPP || error == ENOSYS) return FileDescriptor();
  if (error != EWOULDBLOCK) throw FileError("lock", path, error);
  throw Error(ErrorCode::kInvalidInput,
              "the run directory " + ParentDirectory(path) + " is in use by another run",
              "wait for it to end, or choose another folder with --out");
}

// What a start leaves that was killed before it wrote down its job: there is no run to be lost, and
// none to go on with.
bool NeverBegan(const std::vector<std::string>& contents) {
  return std::all_of(contents.begin(), contents.end(), [](const std::string& name) {
    return name == kPidsFile || name == kRendezvousFolder || name == kWorkersLogFile ||
           (name.find(".tmp-") != std::string::npos && BelongsToARun(name));
  });
}

bool IsOfCheckpoints(const std::string& name) {
  return name == kBestCheckpoint || name == kFinalCheckpoint || StepOfCheckpointName(name) ||
         IsLeftover(name);
}

bool Holds(const std::vector<std::string>& contents, std::string_view name) {
  return std::find(contents.begin(), contents.end(), name) != contents.end();
}

// Whether a run has been here. Its lock says so; in a copy without it, what stands beside job.yaml
// does, since a folder with a job that somebody wrote is no run.
bool HoldsRun(FileSystem& file_system, const std::string& path,
              const std::vector<std::string>& contents) {
  if (file_system.Exists(path + "/" + kLockFile)) return true;
  if (!Holds(contents, kJobFile)) return false;
  return std::any_of(contents.begin(), contents.end(), [&](const std::string& name) {
    if (name == kCheckpointsFolder) {
      const std::vector<std::string> inside = file_system.List(path + "/" + name);
      return std::any_of(inside.begin(), inside.end(), IsOfCheckpoints);
    }
    return name == kMetricsFile || name == kSummaryFile || name == kLedgerFile ||
           name.starts_with(kEvents);
  });
}

Error NotEmpty(const std::string& path, const std::vector<std::string>& contents,
               const std::string& hint) {
  return Error(ErrorCode::kInvalidInput,
               fmt::format("the run directory {} is not empty (it holds {}{})", path, contents[0],
                           contents.size() > 1 ? ", ..." : ""),
               hint);
}

void RequireNew(FileSystem& file_system, const std::string& path,
                const std::vector<std::string>& contents) {
  if (NeverBegan(contents)) return;
  if (!HoldsRun(file_system, path, contents)) {
    throw NotEmpty(path, contents, "choose another folder with --out");
  }
  std::string hint = "replace the run in it: --overwrite";
  if (Holds(contents, kJobFile)) {
    hint = fmt::format("go on with the run in it: --resume {}; or replace it: --overwrite", path);
  }
  throw NotEmpty(path, contents, hint);
}

void RequireReplaceable(FileSystem& file_system, const std::string& path,
                        const std::vector<std::string>& contents) {
  if (NeverBegan(contents) || HoldsRun(file_system, path, contents)) return;
  throw NotEmpty(
      path, contents,
      "it holds no run that --overwrite could replace: choose another folder with --out");
}

// Files of others stay, also among the checkpoints.
void RemoveRun(FileSystem& file_system, const std::string& path,
               const std::vector<std::string>& contents) {
  for (const std::string& name : contents) {
    if (!BelongsToARun(name)) continue;
    const std::string whole = path + "/" + name;
    if (name == kCheckpointsFolder) {
      for (const std::string& inside : file_system.List(whole)) {
        if (IsOfCheckpoints(inside)) file_system.RemoveAll(whole + "/" + inside);
      }
      if (!file_system.List(whole).empty()) continue;
    }
    file_system.RemoveAll(whole);
  }
}

void RequireRun(const std::string& path, const std::vector<std::string>& contents) {
  if (Holds(contents, kJobFile)) return;
  throw Error(ErrorCode::kInvalidInput,
              fmt::format("{} is no run directory: it holds no {}", path, kJobFile),
              "give the folder that --out named when the run was started");
}

nlohmann::ordered_json Number(double value) {
  if (!std::isfinite(value)) return nullptr;
  return value;
}

// Whether a line is a record of what was done by this step, with or without the end of its epoch.
bool IsRecordUpTo(std::string_view line, int64_t step, bool epoch_is_open) {
  const nlohmann::json json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return false;
  const auto found = json.find("step");
  if (found == json.end() || !found->is_number_integer()) return false;
  const auto at = found->get<int64_t>();
  return at < step || (at == step && (!epoch_is_open || json.value("kind", "") == "train"));
}

// The lines before the first that is of what came later, no record, or cut off.
std::string_view RecordsUpTo(std::string_view text, int64_t step, bool epoch_is_open) {
  size_t keep = 0;
  for (size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n', keep)) {
    if (!IsRecordUpTo(text.substr(keep, end - keep), step, epoch_is_open)) break;
    keep = end + 1;
  }
  return text.substr(0, keep);
}

}  // namespace

RunDirectory::RunDirectory(FileSystem& file_system, const std::string& path, RunMode mode)
    : file_system_(file_system), path_(path) {
  while (path_.size() > 1 && path_.back() == '/') path_.pop_back();
  if (mode == RunMode::kShared) {
    file_system_.CreateDirectories(path_);
    return;
  }
  if (mode == RunMode::kResume) {
    if (!file_system_.Exists(path_)) {
      throw Error(ErrorCode::kNotFound, "the run directory " + path_ + " does not exist");
    }
    RequireRun(path_, Contents(file_system_, path_));
  } else {
    file_system_.CreateDirectories(path_);
    // Before the lock is made, so that a folder that is refused stays as it was.
    const std::vector<std::string> contents = Contents(file_system_, path_);
    if (mode == RunMode::kNew) RequireNew(file_system_, path_, contents);
    if (mode == RunMode::kOverwrite) RequireReplaceable(file_system_, path_, contents);
  }
  lock_ = TakeLock(File(kLockFile));
  // Again, now that nobody else can have put something there.
  const std::vector<std::string> contents = Contents(file_system_, path_);
  if (mode == RunMode::kNew) RequireNew(file_system_, path_, contents);
  if (mode == RunMode::kResume) return;
  RemoveRun(file_system_, path_, contents);
}

void RunDirectory::WriteJob(const std::string& yaml) {
  WriteFileAtomically(file_system_, File(kJobFile), yaml);
}

void RunDirectory::WriteSummary(const Summary& summary) {
  WriteFileAtomically(file_system_, File(kSummaryFile), ToJson(summary));
}

void RunDirectory::TruncateMetrics(int64_t step) {
  INGOT_ASSERT(!metrics_.valid(), "metrics are truncated before the first record");
  const std::string path = File(kMetricsFile);
  if (!file_system_.Exists(path)) return;
  const std::string text = ReadFile(path);
  const size_t keep = RecordsUpTo(text, step, /*epoch_is_open=*/false).size();
  if (keep != text.size() && ::truncate(path.c_str(), static_cast<off_t>(keep)) != 0) {
    throw FileError("truncate", path, errno);
  }
}

void RunDirectory::TakeOverMetrics(int64_t step, bool epoch_is_open, const std::string& through) {
  INGOT_ASSERT(!metrics_.valid(), "metrics are taken over before the first record");
  const std::string path = File(kMetricsFile);
  const std::string text = file_system_.Exists(path) ? ReadFile(path) : "";
  WriteFileAtomically(file_system_, path, RecordsUpTo(text, step, epoch_is_open), through);
  OpenMetrics();
}

void RunDirectory::OpenMetrics() {
  const std::string path = File(kMetricsFile);
  metrics_ = FileDescriptor(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666));
  if (!metrics_.valid()) throw FileError("open for writing", path, errno);
}

void RunDirectory::AppendMetrics(const MetricsRecord& record) {
  if (!metrics_.valid()) OpenMetrics();
  const std::string line = ToJson(record) + "\n";
  std::string_view rest = line;
  while (!rest.empty()) {
    const ssize_t written = ::write(metrics_.get(), rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw FileError("write to", File(kMetricsFile), errno);
    rest.remove_prefix(static_cast<size_t>(written));
  }
}

std::string ToJson(const MetricsRecord& record) {
  nlohmann::ordered_json json;
  json["kind"] = record.kind;
  json["step"] = record.step;
  json["epoch"] = record.epoch;
  json["seconds"] = Number(std::round(record.seconds * 1e6) / 1e6);
  for (const auto& [name, value] : record.values) json[name] = Number(value);
  return json.dump();
}

}  // namespace ingot::train
