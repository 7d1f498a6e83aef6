// ingot compare: how far apart the outputs of two models, or of one in two precisions, are.
#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "ingot/base/error.h"
#include "ingot/base/text.h"
#include "ingot/cli/model_arguments.h"
#include "ingot/cli/program.h"
#include "ingot/formats/npy.h"
#include "ingot/infer/session.h"

namespace ingot::cli {
namespace {

using Json = nlohmann::ordered_json;

// Of one output, over all its elements.
struct Difference {
  std::string name;
  std::string type;
  double largest_value = 0;  // of the first model
  double largest = 0;        // difference
  double mean = 0;
  int64_t elements = 0;
  int64_t rows = 0;         // along the last axis
  int64_t same_best = 0;    // rows whose largest element stands at the same place
  bool not_finite = false;  // one of the two is where the other is not

  double relative() const { return largest_value > 0 ? largest / largest_value : largest; }
};

int64_t BestOf(const std::vector<double>& values, int64_t begin, int64_t count) {
  const auto first = values.begin() + begin;
  return std::max_element(first, first + count) - first;
}

Difference Compare(const std::string& name, const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape()) {
    throw Error(ErrorCode::kInvalidInput, "output '" + name + "' is " + a.Describe() +
                                              " of one model and " + b.Describe() +
                                              " of the other");
  }
  const std::vector<double> x = a.ToDoubles(), y = b.ToDoubles();
  Difference result{.name = name, .type = a.Describe()};
  result.elements = a.size();
  for (size_t i = 0; i < x.size(); ++i) {
    if (std::isfinite(x[i]) && std::isfinite(y[i])) {
      result.largest_value = std::max(result.largest_value, std::abs(x[i]));
      result.largest = std::max(result.largest, std::abs(x[i] - y[i]));
      result.mean += std::abs(x[i] - y[i]) / static_cast<double>(x.size());
    } else if (!(x[i] == y[i]) && !(std::isnan(x[i]) && std::isnan(y[i]))) {
      result.not_finite = true;
    }
  }
  const int rank = a.shape().rank();
  const int64_t width = rank > 0 ? a.shape()[rank - 1] : 1;
  if (width < 2) return result;
  for (int64_t begin = 0; begin < a.size(); begin += width) {
    ++result.rows;
    result.same_best += BestOf(x, begin, width) == BestOf(y, begin, width);
  }
  return result;
}

class CompareModels : public Verb {
 public:
  void Declare(Options& options) override {
    options.Positional("A", &a_, "an ONNX file");
    options.Positional("B", &b_, "another one with the same inputs and outputs (default: A)",
                       false);
    options.Choice("--precision", &precision_, "of B's products: f32 (default) or bf16",
                   {"f32", "bf16"});
    options.Text("--inputs", &inputs_, "FILE",
                 "an npz file: arrays by the names of the inputs (default: random numbers)");
    options.Texts("--dim", &dims_, "NAME=N",
                  "the extent of a dynamic dimension of random inputs "
                  "(default: 1)");
    options.Number("--seed", &seed_, "N", "of the random inputs", 0);
    options.Real("--tolerance", &tolerance_, "X",
                 "fails where a difference is above X times the largest value of its output", 0,
                 std::numeric_limits<double>::max());
    options.Flag("--json", &json_, "prints JSON");
  }

  int Run(const Streams& streams) override {
    if (b_.empty() && precision_ == "f32") {
      throw Error(ErrorCode::kInvalidInput, "a second model or --precision bf16 is needed",
                  "ingot compare model.onnx --precision bf16");
    }
    const auto a = infer::Session::Load(a_);
    infer::SessionOptions options;
    options.precision = infer::ParsePrecision(precision_);
    const auto b = infer::Session::Load(b_.empty() ? a_ : b_, options);
    const std::vector<Tensor> inputs = InputsOf(*a);
    const std::vector<Tensor> first = a->Run(inputs), second = b->Run(inputs);
    if (first.size() != second.size()) {
      throw Error(ErrorCode::kInvalidInput,
                  fmt::format("the models have {} and {} outputs", first.size(), second.size()));
    }
    std::vector<Difference> differences;
    for (size_t i = 0; i < first.size(); ++i) {
      differences.push_back(Compare(a->outputs()[i].name, first[i], second[i]));
    }
    streams.Out(json_ ? JsonOf(differences) : TextOf(differences));
    return IsWithin(differences) ? kOk : kFailed;
  }

 private:
  std::vector<Tensor> InputsOf(const infer::Session& session) const {
    if (!inputs_.empty()) return ReadInputs(session, formats::NpzFile::Open(inputs_), inputs_);
    return RandomInputs(session, ParseDims(dims_), static_cast<uint64_t>(seed_.value_or(0)));
  }

  bool IsWithin(const std::vector<Difference>& differences) const {
    if (!tolerance_) return true;
    for (const Difference& difference : differences) {
      if (difference.not_finite || difference.relative() > *tolerance_) return false;
    }
    return true;
  }

  static std::string TextOf(const std::vector<Difference>& differences) {
    std::string text = fmt::format("{:<16} {:<20} {:>12} {:>12} {:>12} {:>12}\n", "output", "type",
                                   "largest", "difference", "relative", "same best");
    for (const Difference& d : differences) {
      text += fmt::format("{:<16} {:<20} {:>12.4g} {:>12.4g} {:>12.4g} {:>12}\n", d.name, d.type,
                          d.largest_value, d.largest, d.relative(),
                          d.rows > 0 ? fmt::format("{}/{}", d.same_best, d.rows) : "");
      if (d.not_finite) text += "  one of them is not finite where the other is\n";
    }
    return text;
  }

  static std::string JsonOf(const std::vector<Difference>& differences) {
    Json list = Json::array();
    for (const Difference& d : differences) {
      list.push_back({{"output", d.name},
                      {"type", d.type},
                      {"largest_value", d.largest_value},
                      {"largest_difference", d.largest},
                      {"relative_difference", d.relative()},
                      {"mean_difference", d.mean},
                      {"rows", d.rows},
                      {"rows_with_the_same_best", d.same_best},
                      {"finite_in_both", !d.not_finite}});
    }
    return list.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
  }

  std::string a_, b_;
  std::string precision_ = "f32";
  std::string inputs_;
  std::vector<std::string> dims_;
  std::optional<int64_t> seed_;
  std::optional<double> tolerance_;
  bool json_ = false;
};

}  // namespace

void AddCompare(Program& program) {
  program.Add<CompareModels>(
      {.name = "compare",
       .summary = "compare the outputs of two ONNX models, or of one in two precisions",
       .details = "For each output the largest difference, and its ratio to the largest value; "
                  "`same best` counts the rows\nwhose largest element stands at the same place.",
       .example = "ingot compare model.onnx model.int8.onnx --inputs in.npz\n"
                  "ingot compare model.onnx --precision bf16 --dim batch=8"});
}

}  // namespace ingot::cli
