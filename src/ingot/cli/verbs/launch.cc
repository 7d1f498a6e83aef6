// ingot launch: trains a job with several worker processes of this machine.
#include <cerrno>
#include <cstdio>
#include <memory>
#include <random>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "ingot/base/error.h"
#include "ingot/base/file.h"
#include "ingot/base/interrupt.h"
#include "ingot/base/machine.h"
#include "ingot/cli/program.h"
#include "ingot/cli/supervisor.h"
#include "ingot/cli/train_command.h"
#include "ingot/dist/store.h"
#include "ingot/train/run_directory.h"

namespace ingot::cli {
namespace {

std::string RandomToken() {
  std::random_device device;
  std::string token;
  for (int i = 0; i < 4; ++i) token += fmt::format("{:08x}", device());
  return token;
}

// For `ingot top` and workers that are started by hand: readable by this user alone.
void KeepToken(const std::string& folder, const std::string& token) {
  RealFileSystem().CreateDirectories(folder);
  const std::string path = folder + "/token";
  const int fd = ::open(path.c_str(), O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0 || ::write(fd, token.data(), token.size()) != static_cast<ssize_t>(token.size())) {
    const int failed = errno;
    if (fd >= 0) ::close(fd);
    throw FileError("write", path, failed);
  }
  ::close(fd);
}

// For the supervisor that follows this one, should it die.
void KeepArguments(const std::string& folder, int workers,
                   const std::vector<std::string>& arguments) {
  std::string text = std::to_string(workers) + "\n";
  for (const std::string& argument : arguments) text += argument + "\n";
  dist::FileStore(folder).Put("arguments", text);
}

class Launch : public Verb {
 public:
  void Declare(Options& options) override {
    options.Number("-n,--workers", &workers_, "N", "worker processes (default: one for each CPU)",
                   1);
    options.Flag("--ledger", &ledger_, "writes samples.jsonl: which rank used which sample");
    command_.Declare(options);
  }

  int Run(const Streams& streams) override {
    const train::TrainRequest request = command_.MakeRequest(streams);
    if (command_.explains()) return command_.Explain(request, streams);
    const int workers = static_cast<int>(workers_.value_or(AvailableCpus()));
    const InterruptGuard interrupts;
    // Held, with its lock, while the workers run.
    const train::RunDirectory directory(RealFileSystem(), request.out, request.mode);
    RealFileSystem().RemoveAll(directory.File(train::kRendezvousFolder));
    const std::string token = RandomToken();
    KeepToken(directory.File(train::kRendezvousFolder), token);

    SupervisorOptions options;
    options.workers = workers;
    options.pids_file = directory.File(train::kPidsFile);
    options.arguments = {"worker",
                         "--rendezvous=file://" + directory.File(train::kRendezvousFolder),
                         "--out=" + request.out, "--workers=" + std::to_string(workers)};
    if (ledger_) options.arguments.push_back("--ledger");
    if (!command_.has_threads()) {
      options.arguments.push_back("--threads=" +
                                  std::to_string(std::max(1, AvailableCpus() / workers)));
    }
    for (const std::string& argument : command_.Arguments()) options.arguments.push_back(argument);
    KeepArguments(directory.File(train::kRendezvousFolder), workers, options.arguments);
    options.environment = {{"INGOT_TOKEN", token}, {"INGOT_SUPERVISED", "1"}};
    return Supervisor(std::move(options), streams).Run();
  }

 private:
  TrainCommand command_;
  std::optional<int64_t> workers_;
  bool ledger_ = false;
};

}  // namespace

void AddLaunch(Program& program) {
  program.Add<Launch>(
      {.name = "launch",
       .summary = "train a model with several processes of this machine",
       .details =
           "Takes all that `ingot train` takes and leaves the same files; the weights are the "
           "same, "
           "bit for\nbit, for any number of workers. Workers that die are started again and go on "
           "from the others'\nstate.",
       .example = "ingot launch -n 4 examples/mnist/mnist.yaml --out runs/mnist"});
}

}  // namespace ingot::cli
