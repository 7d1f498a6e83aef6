// Checkpoints on disk: see checkpoint.h.
#include "ingot/train/checkpoint.h"

#include <algorithm>
#include <span>
#include <utility>

#include <fmt/format.h>

#include "ingot/base/error.h"
#include "ingot/base/sha256.h"
#include "ingot/base/text.h"
#include "ingot/formats/safetensors.h"

namespace ingot::train {
namespace {

constexpr std::string_view kTemporary = ".tmp-";      // being written, or being removed
constexpr std::string_view kSetAside = ".replaced-";  // whole; its successor is about to be renamed
// Folders of writers that others may take over from; the same, taken away from one.
constexpr std::string_view kWriter = ".writer-";
constexpr std::string_view kFormerWriter = ".former-";
// In such a folder:
constexpr std::string_view kReady = "ready-";
constexpr std::string_view kReplaced = "replaced-";
constexpr std::string_view kRemoved = "removed-";

std::string In(const std::string& parent, std::string_view name) {
  return parent + "/" + std::string(name);
}

// Writes one file of tensors, synced, and returns its entry for the manifest.
ManifestFile WriteTensors(FileSystem& file_system, const std::string& directory,
                          const std::string& name, const std::vector<formats::NamedTensor>& tensors,
                          const std::map<std::string, std::string>& metadata) {
  // Pieces of this size are hashed while they are in the cache.
  constexpr size_t kPiece = size_t{1} << 20;
  const std::unique_ptr<WritableFile> file = file_system.OpenForWrite(In(directory, name));
  Sha256 hash;
  uint64_t size = 0;
  formats::WriteSafetensors(tensors, metadata, [&](std::span<const std::byte> bytes) {
    size += bytes.size();
    for (std::string_view rest = formats::AsText(bytes); !rest.empty();) {
      const std::string_view piece = rest.substr(0, kPiece);
      hash.Update(piece);
      file->Write(piece);
      rest.remove_prefix(piece.size());
    }
  });
  file->Sync();
  file->Close();
  return {name, size, hash.FinishHex()};
}

void WriteText(FileSystem& file_system, const std::string& path, const std::string& text) {
  const std::unique_ptr<WritableFile> file = file_system.OpenForWrite(path);
  file->Write(text);
  file->Sync();
  file->Close();
}

void WriteInto(FileSystem& file_system, const std::string& directory,
               const Checkpoint& checkpoint) {
  file_system.CreateDirectories(directory);
  Manifest manifest = checkpoint.manifest;
  manifest.files.clear();
  manifest.files.push_back(
      WriteTensors(file_system, directory, kModelFile, checkpoint.parameters, checkpoint.metadata));
  if (checkpoint.resumable) {
    manifest.files.push_back(
        WriteTensors(file_system, directory, kOptimizerFile, checkpoint.optimizer_state, {}));
  }
  WriteText(file_system, In(directory, kManifestName), WriteManifest(manifest));
  file_system.SyncDirectory(directory);
}

std::string TemporaryOf(const std::string& parent, const std::string& name,
                        const std::string& writer) {
  return In(parent, std::string(kTemporary) + (writer.empty() ? "" : writer + "-") + name);
}

// Gives the temporary its name; what had the name is set aside first and removed afterwards. All of
// that goes by way of the writer's folder, where it has one: no step succeeds once that is gone.
void Publish(FileSystem& file_system, const std::string& parent, const std::string& name,
             const std::string& writer) {
  const std::string target = In(parent, name);
  std::string ready = TemporaryOf(parent, name, writer);
  std::string aside = In(parent, std::string(kSetAside) + name);
  if (!writer.empty()) {
    const std::string folder = WriterFolder(parent, writer);
    const std::string temporary = std::exchange(ready, In(folder, std::string(kReady) + name));
    aside = In(folder, std::string(kReplaced) + name);
    file_system.RemoveAll(ready);
    file_system.Rename(temporary, ready);
  }
  const bool replaces = file_system.Exists(target);
  if (replaces) {
    file_system.RemoveAll(aside);
    file_system.Rename(target, aside);
  }
  try {
    file_system.Rename(ready, target);
  } catch (const Error&) {
    if (replaces) file_system.Rename(aside, target);
    throw;
  }
  file_system.SyncDirectory(parent);
  if (replaces) file_system.RemoveAll(aside);
}

// Gives what was set aside its name back where the successor never arrived.
void Rescue(FileSystem& file_system, const std::string& parent, const std::string& aside,
            const std::string& name) {
  const std::string target = In(parent, name);
  if (file_system.Exists(target)) return file_system.RemoveAll(aside);
  file_system.Rename(aside, target);
  file_system.SyncDirectory(parent);
}

// Whether a change could be made. Not where what it is made to has vanished: another process, which
// ends or takes over at the same time, does the same.
template <typename Change>
bool Attempt(FileSystem& file_system, const std::string& path, const Change& change) {
  try {
    change();
    return true;
  } catch (const Error&) {
    if (file_system.Exists(path)) throw;
    return false;
  }
}

void CleanFolder(FileSystem& file_system, const std::string& parent, const std::string& folder) {
  std::vector<std::string> names;
  if (!Attempt(file_system, folder, [&] { names = file_system.List(folder); })) return;
  for (const std::string& name : names) {
    if (!name.starts_with(kReplaced)) continue;
    const std::string aside = In(folder, name);
    Attempt(file_system, aside,
            [&] { Rescue(file_system, parent, aside, name.substr(kReplaced.size())); });
  }
  Attempt(file_system, folder, [&] { file_system.RemoveAll(folder); });
}

// What a former writer left. First its folder goes away from it, with one rename: from then on it
// changes nothing here.
void CleanWriter(FileSystem& file_system, const std::string& parent, const std::string& name) {
  const std::string folder = In(parent, name);
  const std::string former = In(parent, std::string(kFormerWriter) + name.substr(kWriter.size()));
  if (Attempt(file_system, folder, [&] { file_system.Rename(folder, former); })) {
    CleanFolder(file_system, parent, former);
  }
}

void CleanWriters(FileSystem& file_system, const std::string& parent) {
  for (const std::string& name : file_system.List(parent)) {
    if (name.starts_with(kWriter)) {
      CleanWriter(file_system, parent, name);
    } else if (name.starts_with(kFormerWriter)) {
      CleanFolder(file_system, parent, In(parent, name));
    }
  }
}

void CleanTemporaries(FileSystem& file_system, const std::string& parent) {
  for (const std::string& name : file_system.List(parent)) {
    if (name.starts_with(kSetAside)) {
      Rescue(file_system, parent, In(parent, name), name.substr(kSetAside.size()));
    } else if (name.starts_with(kTemporary)) {
      file_system.RemoveAll(In(parent, name));
    }
  }
}

// The tensors of one file, after its size and digest were found to be as the manifest says.
std::vector<formats::NamedTensor> ReadTensors(const std::string& path, const ManifestFile& entry,
                                              std::map<std::string, std::string>* metadata) {
  const formats::Blob blob = formats::MapBlob(path);
  if (blob.size != entry.bytes) {
    throw Error(ErrorCode::kCorrupt, fmt::format("{} is damaged: it has {} bytes, not {}", path,
                                                 blob.size, entry.bytes));
  }
  if (Sha256Hex(formats::AsText(blob.bytes())) != entry.sha256) {
    throw Error(ErrorCode::kCorrupt,
                path + " is damaged: its SHA-256 is not the one in the manifest");
  }
  const formats::SafetensorsFile file = formats::SafetensorsFile::Parse(blob, path);
  *metadata = file.metadata();
  std::vector<formats::NamedTensor> tensors;
  for (const formats::SafetensorsEntry& tensor : file.entries()) {
    tensors.push_back({tensor.name, file.Get(tensor.name)});
  }
  return tensors;
}

}  // namespace

std::string CheckpointName(int64_t step) {
  return fmt::format("step-{:08}", step);
}

std::optional<int64_t> StepOfCheckpointName(std::string_view name) {
  constexpr std::string_view kPrefix = "step-";
  if (name.substr(0, kPrefix.size()) != kPrefix) return std::nullopt;
  name.remove_prefix(kPrefix.size());
  const std::optional<int64_t> step = ParseWhole<int64_t>(name);
  if (!step || *step < 0) return std::nullopt;
  if (name.size() < 8 || CheckpointName(*step).size() != kPrefix.size() + name.size()) {
    return std::nullopt;
  }
  return step;
}

bool IsLeftover(std::string_view name) {
  return name.starts_with(kTemporary) || name.starts_with(kSetAside) || name.starts_with(kWriter) ||
         name.starts_with(kFormerWriter);
}

void WriteCheckpoint(FileSystem& file_system, const std::string& parent, const std::string& name,
                     const Checkpoint& checkpoint, const std::string& writer) {
  const std::string temporary = TemporaryOf(parent, name, writer);
  try {
    file_system.RemoveAll(temporary);  // of a write that failed and could not clean up
    WriteInto(file_system, temporary, checkpoint);
    Publish(file_system, parent, name, writer);
  } catch (const Error& error) {
    try {
      file_system.RemoveAll(temporary);
      if (!writer.empty()) {
        file_system.RemoveAll(In(WriterFolder(parent, writer), std::string(kReady) + name));
      }
    } catch (const Error&) {
      // The first error is the one that matters; CleanLeftovers tries again.
    }
    throw error.In("cannot write the checkpoint " + In(parent, name));
  }
}

Checkpoint ReadCheckpoint(const std::string& path) {
  Checkpoint checkpoint;
  try {
    const std::string manifest_path = In(path, kManifestName);
    checkpoint.manifest = ReadManifest(ReadFile(manifest_path), manifest_path);
    for (const ManifestFile& file : checkpoint.manifest.files) {
      std::map<std::string, std::string> metadata;
      std::vector<formats::NamedTensor> tensors = ReadTensors(In(path, file.name), file, &metadata);
      if (file.name == kModelFile) {
        checkpoint.parameters = std::move(tensors);
        checkpoint.metadata = std::move(metadata);
      }
      if (file.name == kOptimizerFile) checkpoint.optimizer_state = std::move(tensors);
    }
  } catch (const Error& error) {
    // A checkpoint without one of its files is a damaged one.
    if (error.code() != ErrorCode::kNotFound) throw;
    throw Error(ErrorCode::kCorrupt, error.message());
  }
  if (checkpoint.manifest.Find(kModelFile) == nullptr) {
    throw Error(ErrorCode::kCorrupt,
                fmt::format("{} is damaged: its manifest lists no {}", path, kModelFile));
  }
  checkpoint.resumable = checkpoint.manifest.Find(kOptimizerFile) != nullptr;
  return checkpoint;
}

void CleanLeftovers(FileSystem& file_system, const std::string& parent) {
  if (!file_system.Exists(parent)) return;
  CleanWriters(file_system, parent);
  CleanTemporaries(file_system, parent);
}

void RemoveCheckpoint(FileSystem& file_system, const std::string& parent, const std::string& name,
                      const std::string& writer) {
  const std::string path = In(parent, name);
  if (!file_system.Exists(path)) return;
  const std::string doomed = writer.empty()
                                 ? In(parent, std::string(kTemporary) + "removed-" + name)
                                 : In(WriterFolder(parent, writer), std::string(kRemoved) + name);
  file_system.RemoveAll(doomed);
  file_system.Rename(path, doomed);
  file_system.RemoveAll(doomed);
}

void BeginWriting(FileSystem& file_system, const std::string& parent, const std::string& writer) {
  file_system.CreateDirectories(parent);
  CleanWriters(file_system, parent);
  file_system.CreateDirectories(WriterFolder(parent, writer));
  try {
    CleanTemporaries(file_system, parent);
  } catch (const Error&) {
    // The one before may be writing still. What is left is no checkpoint, and the next one tries.
  }
}

std::string WriterFolder(const std::string& parent, const std::string& writer) {
  return In(parent, std::string(kWriter) + writer);
}

bool MayWrite(FileSystem& file_system, const std::string& parent, const std::string& writer) {
  return file_system.Exists(WriterFolder(parent, writer));
}

void EndWriting(FileSystem& file_system, const std::string& parent, const std::string& writer) {
  CleanFolder(file_system, parent, WriterFolder(parent, writer));
}

}  // namespace ingot::train
