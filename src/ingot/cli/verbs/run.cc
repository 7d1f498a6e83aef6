// ingot run: a model on arrays.
#include <algorithm>
#include <map>
#include <memory>

#include <fmt/format.h>

#include "ingot/base/error.h"
#include "ingot/base/file.h"
#include "ingot/base/machine.h"
#include "ingot/base/text.h"
#include "ingot/cli/model_arguments.h"
#include "ingot/cli/program.h"
#include "ingot/formats/npy.h"
#include "ingot/infer/session.h"

namespace ingot::cli {
namespace {

// Arrays that no input takes may stand for initializers that the model lets be replaced.
std::unique_ptr<infer::Session> LoadFor(const std::string& model, infer::SessionOptions options,
                                        const formats::NpzFile& arrays) {
  std::unique_ptr<infer::Session> session = infer::Session::Load(model, options);
  for (const std::string& name : arrays.names()) {
    const bool is_input =
        std::any_of(session->inputs().begin(), session->inputs().end(),
                    [&](const infer::PortInfo& port) { return port.name == name; });
    if (!is_input && session->IsReplaceable(name)) options.initializers[name] = arrays.Get(name);
  }
  if (options.initializers.empty()) return session;
  return infer::Session::Load(model, options);
}

class RunModel : public Verb {
 public:
  void Declare(Options& options) override {
    options.Positional("MODEL", &model_, "an ONNX file");
    options.Text("--inputs", &inputs_, "FILE",
                 "an npz file: arrays by the names of the inputs (needed)");
    options.Text("--outputs", &outputs_, "FILE",
                 "the npz file to be written: arrays by the names of the outputs (needed)");
    options.Choice("--precision", &precision_, "of products: f32 (default) or bf16",
                   {"f32", "bf16"});
    options.Threads(&threads_, "threads (default: the CPUs it may use)");
  }

  int Run(const Streams& streams) override {
    CheckGiven("--inputs", inputs_);
    CheckGiven("--outputs", outputs_);
    infer::SessionOptions options;
    options.precision = infer::ParsePrecision(precision_);
    options.threads = static_cast<int>(threads_.value_or(AvailableCpus()));
    const formats::NpzFile arrays = formats::NpzFile::Open(inputs_);
    const std::unique_ptr<infer::Session> session = LoadFor(model_, options, arrays);
    const std::vector<Tensor> results = session->Run(ReadInputs(*session, arrays, inputs_));
    Write(*session, results);
    for (size_t i = 0; i < results.size(); ++i) {
      streams.Out(fmt::format("{} {}\n", session->outputs()[i].name, results[i].Describe()));
    }
    return kOk;
  }

 private:
  static void CheckGiven(const std::string& option, const std::string& value) {
    if (!value.empty()) return;
    throw Error(ErrorCode::kInvalidInput, option + " is missing",
                "ingot run model.onnx --inputs in.npz --outputs out.npz");
  }

  void Write(const infer::Session& session, const std::vector<Tensor>& results) const {
    std::vector<formats::NamedTensor> arrays;
    for (size_t i = 0; i < results.size(); ++i) {
      // NumPy has no bf16.
      const bool widen = results[i].dtype() == DType::kBf16;
      arrays.push_back(
          {session.outputs()[i].name, widen ? results[i].Cast(DType::kF32) : results[i]});
    }
    std::vector<std::byte> bytes;
    formats::WriteNpz(arrays, formats::AppendTo(bytes));
    WriteFileAtomically(RealFileSystem(), outputs_, formats::AsText(bytes));
  }

  std::string model_;
  std::string inputs_;
  std::string outputs_;
  std::string precision_ = "f32";
  std::optional<int64_t> threads_;
};

}  // namespace

void AddRun(Program& program) {
  program.Add<RunModel>({.name = "run",
                         .summary = "run an ONNX model on arrays",
                         .details = "Prints the type and shape of each output.",
                         .example = "ingot run model.onnx --inputs in.npz --outputs out.npz\n"
                                    "ingot run model.onnx --inputs in.npz --outputs out.npz "
                                    "--precision bf16 --threads 2"});
}

}  // namespace ingot::cli
