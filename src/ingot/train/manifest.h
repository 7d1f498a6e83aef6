// Manifest: the file `manifest.json` of a checkpoint: what the checkpoint is, and the size and
// SHA-256 of every file of it.
//
// The last member, "checksum", is the SHA-256 of the text before it, so that a manifest vouches for
// itself and then for its files. The text is fixed to the byte: any other text is refused.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "ingot/train/monitor.h"

namespace ingot::train {

inline constexpr int64_t kManifestVersion = 1;
inline constexpr const char* kManifestName = "manifest.json";

struct ManifestFile {
  std::string name;  // without a folder: "model.safetensors"
  uint64_t bytes = 0;
  std::string sha256;  // 64 lower-case hexadecimal digits

  bool operator==(const ManifestFile&) const = default;
};

struct Manifest {
  int64_t step = 0;   // optimizer steps that were done
  int64_t epoch = 0;  // whole epochs that were done
  uint64_t seed = 0;
  std::string job_digest;     // of what decides the weights (job.h)
  std::string data_digest;    // of the training data's count, types and a sample of its records
  std::string kernel_digest;  // of the choice of kernels: another choice may give other bits
  MonitorState best;          // of the best checkpoint
  MonitorState early_stopping;
  MonitorState plateau;       // of the schedule; written only where it watches a metric
  int64_t plateau_falls = 0;  // of the learning rate, so far
  // Sums over the steps of the epoch at hand ("loss_sum"), so that the epoch's means are the same
  // after a resume. Finite values only.
  std::map<std::string, double> epoch_sums;
  // The same over the steps since the last record of kind "train". Older manifests have none.
  std::map<std::string, double> interval_sums;
  std::vector<ManifestFile> files;

  const ManifestFile* Find(std::string_view name) const;  // null where absent
  bool operator==(const Manifest&) const = default;
};

// The text of manifest.json, "checksum" included.
std::string WriteManifest(const Manifest& manifest);

// Throws Error(kCorrupt) naming `path` where the text is not, byte for byte, what WriteManifest
// made, and Error(kUnsupported) for another format version.
Manifest ReadManifest(std::string_view text, const std::string& path);

}  // namespace ingot::train
