// ingot launch: trains a job with several worker processes, of this machine or of several over ssh.
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "ingot/base/environment.h"
#include "ingot/base/error.h"
#include "ingot/base/file.h"
#include "ingot/base/file_descriptor.h"
#include "ingot/base/interrupt.h"
#include "ingot/base/machine.h"
#include "ingot/base/text.h"
#include "ingot/cli/hosts.h"
#include "ingot/cli/program.h"
#include "ingot/cli/supervisor.h"
#include "ingot/cli/supervisor_line.h"
#include "ingot/cli/token.h"
#include "ingot/cli/train_command.h"
#include "ingot/dist/store.h"
#include "ingot/dist/tcp_store.h"
#include "ingot/train/run_directory.h"

namespace ingot::cli {
namespace {

// For `ingot top` and workers that are started by hand: readable by this user alone.
void KeepToken(const std::string& folder, const std::string& token) {
  RealFileSystem().CreateDirectories(folder);
  const std::string path = folder + "/token";
  const FileDescriptor file(::open(path.c_str(), O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600));
  if (!file.valid() ||
      ::write(file.get(), token.data(), token.size()) != static_cast<ssize_t>(token.size())) {
    throw FileError("write", path, errno);
  }
}

// For the supervisor that follows this one, should it die.
void KeepArguments(const std::string& folder, int workers, int64_t grace,
                   const std::vector<std::string>& arguments) {
  std::string text = std::to_string(workers) + "\n";
  for (const std::string& argument : arguments) text += argument + "\n";
  dist::FileStore store(folder);
  store.Put("grace", std::to_string(grace));
  store.Put("arguments", text);
}

// Variables that concern the workers, wherever they are.
std::vector<std::pair<std::string, std::string>> PassedOn() {
  std::vector<std::pair<std::string, std::string>> variables;
  for (const char* name :
       {"INGOT_BEAT_SECONDS", "INGOT_SILENCE_SECONDS", "INGOT_LATE_SECONDS", "INGOT_START_SECONDS",
        "INGOT_TRANSPORT", "INGOT_TRANSPORTS", "INGOT_DATA"}) {
    if (const auto value = GetEnvironment(name)) variables.emplace_back(name, *value);
  }
  return variables;
}

// "ssh -p 2222" -> its words.
std::vector<std::string> SshWords(const std::string& given) {
  std::vector<std::string> words;
  for (std::string& word : Split(given, ' ')) {
    if (!word.empty()) words.push_back(std::move(word));
  }
  if (words.empty()) {
    throw Error(ErrorCode::kInvalidInput, "--ssh: the command is empty",
                "give a command that is called as `COMMAND HOST WORDS`, such as 'ssh -p 2222'");
  }
  return words;
}

class Launch : public Verb {
 public:
  void Declare(Options& options) override {
    options.Number("-n,--workers", &workers_, "N",
                   "worker processes (default: as many as the job's mesh has, else one for each "
                   "CPU)",
                   1);
    options.Text("--hosts", &hosts_, "LIST",
                 "starts the workers on these hosts over ssh: node1:2,user@node2:4 (workers on "
                 "each; 1 where no number is given)");
    options.Text("--ssh", &ssh_, "COMMAND",
                 "what starts a command on a host, called as `COMMAND HOST WORDS` (default: "
                 "INGOT_SSH, else ssh)");
    options.Text("--program", &program_, "PATH",
                 "the ingot of the hosts (default: the path of this one)");
    options.Number("--grace", &grace_, "SECONDS",
                   "how long after Ctrl-C a worker may take for its step and the checkpoint until "
                   "it is ended (default: 10)",
                   0);
    options.Flag("--ledger", &ledger_, "writes samples.jsonl: which rank used which sample");
    command_.Declare(options);
  }

  int Run(const Streams& streams) override {
    const std::vector<Host> hosts = CheckHosts();
    train::TrainRequest request = command_.MakeRequest(streams);
    SupervisorOptions options;
    options.workers = WorkersOf(hosts, request.job);
    if (command_.explains()) {
      request.setup.workers = options.workers;
      return command_.Explain(request, streams);
    }
    options.grace_seconds = static_cast<double>(Grace());
    const InterruptGuard interrupts(FurtherInterrupts::kAreCounted);
    // Held, with its lock, while the workers run.
    const train::RunDirectory directory(RealFileSystem(), request.out, request.mode);
    const std::string meeting = directory.File(train::kRendezvousFolder);
    RealFileSystem().RemoveAll(meeting);
    options.token = RandomToken();
    KeepToken(meeting, options.token);
    options.pids_file = directory.File(train::kPidsFile);
    dist::FileStore records(meeting);
    options.has_ended = [&records] { return records.Get("ended").has_value(); };
    if (!hosts.empty()) return RunOnHosts(hosts, request.out, meeting, options, streams);

    const int workers = options.workers;
    options.arguments = WorkerArguments("file://" + meeting, request.out, workers);
    if (!command_.has_threads()) {
      options.arguments.push_back("--threads=" +
                                  std::to_string(std::max(1, AvailableCpus() / workers)));
    }
    KeepArguments(meeting, workers, Grace(), options.arguments);
    options.environment = {{"INGOT_TOKEN", options.token}, {"INGOT_SUPERVISED", "1"}};
    return Supervisor(std::move(options), streams).Run();
  }

 private:
  int64_t Grace() const { return grace_.value_or(10); }

