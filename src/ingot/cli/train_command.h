// TrainCommand: what `ingot train` and the verbs that train with several processes have in common:
// their options, and running a job.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ingot/cli/job_arguments.h"
#include "ingot/cli/options.h"
#include "ingot/cli/program.h"
#include "ingot/train/trainer.h"

namespace ingot::cli {

class TrainCommand {
 public:
  // The verb, for messages.
  explicit TrainCommand(std::string verb) : verb_(std::move(verb)) {}

  void Declare(Options& options);
  // The checks before a run, which one process makes.
  void DeclareChecks(Options& options);
  // The command line again, for a process that is to do the same in the folder `out`.
  std::vector<std::string> Arguments() const;

  // Checks the options, reads the job and chooses the run directory.
  train::TrainRequest MakeRequest(const Streams& streams);
  bool explains() const { return explain_; }
  int Explain(const train::TrainRequest& request, const Streams& streams) const;
  // Trains and shows what came out; returns the exit status.
  int Run(train::TrainRequest request, const Streams& streams) const;

  bool quiet() const { return quiet_; }
  bool has_threads() const { return threads_.has_value(); }

 private:
  void CheckUsage() const;
  bool checks() const { return find_rate_ || overfit_; }
  void ChooseFolder(const std::string& resumed, train::TrainRequest& request) const;

  std::string verb_;
  JobArguments job_;
  std::string out_;
  std::string resume_;
  std::optional<int64_t> threads_;
  std::string profile_file_;
  bool profile_ = false;
  bool overwrite_ = false;
  bool explain_ = false;
  bool find_rate_ = false;
  bool overfit_ = false;
  std::optional<int64_t> check_steps_;
  bool json_ = false;
  bool quiet_ = false;
};

}  // namespace ingot::cli
