// ingot export: a trained model as an ONNX file.
#include "ingot/onnx/export.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "ingot/base/error.h"
#include "ingot/base/file.h"
#include "ingot/base/text.h"
#include "ingot/cli/job_arguments.h"
#include "ingot/cli/program.h"
#include "ingot/infer/predictor.h"
#include "ingot/train/run_directory.h"

namespace ingot::cli {
namespace {

// What the model says of itself: the training job, what was measured, and what predictions need to
// know of the data (train/model_metadata.h).
std::map<std::string, std::string> MetadataOf(const std::string& run,
                                              const infer::Predictor& predictor) {
  std::map<std::string, std::string> metadata = predictor.metadata();
  metadata["ingot.job"] = ReadFile(run + "/" + train::kJobFile);
  metadata["ingot.checkpoint"] = predictor.checkpoint();
  const std::string summary = run + "/" + train::kSummaryFile;
  if (RealFileSystem().Exists(summary)) metadata["ingot.metrics"] = ReadFile(summary);
  return metadata;
}

class Export : public Verb {
 public:
  void Declare(Options& options) override {
    options.Positional("RUN", &run_, "the run directory of a trained model");
    options.Text("-o,--out", &out_, "FILE", "the ONNX file to be written (needed)");
    options.Text(
        "--checkpoint", &checkpoint_, "NAME",
        "final, best, newest or a folder in RUN/checkpoints (default: final, else newest)");
    options.Number("--weights-inside", &inside_, "BYTES",
                   "weights of more bytes go to a file of their own, FILE.data (default: 2 GB)", 0);
  }

  int Run(const Streams& streams) override {
    if (out_.empty()) {
      throw Error(ErrorCode::kInvalidInput, "-o is missing",
                  "ingot export runs/mnist -o mnist.onnx");
    }
    const std::string run = RunFolder(run_);
    infer::PredictorOptions options;
    options.checkpoint = checkpoint_;
    const infer::Predictor predictor = infer::Predictor::Load(run, options);
    onnx::ExportOptions request;
    request.metadata = MetadataOf(run, predictor);
    if (inside_) request.most_weights_inside = static_cast<uint64_t>(*inside_);
    const onnx::ExportedFiles files =
        onnx::ExportModel(*predictor.network().graph, predictor.parameters(), predictor.registry(),
                          RealFileSystem(), out_, request);
    const std::string beside = files.weights.empty() ? "" : " and " + files.weights;
    streams.Out(fmt::format("{}{}: {}\n", files.model, beside, HumanBytes(files.bytes)));
    return kOk;
  }

 private:
  std::string run_;
  std::string out_;
  std::string checkpoint_;
  std::optional<int64_t> inside_;
};

}  // namespace

void AddExport(Program& program) {
  program.Add<Export>(
      {.name = "export",
       .summary = "write a trained model as an ONNX file",
       .details = "The file holds the weights and, as metadata, the training job, the labels, and "
                  "what was measured.\nIts ops are ONNX's own, of opset 21.",
       .example = "ingot export runs/mnist -o mnist.onnx\n"
                  "ingot export runs/mnist -o best.onnx --checkpoint best"});
}

}  // namespace ingot::cli
