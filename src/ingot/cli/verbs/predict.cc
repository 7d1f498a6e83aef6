// ingot predict: what a trained model says about a picture, arrays or a table.
#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string_view>
#include <system_error>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/mman.h>
#include <unistd.h>

#include "ingot/base/bars.h"
#include "ingot/base/environment.h"
#include "ingot/base/error.h"
#include "ingot/base/file.h"
#include "ingot/base/file_descriptor.h"
#include "ingot/base/machine.h"
#include "ingot/base/named_node.h"
#include "ingot/base/text.h"
#include "ingot/cli/job_arguments.h"
#include "ingot/cli/prediction_input.h"
#include "ingot/cli/program.h"

namespace ingot::cli {
namespace {

using Json = nlohmann::ordered_json;

bool IsPipe(const std::string& path) {
  std::error_code ignored;
  const std::filesystem::file_status status = std::filesystem::status(path, ignored);
  return std::filesystem::is_fifo(status) || std::filesystem::is_socket(status) ||
         std::filesystem::is_character_file(status);
}

// A file without a name that holds bytes in memory and has a path while this lives.
class MemoryFile {
 public:
  MemoryFile(const std::string& name, std::string_view bytes)
      : file_(::memfd_create("ingot-input", MFD_CLOEXEC)) {
    if (!file_.valid()) throw FileError("hold in memory", name, errno);
    const std::unique_ptr<WritableFile> file = RealFileSystem().OpenForWrite(path());
    file->Write(bytes);
    file->Close();
  }
  std::string path() const { return "/proc/self/fd/" + std::to_string(file_.get()); }

 private:
  FileDescriptor file_;
};

// Sample `index` of the samples alone.
Tensor SampleOf(const Tensor& samples, int64_t index) {
  std::vector<int64_t> dims = samples.shape().dims();
  dims[0] = 1;
  Tensor sample(samples.dtype(), Shape(dims));
  std::memcpy(sample.raw(), samples.raw() + static_cast<size_t>(index) * sample.bytes(),
              sample.bytes());
  return sample;
}

// A field of a CSV file; quoted where it has to be.
std::string CsvField(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + "\"";
}

// What the model gives for all samples, as rows of numbers: probabilities of classes, or values.
struct Predictions {
  bool is_classifier = false;
  size_t width = 0;
  std::vector<std::string> names;  // of the columns: classes, or "0", "1", ...
  std::vector<double> values;      // [n, width]

