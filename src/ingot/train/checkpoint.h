// A checkpoint on disk: a directory of safetensors files and a manifest that vouches for them.
//
//   step-00000469/
//     model.safetensors       the parameters
//     optimizer.safetensors   the optimizer's state (resumable checkpoints only)
//     manifest.json           what it is, sizes and SHA-256 of the files (manifest.h)
//
// It is written into a temporary directory beside, every file synced, the directory synced,
// renamed, and the parent synced: at any instant the name stands for a whole checkpoint or for
// none.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ingot/base/file.h"
#include "ingot/formats/bytes.h"
#include "ingot/train/manifest.h"

namespace ingot::train {

inline constexpr const char* kModelFile = "model.safetensors";
inline constexpr const char* kOptimizerFile = "optimizer.safetensors";

// A snapshot of a training job. Copies share the tensors' bytes, which nobody may change while a
// checkpoint is being written.
struct Checkpoint {
  Manifest manifest;  // `files` is filled in by WriteCheckpoint
  std::vector<formats::NamedTensor> parameters;
  std::vector<formats::NamedTensor> optimizer_state;
  std::map<std::string, std::string> metadata;  // of model.safetensors
  bool resumable = true;                        // false: parameters only (`best`, `final`)
};

// "step-00000469", and back; nothing where the name is of another form.
std::string CheckpointName(int64_t step);
std::optional<int64_t> StepOfCheckpointName(std::string_view name);
// Whether what has that name in PARENT is something that the functions below make for a while.
bool IsLeftover(std::string_view name);

// Writes `checkpoint` as PARENT/NAME, in the place of what stands there. PARENT must exist. After
// an Error(kIo) PARENT/NAME is as it was, or (where only the last sync failed) already the new one,
// whole; the temporary directory has been removed as far as that was possible. `writer`: one that
// has begun below, and may have been taken over from, which is an Error(kIo), too; "": the only
// one.
void WriteCheckpoint(FileSystem& file_system, const std::string& parent, const std::string& name,
                     const Checkpoint& checkpoint, const std::string& writer = "");

// Reads and verifies: the manifest against its own checksum, every file against its size and
// SHA-256, and only then the tensors, which are views of the mapped files: do not write to them.
// Throws Error(kCorrupt) naming the file and what is wrong with it, Error(kUnsupported) for another
// format version, Error(kIo) where reading fails.
Checkpoint ReadCheckpoint(const std::string& path);

// Removes what an interrupted WriteCheckpoint left in PARENT: temporaries go, and a directory that
// had been set aside for its successor gets its name back where the successor never arrived.
// Throws Error(kIo).
void CleanLeftovers(FileSystem& file_system, const std::string& parent);

// Removes PARENT/NAME such that at any instant it is either whole or gone. Throws Error(kIo).
void RemoveCheckpoint(FileSystem& file_system, const std::string& parent, const std::string& name,
                      const std::string& writer = "");

// Where several processes follow each other as the one that writes, the one before may be alive,
// and in the middle of a write: it was stopped, or cut off for a while. So each has a folder in
// PARENT of its own, by the way of which all changes go, each by a rename. BeginWriting takes that
// of the one before away (and removes what was left as CleanLeftovers does): all that it still does
// to PARENT fails, and then MayWrite says that it is no error of the disk. `writer`: no two have
// the same name. Throw Error(kIo).
void BeginWriting(FileSystem& file_system, const std::string& parent, const std::string& writer);
// Its folder, for what else it is to replace.
std::string WriterFolder(const std::string& parent, const std::string& writer);
bool MayWrite(FileSystem& file_system, const std::string& parent, const std::string& writer);
void EndWriting(FileSystem& file_system, const std::string& parent, const std::string& writer);

}  // namespace ingot::train
