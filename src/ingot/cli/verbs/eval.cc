// ingot eval: how good a trained model is on the test data.
#include "ingot/base/error.h"
#include "ingot/base/interrupt.h"
#include "ingot/base/machine.h"
#include "ingot/cli/evaluation_report.h"
#include "ingot/cli/job_arguments.h"
#include "ingot/cli/program.h"

namespace ingot::cli {
namespace {

class Eval : public Verb {
 public:
  void Declare(Options& options) override {
    options.Positional("RUN", &run_, "the run directory of a trained model");
    options.Text("--data", &data_, "DIR", "the folder with the data's files (default: the job's)");
    options.Text(
        "--checkpoint", &checkpoint_, "NAME",
        "final, best, newest or a folder in RUN/checkpoints (default: final, else newest)");
    options.Number("--threads", &threads_, "N", "threads (default: the CPUs it may use)", 1);
    options.Flag("--json", &json_, "prints JSON");
  }

  int Run(const Streams& streams) override {
    if (!data_.empty()) CheckFolder("--data", data_);
    EvaluationRequest request;
    request.run = RunFolder(run_);
    request.predictor.checkpoint = checkpoint_;
    request.predictor.data_folder = data_;
    request.predictor.threads = static_cast<int>(threads_.value_or(AvailableCpus()));
    const InterruptGuard guard;
    const EvaluationReport report = EvaluateRun(request);
    streams.Out(json_ ? ReportJson(report) : ReportText(report));
    return kOk;
  }

 private:
  std::string run_;
  std::string data_;
  std::string checkpoint_;
  std::optional<int64_t> threads_;
  bool json_ = false;
};

}  // namespace

void AddEval(Program& program) {
  program.Add<Eval>({.name = "eval",
                     .summary = "evaluate a trained model on the test data",
                     .details = "A classifier's accuracy, precision, recall, F1, AUC and confusion "
                                "matrix; MAE, RMSE and R2\nof a regression.",
                     .example = "ingot eval runs/mnist\n"
                                "ingot eval runs/mnist --data other/folder --json"});
}

}  // namespace ingot::cli
