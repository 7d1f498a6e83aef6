// ingot train: runs a job, or goes on with a run.
#include "ingot/cli/group_environment.h"
#include "ingot/cli/program.h"
#include "ingot/cli/train_command.h"
#include "ingot/dist/member.h"

namespace ingot::cli {
namespace {

class Train : public Verb {
 public:
  void Declare(Options& options) override {
    command_.Declare(options);
    command_.DeclareChecks(options);
  }

  int Run(const Streams& streams) override {
    train::TrainRequest request = command_.MakeRequest(streams);
    if (command_.explains()) return command_.Explain(request, streams);
    // As one of several processes of mpirun, srun or torchrun.
    request.group = GroupOfEnvironment(&request.out);
    const auto transports = request.group ? request.group->transports : nullptr;
    try {
      const int status = command_.Run(std::move(request), streams);
      if (transports != nullptr) transports->Finish();
      return status;
    } catch (const dist::PeerFailed& failed) {
      return failed.exit_status();  // the one that failed has said why
    }
  }

 private:
  TrainCommand command_{"train"};
};

}  // namespace

void AddTrain(Program& program) {
  program.Add<Train>(
      {.name = "train",
       .summary = "train a model from a job file, or go on with a run",
       .details =
           "The trained weights depend on the job alone, not on threads or interruptions. Ctrl-C "
           "ends\nthe run after the step at hand, with a checkpoint. Processes that mpirun, "
           "torchrun "
           "or srun has\nstarted train together (docs/distributed.md).",
       .example = "ingot train examples/mnist/mnist.yaml --out runs/mnist\n"
                  "ingot train examples/mnist/mnist.yaml --set optimizer.adam.learning_rate=0.003\n"
                  "ingot train examples/mnist/mnist.yaml --find-learning-rate\n"
                  "ingot train --resume runs/mnist --epochs 20\n"
                  "mpirun -n 4 ingot train examples/mnist/mnist.yaml --out runs/mnist"});
}

}  // namespace ingot::cli
