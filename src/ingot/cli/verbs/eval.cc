// ingot eval: how good a trained model is on the test data.
#include "ingot/base/error.h"
#include "ingot/base/file.h"
#include "ingot/base/machine.h"
#include "ingot/cli/evaluation_report.h"
#include "ingot/cli/job_arguments.h"
#include "ingot/cli/program.h"
#include "ingot/plot/picture.h"

namespace ingot::cli {
namespace {

constexpr int64_t kSheetSamples = 40;

class Eval : public Verb {
 public:
  void Declare(Options& options) override {
    options.Positional("RUN", &run_,
                       "the run directory of a trained model, or an ONNX file that Ingot exported");
    options.Text("--data", &data_, "DIR", "the folder with the data's files (default: the job's)");
    options.Text(
        "--checkpoint", &checkpoint_, "NAME",
        "final, best, newest or a folder in RUN/checkpoints (default: final, else newest)");
    options.Threads(&threads_, "threads (default: the CPUs it may use)");
    options.Text("--confusion", &confusion_, "FILE", "draws the confusion matrix, as .svg or .png");
    options.Number("--worst", &worst_, "N",
                   "lists the N samples whose class got the lowest probability", 1);
    options.Text("--sheet", &sheet_, "FILE",
                 "draws the pictures of the worst samples (of 40 without --worst) as a .png");
    options.Flag("--json", &json_, "prints JSON");
  }

  int Run(const Streams& streams) override {
    if (!confusion_.empty()) plot::CheckPictureName("--confusion", confusion_);
    if (!sheet_.empty() && !sheet_.ends_with(".png")) {
      throw Error(ErrorCode::kInvalidInput, "--sheet: '" + sheet_ + "' is not a .png file");
    }
    if (!data_.empty()) CheckFolder("--data", data_);
    EvaluationRequest request;
    request.run = RunOrModel(run_);
    request.predictor.checkpoint = checkpoint_;
    request.predictor.data_folder = data_;
    request.predictor.threads = static_cast<int>(threads_.value_or(AvailableCpus()));
    request.worst = worst_.value_or(sheet_.empty() ? 0 : kSheetSamples);
    request.pictures = !sheet_.empty();
    EvaluationReport report = EvaluateRun(request);
    if (!confusion_.empty()) {
      WriteFileAtomically(RealFileSystem(), confusion_, ConfusionPicture(report, confusion_));
    }
    if (!sheet_.empty()) WriteFileAtomically(RealFileSystem(), sheet_, WorstSheet(report));
    if (!worst_) report.worst.clear();  // only the sheet was wanted
    streams.Out(json_ ? ReportJson(report) : ReportText(report));
    return kOk;
  }

 private:
  std::string run_;
  std::string data_;
  std::string checkpoint_;
  std::optional<int64_t> threads_;
  std::string confusion_;
  std::optional<int64_t> worst_;
  std::string sheet_;
  bool json_ = false;
};

}  // namespace

void AddEval(Program& program) {
  program.Add<Eval>(
      {.name = "eval",
       .summary = "evaluate a trained model on the test data",
       .details =
           "A classifier's accuracy, precision, recall, F1, AUC and confusion "
           "matrix; MAE, RMSE and R2\nof a regression; loss and perplexity of a sequence model.",
       .example = "ingot eval runs/mnist\n"
                  "ingot eval runs/mnist --confusion confusion.svg\n"
                  "ingot eval runs/mnist --worst 20 --sheet worst.png\n"
                  "ingot eval runs/mnist --data other/folder --json"});
}

}  // namespace ingot::cli
