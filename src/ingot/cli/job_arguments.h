// The arguments that verbs about a job have in common: the job file and what overrides it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ingot/base/config.h"
#include "ingot/cli/options.h"
#include "ingot/train/job.h"

namespace ingot::cli {

struct JobArguments {
  std::string job;   // a job file, or a run directory (its job.yaml); "" where it was not given
  std::string data;  // a folder
  std::optional<int64_t> seed;
  std::optional<int64_t> epochs;
  std::vector<std::string> set;

  void Declare(Options& options, bool job_is_required);
  // The file with the overrides in it, those of --set last. Throws Error: kNotFound or kIo for the
  // file and the folder of --data, kInvalidInput for YAML and for what is wrong with an override.
  ConfigNode Load() const;
};

// The folder without "/" at its end, which must hold a run. Throws Error(kNotFound) or
// Error(kInvalidInput).
std::string RunFolder(const std::string& folder);

// The same, or the path of an ONNX file as it is.
std::string RunOrModel(const std::string& path);

// Throws Error(kNotFound) or Error(kInvalidInput) unless `folder` is one; `option` names who says
// so.
void CheckFolder(const std::string& option, const std::string& folder);

}  // namespace ingot::cli
