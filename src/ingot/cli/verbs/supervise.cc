// ingot supervise: takes over the workers of a run whose supervisor is gone.
#include <algorithm>
#include <sstream>

#include "ingot/base/error.h"
#include "ingot/base/file.h"
#include "ingot/base/interrupt.h"
#include "ingot/cli/program.h"
#include "ingot/cli/supervisor.h"
#include "ingot/dist/store.h"
#include "ingot/train/run_directory.h"

namespace ingot::cli {
namespace {

class Supervise : public Verb {
 public:
  void Declare(Options& options) override { options.Positional("RUN", &run_, "the run directory"); }

  int Run(const Streams& streams) override {
    // Held, with its lock, while the workers run.
    const train::RunDirectory directory(RealFileSystem(), run_, train::RunMode::kResume);
    dist::FileStore store(directory.File(train::kRendezvousFolder));
    SupervisorOptions options;
    std::istringstream lines(store.Get("arguments").value_or(""));
    for (std::string line; std::getline(lines, line);) options.arguments.push_back(line);
    if (options.arguments.size() < 2) {
      throw Error(ErrorCode::kInvalidInput, run_ + " is no run of `ingot launch`");
    }
    // The first line is the number of workers.
    options.workers = std::max(1, std::atoi(options.arguments[0].c_str()));
    options.arguments.erase(options.arguments.begin());
    options.environment = {{"INGOT_TOKEN", store.Get("token").value_or("")},
                           {"INGOT_SUPERVISED", "1"}};
    options.pids_file = directory.File(train::kPidsFile);
    options.adopts = true;
    options.has_ended = [&store] { return store.Get("ended").has_value(); };
    if (const auto grace = store.Get("grace")) options.grace_seconds = std::atof(grace->c_str());
    const InterruptGuard interrupts(FurtherInterrupts::kAreCounted);
    return Supervisor(std::move(options), streams).Run();
  }

 private:
  std::string run_;
};

}  // namespace

void AddSupervise(Program& program) {
  program.Add<Supervise>(
      {.name = "supervise",
       .summary = "take over the workers of a run whose `ingot launch` was killed",
       .details = "A worker does this by itself when it sees that the supervisor is gone.",
       .example = "ingot supervise runs/mnist"});
}

}  // namespace ingot::cli
