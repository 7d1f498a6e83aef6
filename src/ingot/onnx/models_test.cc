// The models of tests/data/models, as other projects' exporters and quantisers write them, give
// what ONNX Runtime gives.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "ingot/formats/npy.h"
#include "ingot/onnx/import.h"
#include "ingot/ops/interpreter.h"
#include "ingot/ops/standard_ops.h"

namespace ingot::onnx {
namespace {

namespace fs = std::filesystem;

const fs::path kFolder = fs::path(INGOT_SOURCE_DIR) / "tests/data/models";

std::vector<std::string> Models() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(kFolder)) {
    if (entry.path().extension() == ".onnx") names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

// One step of a quantised output: the smallest difference of two of its numbers.
double Step(const Tensor& output) {
  std::vector<double> values = output.ToDoubles();
  std::sort(values.begin(), values.end());
  double step = values.back() - values.front();
  for (size_t i = 1; i < values.size(); ++i) {
    const double difference = values[i] - values[i - 1];
    if (difference > 1e-6) step = std::min(step, difference);
  }
  return step;
}

double Largest(const Tensor& tensor) {
  double largest = 0;
  for (const double value : tensor.ToDoubles()) largest = std::max(largest, std::abs(value));
  return largest;
}

// Rounding ties that fall the other way move a quantised output by a step; inside of a model with
// float outputs they move those a little.
double Tolerance(const std::string& name, const Tensor& expected) {
  if (name.ends_with(".qdq") || name.ends_with(".qoperator")) return 1.001 * Step(expected);
  return (name.ends_with(".dynamic_int8") ? 2e-2 : 1e-4) * Largest(expected);
}

double LargestDifference(const Tensor& a, const Tensor& b) {
  const std::vector<double> x = a.ToDoubles(), y = b.ToDoubles();
  double largest = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double difference = std::abs(x[i] - y[i]);
    largest = difference <= largest ? largest : difference;  // NaN stays
  }
  return largest;
}

class ModelsTest : public testing::TestWithParam<std::string> {};

TEST_P(ModelsTest, AgreesWithOnnxRuntime) {
  const ir::OpRegistry registry = ops::StandardOps();
  auto file = formats::OnnxFile::Open((kFolder / (GetParam() + ".onnx")).string());
  const ImportedModel model = ImportModel(file, registry);
  const auto arrays = formats::NpzFile::Open((kFolder / (GetParam() + ".npz")).string());
  int sets = 0;
  for (;; ++sets) {
    const std::string prefix = "set" + std::to_string(sets) + ".";
    std::map<std::string, Tensor> inputs;
    for (const std::string& name : arrays.names()) {
      if (!name.starts_with(prefix + "in.")) continue;
      inputs[name.substr(prefix.size() + 3)] = arrays.Get(name);
    }
    if (inputs.empty()) break;
    for (const auto& [name, actual] : ops::Interpret(*model.graph, inputs)) {
      const Tensor expected = arrays.Get(prefix + "out." + name);
      ASSERT_EQ(actual.Describe(), expected.Describe()) << name;
      EXPECT_LE(LargestDifference(actual, expected), Tolerance(GetParam(), expected))
          << prefix << name;
    }
  }
  EXPECT_GE(sets, 2);
}

INSTANTIATE_TEST_SUITE_P(All, ModelsTest, testing::ValuesIn(Models()), [](const auto& parameter) {
  std::string name = parameter.param;
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
});

TEST(ModelsTest, AllAreThere) {
  EXPECT_EQ(Models().size(), 22u);
}

}  // namespace
}  // namespace ingot::onnx