  size_t size() const { return width == 0 ? 0 : values.size() / width; }
  const double* Row(size_t i) const { return values.data() + i * width; }
  size_t Best(size_t i) const {
    return static_cast<size_t>(std::max_element(Row(i), Row(i) + width) - Row(i));
  }
};

Predictions PredictSamples(infer::Predictor& predictor, const Tensor& samples) {
  Predictions predictions;
  Tensor output = predictor.PredictRaw(samples);
  predictions.is_classifier = predictor.output_kind() != nn::OutputKind::kValues;
  if (predictions.is_classifier) output = predictor.Probabilities(output);
  predictions.values = output.ToDoubles();
  predictions.width = static_cast<size_t>(std::max<int64_t>(predictor.output_shape().size(), 1));
  if (predictions.is_classifier && predictions.width == 1) {
    // One probability decides between two classes.
    std::vector<double> both;
    for (const double p : predictions.values) both.insert(both.end(), {1 - p, p});
    predictions.values = std::move(both);
    predictions.width = 2;
  }
  for (size_t c = 0; c < predictions.width; ++c) {
    const std::vector<std::string>& names = predictor.class_names();
    predictions.names.push_back(c < names.size() ? names[c] : std::to_string(c));
  }
  return predictions;
}

std::string ChartOf(const Predictions& predictions) {
  const double* row = predictions.Row(0);
  if (!predictions.is_classifier) {
    std::string text;
    for (size_t c = 0; c < predictions.width; ++c) {
      if (predictions.width > 1) text += fmt::format("{:<6} ", predictions.names[c]);
      text += FormatNumber(row[c]) + "\n";
    }
    return text;
  }
  std::vector<Bar> bars;
  for (size_t c = 0; c < predictions.width; ++c) {
    bars.push_back({predictions.names[c], row[c], fmt::format("{:.2f}%", 100 * row[c])});
  }
  BarStyle style;
  style.width = 40;
  style.full_value = 1;
  style.unicode = LocaleIsUtf8();
  const size_t best = predictions.Best(0);
  return fmt::format("{} ({:.2f}%)\n\n", predictions.names[best], 100 * row[best]) +
         BarChart(bars, style);
}

Json JsonOf(const Predictions& predictions) {
  const double* row = predictions.Row(0);
  Json json;
  if (!predictions.is_classifier) {
    json["values"] = std::vector<double>(row, row + predictions.width);
    return json;
  }
  json["prediction"] = predictions.names[predictions.Best(0)];
  json["class"] = predictions.Best(0);
  for (size_t c = 0; c < predictions.width; ++c)
    json["probabilities"][predictions.names[c]] = row[c];
  return json;
}

std::string CsvOf(const Predictions& predictions) {
  std::string text = "row";
  if (predictions.is_classifier) text += ",prediction";
  const char* prefix = predictions.is_classifier ? "probability_" : "value_";
  for (const std::string& name : predictions.names) text += "," + CsvField(prefix + name);
  text += "\n";
  for (size_t i = 0; i < predictions.size(); ++i) {
    text += std::to_string(i);
    if (predictions.is_classifier) text += "," + CsvField(predictions.names[predictions.Best(i)]);
    for (size_t c = 0; c < predictions.width; ++c) {
      // Nine digits tell every f32 from its neighbours.
      text += fmt::format(",{:.9g}", predictions.Row(i)[c]);
    }
    text += "\n";
  }
  return text;
}

class Predict : public Verb {
 public:
  void Declare(Options& options) override {
    options.Positional("RUN", &run_, "the run directory of a trained model, or an ONNX file");
    options.Positional("INPUT", &input_,
                       "a PNG, JPEG, IDX, npy or CSV file, or a pipe that gives one");
    options.Number("--index", &index_, "I", "predicts one row of INPUT, counted from 0", 0);
    options.Text("--out", &out_, "FILE",
                 "where the predictions of all rows go, as CSV (default: INPUT's name with "
                 ".predictions.csv, in this folder; - prints them)");
    options.Text(
        "--checkpoint", &checkpoint_, "NAME",
        "final, best, newest or a folder in RUN/checkpoints (default: final, else newest)");
    options.Text(
        "--data", &data_, "DIR",
        "the training data's folder, for models that do not hold what their transforms take "
        "from those");
    options.Threads(&threads_, "threads (default: the CPUs it may use)");
    options.Flag("--json", &json_, "prints JSON");
  }

  int Run(const Streams& streams) override {
    if (!data_.empty()) CheckFolder("--data", data_);
    infer::PredictorOptions options;
    options.checkpoint = checkpoint_;
    options.data_folder = data_;
    options.threads = static_cast<int>(threads_.value_or(AvailableCpus()));
    infer::Predictor predictor = infer::Predictor::Load(RunOrModel(run_), options);
    PredictionInput input = ReadInput(predictor);
    if (index_) {
      CheckIndex(input);
      input = {SampleOf(input.samples, *index_), true};
    }
    const Predictions predictions = PredictSamples(predictor, input.samples);
    WarnOfNaN(predictions, streams);
    if (!predictions.is_classifier) NoteUnits(predictor.job().data.transforms, streams);
    if (input.single) {
      PrintOne(predictions, streams);
    } else {
      WriteAll(predictions, streams);
    }
    return kOk;
  }

