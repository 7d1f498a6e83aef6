// CheckpointStore: the folder `checkpoints/` of a run: which checkpoints there are, saving a new
// one and dropping the oldest, and finding the newest that is whole.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ingot/base/file.h"
#include "ingot/train/checkpoint.h"

namespace ingot::train {

inline constexpr const char* kBestCheckpoint = "best";
inline constexpr const char* kFinalCheckpoint = "final";

// A checkpoint that was passed over, and why ("... is damaged: it has 4096 bytes, not 203784").
struct SkippedCheckpoint {
  std::string path;
  std::string reason;
};

struct LoadedCheckpoint {
  Checkpoint checkpoint;
  std::string path;
  std::vector<SkippedCheckpoint> skipped;  // newer ones, the newest first
};

// Not safe for use by several threads at once. One process at a time may write (run_directory.h
// sees to that, or, among the workers of a group, Begin); reading beside it is safe.
class CheckpointStore {
 public:
  // Touches nothing yet. `keep` >= 1: so many of the newest resumable checkpoints stay. `writer`:
  // the name of one that others may take over from (checkpoint.h); "": there is no other.
  CheckpointStore(FileSystem& file_system, std::string directory, int64_t keep,
                  std::string writer = "");

  const std::string& directory() const { return directory_; }

  // Of a writer with a name: it takes over from whoever was before it. From then on Save and SaveAs
  // do something until another takes over. Throws Error(kIo).
  void Begin();
  void End();
  bool IsTakenOver() const;
  // A folder that goes with its writer's right: what is to replace another file of the run is
  // written there (WriteFileAtomically), so that one that was stopped on the way replaces nothing
  // that its successor has written. "" where there is no name.
  std::string writer_folder() const;

  // Removes what a killed process left behind. For the process that will write. Throws Error(kIo).
  void Clean();

  // Steps of the resumable checkpoints there are, whole or not, ascending.
  std::vector<int64_t> Steps() const;

  // Saves as step-NNNNNNNN; then drops those before the newest `keep`, and those of later steps,
  // which can only be damaged ones that a resumed run passed over. Makes the folder at need.
  // Throws Error(kIo): what was whole before is whole still.
  void Save(const Checkpoint& checkpoint);
  // Saves the parameters as `best` or `final`.
  void SaveAs(const std::string& name, const Checkpoint& checkpoint);

  // The newest resumable checkpoint that is whole. Changes nothing on disk. Throws
  // Error(kNotFound) where there is none at all, Error(kCorrupt) naming every one and its damage
  // where none is whole.
  LoadedCheckpoint LoadNewest() const;

 private:
  // What `change` does, unless another has taken over.
  template <typename Change>
  void DoAsWriter(const Change& change);

  FileSystem& file_system_;
  std::string directory_;
  int64_t keep_;
  std::string writer_;
};

}  // namespace ingot::train
