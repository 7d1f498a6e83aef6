// ONNX models as the beginning of networks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/base/error.h"
#include "ingot/base/file.h"
#include "ingot/base/test_folder.h"
#include "ingot/nn/network.h"
#include "ingot/onnx/export.h"
#include "ingot/ops/interpreter.h"
#include "ingot/ops/standard_ops.h"

namespace ingot::nn {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

const ir::OpRegistry& Registry() {
  static const ir::OpRegistry registry = ops::StandardOps();
  return registry;
}

// relu(x * a.weight + a.bias) * b.weight + b.bias, from 4 numbers over 3 to 2.
class OnnxLayerTest : public testing::Test {
 protected:
  OnnxLayerTest() {
    ir::Graph graph("model");
    ir::Builder builder(graph, Registry());
    ir::Value* x = graph.AddInput("in", ir::Type::Tensor(DType::kF32, {ir::Dimension("n"), 4}));
    const auto weight = [&](const std::string& name, const Shape& shape) {
      Tensor tensor(DType::kF32, shape);
      for (int64_t i = 0; i < tensor.size(); ++i) {
        tensor.data<float>()[static_cast<size_t>(i)] = static_cast<float>(i + 1) / 8;
      }
      weights_.push_back({name, tensor});
      return graph.AddInput(name, ir::Type::Tensor(DType::kF32, shape), ir::Role::kParameter);
    };
    ir::Value* hidden = builder.Op(
        "Relu", {builder.Op("Gemm", {x, weight("a.weight", {4, 3}), weight("a.bias", {3})})});
    // As exporters flatten: the batch from the value's own shape.
    ir::Value* batch = builder.Op("Gather", {builder.Op("Shape", {hidden}), builder.Ints({0})});
    ir::Value* shape = builder.Op("Concat", {batch, builder.Ints({-1})}, {{"axis", int64_t{0}}});
    ir::Value* flat = builder.Op("Reshape", {hidden, shape});
    graph.AddOutput(builder.Op("Gemm", {flat, weight("b.weight", {3, 2}), weight("b.bias", {2})}),
                    "out");
    onnx::ExportModel(graph, weights_, Registry(), RealFileSystem(), File());
  }

  std::string File() const { return folder_ / "model.onnx"; }
  Network Build(const std::string& model, const Shape& x = {4}) const {
    NetworkOptions options;
    options.model = ModelTable().Read(ParseConfig(model, "job.yaml"));
    options.x = {DType::kF32, x, 0};
    return BuildNetwork(options, Registry());
  }
  std::string ErrorOf(const std::string& model, const Shape& x = {4}) const {
    try {
      Build(model, x);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  TestFolder folder_;
  std::vector<formats::NamedTensor> weights_;
};

std::vector<std::string> Described(const Network& network) {
  std::vector<std::string> texts;
  for (const ParameterSpec& parameter : network.parameters) {
    texts.push_back(parameter.name + " " + parameter.shape.ToString() +
                    (parameter.kind == ParameterKind::kFrozen ? " frozen" : ""));
  }
  return texts;
}

TEST_F(OnnxLayerTest, WeightsBecomeParameters) {
  const Network network = Build("onnx: " + File());
  EXPECT_THAT(Described(network),
              ElementsAre("a.weight [4, 3]", "a.bias [3]", "b.weight [3, 2]", "b.bias [2]"));
  EXPECT_EQ(network.output("output")->type().ToString(), "f32[batch, 2]");
  std::map<std::string, Tensor> inputs = {{"x", Tensor::Of<float>({1, 4}, {1, 0, -1, 2})}};
  for (const ParameterSpec& parameter : network.parameters) {
    inputs[parameter.name] = InitialValue(parameter, 0);
  }
  // h = relu([1, 0, -1, 2] * A + a) = [1.875, 2.25, 2.625].
  EXPECT_THAT(ops::Interpret(*network.graph, inputs).at("output").ToDoubles(),
              ElementsAre(0.125 + (1.875 + 2.25 * 3 + 2.625 * 5) / 8,
                          0.25 + (1.875 * 2 + 2.25 * 4 + 2.625 * 6) / 8));
}

TEST_F(OnnxLayerTest, TheHeadIsReplacedAndTheRestFrozen) {
  const Network network =
      Build("{onnx: " + File() + ", freeze: ['a.*'], replace_head: [dense: 5]}");
  EXPECT_THAT(Described(network), ElementsAre("a.weight [4, 3] frozen", "a.bias [3] frozen",
                                              "head_0.weight [3, 5]", "head_0.bias [5]"));
  EXPECT_EQ(network.output("output")->type().ToString(), "f32[batch, 5]");
  // What the resolved job says builds the same.
  const Network again = Build("layers:\n" + network.resolved_layers.ToYaml());
  EXPECT_EQ(Described(again), Described(network));
}

TEST_F(OnnxLayerTest, FaultsAreNamed) {
  EXPECT_THAT(ErrorOf("onnx: " + File(), {5}),
              HasSubstr("takes f32[n, 4], but its input is f32[batch, 5]"));
  EXPECT_THAT(ErrorOf("{onnx: " + File() + ", freeze: ['c.*']}"),
              HasSubstr("freeze: 'c.*' matches no weight"));
  EXPECT_THAT(ErrorOf("{onnx: " + File() + ", layers: [dense: 1]}"), HasSubstr("not both"));
  EXPECT_THAT(ErrorOf("{layers: [dense: 1], freeze: ['*']}"),
              HasSubstr("for models with `onnx: FILE` alone"));
  EXPECT_THAT(ErrorOf("{onnx: " + File() + ", replace_head: {after: nowhere, layers: [dense: 1]}}"),
              HasSubstr("has no value 'nowhere'"));
  EXPECT_THAT(ErrorOf("onnx: " + File() + "x"),
              StartsWith("job.yaml:1:7: onnx: layer 0 (onnx " + File() + "x)"));
  EXPECT_THAT(ErrorOf("{onnx: " + File() + ", freeze: {a: b}}"),
              HasSubstr(": freeze: expected a list of texts"));
  EXPECT_THAT(ErrorOf("{onnx: " + File() + ", replace_head: [dense: 5, dense: 0]}"),
              HasSubstr(": replace_head[1].dense: expected a number >= 1, got 0"));
  EXPECT_THAT(ErrorOf("{onnx: " + File() + ", replace_head: [reshape: [7]]}"),
              HasSubstr(": replace_head[0]: layer "));
  EXPECT_THAT(ErrorOf("{}"), HasSubstr("'layers' is missing"));
}

}  // namespace
}  // namespace ingot::nn
