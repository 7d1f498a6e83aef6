// CheckpointStore: see checkpoint_store.h.
#include "ingot/train/checkpoint_store.h"

#include <algorithm>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "ingot/base/error.h"

namespace ingot::train {

CheckpointStore::CheckpointStore(FileSystem& file_system, std::string directory, int64_t keep,
                                 std::string writer)
    : file_system_(file_system),
      directory_(std::move(directory)),
      keep_(keep),
      writer_(std::move(writer)) {
  INGOT_ASSERT(keep >= 1, "a store keeps at least one checkpoint");
}

void CheckpointStore::Begin() {
  if (!writer_.empty()) BeginWriting(file_system_, directory_, writer_);
}

void CheckpointStore::End() {
  if (writer_.empty()) return;
  try {
    EndWriting(file_system_, directory_, writer_);
  } catch (const Error&) {
    // Whoever writes next tries again.
  }
}

bool CheckpointStore::IsTakenOver() const {
  return !writer_.empty() && !MayWrite(file_system_, directory_, writer_);
}

std::string CheckpointStore::writer_folder() const {
  return writer_.empty() ? "" : WriterFolder(directory_, writer_);
}

template <typename Change>
void CheckpointStore::DoAsWriter(const Change& change) {
  if (IsTakenOver()) return;
  try {
    change();
  } catch (const Error&) {
    if (!IsTakenOver()) throw;
  }
}

void CheckpointStore::Clean() {
  if (writer_.empty()) {
    CleanLeftovers(file_system_, directory_);
  } else {
    Begin();
  }
}

std::vector<int64_t> CheckpointStore::Steps() const {
  std::vector<int64_t> steps;
  if (!file_system_.Exists(directory_)) return steps;
  for (const std::string& name : file_system_.List(directory_)) {
    if (const std::optional<int64_t> step = StepOfCheckpointName(name)) steps.push_back(*step);
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

void CheckpointStore::Save(const Checkpoint& checkpoint) {
  INGOT_ASSERT(checkpoint.resumable, "only resumable checkpoints are named by their step");
  file_system_.CreateDirectories(directory_);
  DoAsWriter([&] {
    const int64_t step = checkpoint.manifest.step;
    WriteCheckpoint(file_system_, directory_, CheckpointName(step), checkpoint, writer_);
    const std::vector<int64_t> steps = Steps();
    const auto here = std::find(steps.begin(), steps.end(), step);
    const int64_t not_later = here - steps.begin() + 1;
    for (int64_t i = 0; i < static_cast<int64_t>(steps.size()); ++i) {
      if (i < not_later - keep_ || i >= not_later) {
        const std::string name = CheckpointName(steps[static_cast<size_t>(i)]);
        RemoveCheckpoint(file_system_, directory_, name, writer_);
      }
    }
  });
}

void CheckpointStore::SaveAs(const std::string& name, const Checkpoint& checkpoint) {
  file_system_.CreateDirectories(directory_);
  Checkpoint parameters;
  parameters.manifest = checkpoint.manifest;
  parameters.parameters = checkpoint.parameters;
  parameters.metadata = checkpoint.metadata;
  parameters.resumable = false;
  DoAsWriter([&] { WriteCheckpoint(file_system_, directory_, name, parameters, writer_); });
}

LoadedCheckpoint CheckpointStore::LoadNewest() const {
  LoadedCheckpoint loaded;
  std::vector<int64_t> steps = Steps();
  std::reverse(steps.begin(), steps.end());
  for (const int64_t step : steps) {
    loaded.path = directory_ + "/" + CheckpointName(step);
    try {
      loaded.checkpoint = ReadCheckpoint(loaded.path);
      if (!loaded.checkpoint.resumable) {
        throw Error(ErrorCode::kCorrupt, fmt::format("{} is damaged: its manifest lists no {}",
                                                     loaded.path, kOptimizerFile));
      }
      if (loaded.checkpoint.manifest.step != step) {
        throw Error(ErrorCode::kCorrupt, fmt::format("{} is damaged: its manifest is of step {}",
                                                     loaded.path, loaded.checkpoint.manifest.step));
      }
      return loaded;
    } catch (const Error& error) {
      loaded.skipped.push_back({loaded.path, error.message()});
    }
  }
  if (steps.empty()) {
    throw Error(ErrorCode::kNotFound, "there is no checkpoint in " + directory_,
                "the run ended before its first one; start it anew with --overwrite");
  }
  std::string message =
      fmt::format("none of the {} checkpoints in {} is whole:", steps.size(), directory_);
  for (const SkippedCheckpoint& skipped : loaded.skipped) message += "\n  " + skipped.reason;
  throw Error(ErrorCode::kCorrupt, message,
              "restore one from a backup, or start the run anew with --overwrite");
}

}  // namespace ingot::train