 private:
  PredictionInput ReadInput(infer::Predictor& predictor) const {
    if (!IsPipe(input_)) return ReadPredictionInput(input_, predictor);
    // What comes through a pipe can be read once, and is looked at twice.
    const MemoryFile copy(input_, ReadFile(input_));
    try {
      return ReadPredictionInput(copy.path(), predictor);
    } catch (const Error& error) {
      throw error.In("what came through '" + input_ + "'");
    }
  }

  void CheckIndex(const PredictionInput& input) const {
    const int64_t rows = input.samples.shape()[0];
    if (*index_ < rows) return;
    throw Error(ErrorCode::kInvalidInput,
                fmt::format("--index {}: '{}' has {} row{}, counted from 0", *index_, input_,
                            WithThousands(rows), rows == 1 ? "" : "s"));
  }

  // The network learned the target as its transforms made it, and gives that.
  static void NoteUnits(const ConfigNode& transforms, const Streams& streams) {
    for (const ConfigNode& transform : transforms.items()) {
      const NamedNode named = ReadNamed(transform, "a transform");
      const ConfigNode* field = named.options.Find("field");
      const bool scales = named.name == "standardise" || named.name == "normalise";
      if (!scales || field == nullptr || !field->is_scalar() || field->scalar() != "y") continue;
      streams.Err(
          fmt::format("note: the values are of the target after its transform {}, not in "
                      "the units of the data\n",
                      named.name));
    }
  }

  // What is NaN is the answer, but no prediction.
  static void WarnOfNaN(const Predictions& predictions, const Streams& streams) {
    size_t rows = 0, first = 0;
    for (size_t i = predictions.size(); i-- > 0;) {
      const double* row = predictions.Row(i);
      if (std::none_of(row, row + predictions.width, [](double p) { return std::isnan(p); }))
        continue;
      ++rows;
      first = i;
    }
    if (rows == 0) return;
    streams.Err(
        fmt::format("warning: {} of {} predictions are NaN, the first of them that of row {}: "
                    "its input or the model's weights are not finite\n",
                    rows, predictions.size(), first));
  }

  void PrintOne(const Predictions& predictions, const Streams& streams) const {
    if (!out_.empty() && out_ != "-") {
      WriteFileAtomically(RealFileSystem(), out_, CsvOf(predictions));
    }
    streams.Out(json_ ? Dump(JsonOf(predictions)) : ChartOf(predictions));
  }

  void WriteAll(const Predictions& predictions, const Streams& streams) const {
    if (out_ == "-") {
      streams.Out(CsvOf(predictions));
      return;
    }
    const std::string out =
        !out_.empty() ? out_ : std::filesystem::path(input_).stem().string() + ".predictions.csv";
    WriteFileAtomically(RealFileSystem(), out, CsvOf(predictions));
    if (json_) {
      streams.Out(Dump({{"rows", predictions.size()}, {"out", out}}));
    } else {
      streams.Out(fmt::format("{} predictions written to {}\n",
                              WithThousands(static_cast<int64_t>(predictions.size())), out));
    }
  }

  static std::string Dump(const Json& json) {
    return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
  }

  std::string run_;
  std::string input_;
  std::string out_;
  std::string checkpoint_;
  std::string data_;
  std::optional<int64_t> index_;
  std::optional<int64_t> threads_;
  bool json_ = false;
};

}  // namespace

void AddPredict(Program& program) {
  program.Add<Predict>(
      {.name = "predict",
       .summary = "predict with a trained model",
       .details = "Prints the probabilities of a picture's or one row's classes; writes a CSV file "
                  "for all rows\nof an IDX, npy or CSV file.",
       .example = "ingot predict runs/mnist digit.png\n"
                  "ingot predict runs/mnist t10k-images-idx3-ubyte --index 17\n"
                  "ingot predict runs/mnist t10k-images-idx3-ubyte --out predictions.csv"});
}

}  // namespace ingot::cli