  std::vector<Host> CheckHosts() const {
    if (hosts_.empty()) {
      const char* lonely = !ssh_.empty() ? "--ssh" : !program_.empty() ? "--program" : nullptr;
      if (lonely == nullptr) return {};
      throw Error(ErrorCode::kInvalidInput, std::string(lonely) + " goes with --hosts alone",
                  "name the hosts: --hosts node1:2,node2:2");
    }
    if (workers_) {
      throw Error(ErrorCode::kInvalidInput, "--workers and --hosts exclude each other",
                  "the list says how many workers each host has: --hosts node1:2,node2:2");
    }
    return ParseHosts(hosts_);
  }

  std::vector<std::string> WorkerArguments(const std::string& rendezvous, const std::string& out,
                                           int workers) const {
    std::vector<std::string> arguments = {"worker", "--rendezvous=" + rendezvous, "--out=" + out,
                                          "--workers=" + std::to_string(workers)};
    if (ledger_) arguments.push_back("--ledger");
    for (const std::string& argument : command_.Arguments()) arguments.push_back(argument);
    return arguments;
  }

  // The records are served from here, and kept in the run directory, for `ingot top`.
  int RunOnHosts(const std::vector<Host>& hosts, const std::string& out, const std::string& meeting,
                 SupervisorOptions& options, const Streams& streams) {
    std::string address = GetEnvironment("INGOT_HOST").value_or("");
    if (address.empty()) address = dist::AddressTowards({AddressOf(hosts[0]), 22});
    if (address.empty()) address = dist::OwnAddress();
    const dist::TcpStoreServer server({address, 0}, options.token,
                                      std::make_shared<dist::FileStore>(meeting));
    const std::vector<std::string> ssh =
        SshWords(!ssh_.empty() ? ssh_ : GetEnvironment("INGOT_SSH").value_or("ssh"));
    const std::string here = std::filesystem::current_path().string();
    std::vector<std::string> program =
        WorkerArguments("tcp://" + server.endpoint().ToString(), out, options.workers);
    program.insert(program.begin(), program_.empty() ? ProgramPath() : program_);
    for (const Host& host : hosts) {
      for (int i = 0; i < host.workers; ++i) {
        std::vector<std::pair<std::string, std::string>> environment = PassedOn();
        environment.emplace_back("INGOT_SUPERVISED", kSupervisedRemotely);
        environment.emplace_back("INGOT_RANK", std::to_string(options.remote.size()));
        environment.emplace_back("INGOT_LOCAL_WORKERS", std::to_string(host.workers));
        RemoteWorker worker = {host.name, ssh};
        worker.command.push_back(host.name);
        worker.command.push_back(RemoteCommand(here, environment, program));
        options.remote.push_back(std::move(worker));
      }
    }
    return Supervisor(std::move(options), streams).Run();
  }

  static std::string ProgramPath() {
    return std::filesystem::read_symlink("/proc/self/exe").string();
  }

  int WorkersOf(const std::vector<Host>& hosts, const train::Job& job) const {
    int workers = 0;
    for (const Host& host : hosts) workers += host.workers;
    if (!hosts.empty()) {
      CheckMesh(job, "the sum over --hosts is", workers);
      return workers;
    }
    if (!job.mesh) return CheckIsRoomFor(workers_.value_or(AvailableCpus()));
    const int places = job.mesh->shape().workers();
    CheckMesh(job, "-n is", workers_.value_or(places));
    return CheckIsRoomFor(places);
  }

  // Processes that a slip of the finger asks for would take the machine down.
  static int CheckIsRoomFor(int64_t workers) {
    const int cpus = AvailableCpus();
    const int64_t most = std::max(64, 16 * cpus);
    if (workers <= most) return static_cast<int>(workers);
    throw Error(ErrorCode::kInvalidInput,
                fmt::format("{} workers are too many for this machine: with {} CPU{}, at most {}",
                            workers, cpus, cpus == 1 ? "" : "s", most),
                "a worker for each CPU is best; --hosts spreads them over machines");
  }

  static void CheckMesh(const train::Job& job, const std::string& given, int64_t workers) {
    if (!job.mesh || workers == job.mesh->shape().workers()) return;
    const int places = job.mesh->shape().workers();
    throw Error(ErrorCode::kInvalidInput,
                fmt::format("{} {}, but the job's mesh ({}) has {} workers", given, workers,
                            job.mesh->shape().ToString(), places),
                fmt::format("give as many: -n {}, or the sum over --hosts", places));
  }

  TrainCommand command_{"launch"};
  std::optional<int64_t> workers_;
  std::string hosts_;
  std::string ssh_;
  std::string program_;
  std::optional<int64_t> grace_;
  bool ledger_ = false;
};

}  // namespace

void AddLaunch(Program& program) {
  program.Add<Launch>(
      {.name = "launch",
       .summary = "train a model with several processes of this machine, or of several",
       .details =
           "Takes all that `ingot train` takes, but for the checks before a run, and leaves the "
           "same files. The\nweights are those of `ingot train`, bit for bit, for any number of "
           "workers, unless the job asks for\nother arithmetic (mesh.tensor, train.sync, "
           "train.compression: docs/distributed.md). Workers that die\nare started again and go "
           "on from the others' state; where each holds a part of it "
           "(mesh,\ntrain.shard_optimizer), all go "
           "back to the newest checkpoint. With --hosts, ssh must need no password,\nand the hosts "
           "must have the job, its data, the program and this folder where they are here.",
       .example = "ingot launch -n 4 examples/mnist/mnist.yaml --out runs/mnist\n"
                  "ingot launch examples/mnist/mnist.yaml --set mesh.tensor=2 --out runs/mesh\n"
                  "ingot launch --hosts node1:2,node2:2 job.yaml --out /shared/runs/big"});
}

}  // namespace ingot::cli
