// ingot graph: the graphs of a job, as text or as a drawing.
#include "ingot/base/error.h"
#include "ingot/base/file.h"
#include "ingot/cli/job_arguments.h"
#include "ingot/cli/mnist.h"
#include "ingot/cli/program.h"
#include "ingot/compiler/compile.h"
#include "ingot/ir/dot.h"
#include "ingot/ir/printer.h"
#include "ingot/train/setup.h"

namespace ingot::cli {
namespace {

class Graph : public Verb {
 public:
  void Declare(Options& options) override {
    job_.Declare(options, true);
    options.Choice(
        "--stage", &stage_,
        "the network alone, the whole training step (default), or what it is compiled to",
        {"forward", "step", "compiled"});
    options.Flag("--dot", &dot_, "draws: the graph in the DOT language, for Graphviz");
    options.Text("--out", &out_, "FILE", "writes to a file");
  }

  int Run(const Streams& streams) override {
    if (dot_ && stage_ == "compiled") {
      throw Error(ErrorCode::kInvalidInput, "a compiled step has no drawing",
                  "leave --dot out, or draw --stage step");
    }
    train::SetupOptions options;
    options.find_mnist = MnistFinder(streams, false);
    const train::TrainingSetup setup = train::PrepareTraining(train::ReadJob(job_.Load()), options);
    const std::string text = Text(setup);
    if (out_.empty()) {
      streams.Out(text);
    } else {
      WriteFileAtomically(RealFileSystem(), out_, text);
    }
    return kOk;
  }

 private:
  std::string Text(const train::TrainingSetup& setup) const {
    if (stage_ == "compiled") return compiler::PlanOf(*setup.programs[0]).description;
    const ir::Graph& graph = stage_ == "forward" ? *setup.network.graph : *setup.steps[0].graph;
    return dot_ ? ir::ToDot(graph) : ir::Print(graph);
  }

  JobArguments job_;
  std::string stage_ = "step";
  std::string out_;
  bool dot_ = false;
};

}  // namespace

void AddGraph(Program& program) {
  program.Add<Graph>({.name = "graph",
                      .summary = "print or draw the graph of a job's training step",
                      .details = "",
                      .example =
                          "ingot graph examples/mnist/mnist.yaml --stage forward\n"
                          "ingot graph examples/mnist/mnist.yaml --dot | dot -Tsvg > step.svg"});
}

}  // namespace ingot::cli
