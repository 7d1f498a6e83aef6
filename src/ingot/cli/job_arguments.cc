// Loading a job and laying the command line's overrides over it.
#include "ingot/cli/job_arguments.h"

#include <system_error>

#include "ingot/base/error.h"
#include "ingot/base/file.h"
#include "ingot/cli/file_kind.h"
#include "ingot/train/run_directory.h"

namespace ingot::cli {
namespace {

void Override(ConfigNode& job, const std::string& assignment) {
  const size_t equals = assignment.find('=');
  if (equals == std::string::npos || equals == 0) {
    throw Error(ErrorCode::kInvalidInput, "--set: expected KEY=VALUE, got '" + assignment + "'",
                "for example --set optimizer.adam.learning_rate=0.01");
  }
  job.SetPath(assignment.substr(0, equals), assignment.substr(equals + 1));
}

}  // namespace

void CheckFolder(const std::string& option, const std::string& folder) {
  if (IsFolder(folder)) return;
  if (RealFileSystem().Exists(folder)) {
    throw Error(ErrorCode::kInvalidInput, option + ": '" + folder + "' is a file, not a folder");
  }
  throw Error(ErrorCode::kNotFound, option + ": the folder '" + folder + "' does not exist");
}

std::string RunFolder(const std::string& folder) {
  std::string path = folder;
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  if (!RealFileSystem().Exists(path)) {
    throw Error(ErrorCode::kNotFound, "the run directory '" + path + "' does not exist",
                "give the folder that --out named when the run was started");
  }
  if (!RealFileSystem().Exists(path + "/" + train::kJobFile)) {
    throw Error(ErrorCode::kInvalidInput,
                "'" + path + "' is no run directory: it holds no " + train::kJobFile,
                "give the folder that --out named when the run was started");
  }
  return path;
}

std::string RunOrModel(const std::string& path) {
  if (path.ends_with(".onnx") && !IsFolder(path)) return path;
  return RunFolder(path);
}

void JobArguments::Declare(Options& options, bool job_is_required) {
  options.Positional("JOB", &job, "the job file (YAML), or a run directory for the job in it",
                     job_is_required);
  options.Text("--data", &data, "DIR",
               "the folder with the data's files: for MNIST the four IDX files, gzipped or not");
  options.Number("--seed", &seed, "N", "the job's seed", 0);
  options.Number("--epochs", &epochs, "N", "the job's epochs", 0);
  options.Texts("--set", &set, "KEY=VALUE", "sets any key of the job");
}

ConfigNode JobArguments::Load() const {
  ConfigNode node = LoadConfig(IsFolder(job) ? RunFolder(job) + "/" + train::kJobFile : job);
  // Anything else than a map is answered by the job's reader, not as a path that does not fit.
  if (!node.is_map()) train::ReadJob(node);
  if (!data.empty()) {
    CheckFolder("--data", data);
    node.SetPath("data.folder", ConfigNode::Scalar(data).ToYaml());
  }
  if (seed) node.SetPath("seed", std::to_string(*seed));
  if (epochs) node.SetPath("epochs", std::to_string(*epochs));
  for (const std::string& assignment : set) Override(node, assignment);
  return node;
}

}  // namespace ingot::cli
