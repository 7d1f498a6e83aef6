// ingot worker: one of several processes that train a job together.
#include <optional>

#include "ingot/base/environment.h"
#include "ingot/base/error.h"
#include "ingot/base/file.h"
#include "ingot/cli/group_environment.h"
#include "ingot/cli/program.h"
#include "ingot/cli/supervisor_line.h"
#include "ingot/cli/supervisor_watch.h"
#include "ingot/cli/train_command.h"
#include "ingot/dist/member.h"

namespace ingot::cli {
namespace {

class Worker : public Verb {
 public:
  void Declare(Options& options) override {
    command_.Declare(options);
    options.Text("--rendezvous", &rendezvous_, "URL",
                 "where the workers of the job find each other: file:///DIR, a folder that all of "
                 "them see; tcp://HOST:PORT, where the first worker on HOST serves it; "
                 "etcd://HOST:2379/JOB (default: what torchrun, mpirun, srun say)");
    options.Number("--workers", &workers_, "N",
                   "workers to wait for at the beginning (default: WORLD_SIZE and the like)", 1);
    options.Flag("--ledger", &ledger_, "writes samples.jsonl: which rank used which sample");
  }

  int Run(const Streams& streams) override {
    std::optional<SupervisorLine> line;
    if (GetEnvironment("INGOT_SUPERVISED") == kSupervisedRemotely) line.emplace();
    train::TrainRequest request = command_.MakeRequest(streams);
    if (command_.explains()) return command_.Explain(request, streams);
    // Without a place of its own: that of torchrun, mpirun, srun.
    std::optional<train::GroupRequest> group;
    if (rendezvous_.empty()) group = GroupOfEnvironment(&request.out);
    if (!group) {
      group = ReadGroupEnvironment();
      if (line) group->token = line->token();
      OpenRendezvous(rendezvous_, *group);
    }
    if (workers_) group->expected_workers = static_cast<int>(*workers_);
    group->ledger = ledger_;
    const auto transports = group->transports;
    std::optional<SupervisorWatch> watch;
    if (GetEnvironment("INGOT_SUPERVISED")) {
      request.mode = train::RunMode::kShared;
      if (!line) watch.emplace(request.out);
    }
    request.group = std::move(group);
    try {
      const int status = command_.Run(std::move(request), streams);
      transports->Finish();
      return status;
    } catch (const dist::PeerFailed& failed) {
      return failed.exit_status();  // the one that failed has said why
    }
  }

 private:
  TrainCommand command_{"worker"};
  std::string rendezvous_;
  std::optional<int64_t> workers_;
  bool ledger_ = false;
};

}  // namespace

void AddWorker(Program& program) {
  program.Add<Worker>(
      {.name = "worker",
       .summary = "train a job as one of several processes that a scheduler has started",
       .details =
           "Takes all that `ingot train` takes, but for the checks before a run. The rank and the "
           "number of\nworkers come from the environment as torchrun, Open MPI, Slurm and PMI set "
           "it (RANK, WORLD_SIZE, ...);\nboth may be left out.",
       .example =
           "ingot worker job.yaml --out runs/big --rendezvous file:///shared/big --workers 4\n"
           "ingot worker job.yaml --out runs/big --rendezvous etcd://10.0.0.5:2379/big --workers "
           "4"});
}

}  // namespace ingot::cli
