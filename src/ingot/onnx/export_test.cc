// What is exported reads back as a model that gives the same, whatever it was lowered to.
#include "ingot/onnx/export.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/base/error.h"
#include "ingot/base/test_folder.h"
#include "ingot/ir/builder.h"
#include "ingot/onnx/test_model.h"
#include "ingot/tensor/philox.h"

namespace ingot::onnx {
namespace {

using testing::HasSubstr;

Tensor Random(const Shape& shape, const std::string& name) {
  Tensor tensor(DType::kF32, shape);
  const RandomKey key(3, name);
  for (int64_t i = 0; i < tensor.size(); ++i) {
    tensor.data<float>()[static_cast<size_t>(i)] =
        static_cast<float>(2 * key.Uniform(static_cast<uint64_t>(i)) - 1);
  }
  return tensor;
}

// A graph with an input x and weights, exported and read again.
class ExportTest : public testing::Test {
 protected:
  ExportTest() : graph_("network"), builder_(graph_, TestRegistry()) {}

  ir::Value* Input(const ir::Dimensions& dims) {
    return graph_.AddInput("x", ir::Type::Tensor(DType::kF32, dims));
  }
  ir::Value* Weight(const std::string& name, const Shape& shape) {
    weights_.push_back({name, Random(shape, name)});
    return graph_.AddInput(name, ir::Type::Tensor(DType::kF32, shape), ir::Role::kParameter);
  }
  std::string Export(const ExportOptions& options = {}) {
    return ExportModel(graph_, weights_, TestRegistry(), RealFileSystem(), folder_ / "m.onnx",
                       options)
        .model;
  }
  // The graph's own outputs against those of the file.
  void ExpectSame(const Tensor& x, const ExportOptions& options = {}) {
    std::map<std::string, Tensor> inputs = {{"x", x}};
    for (const auto& weight : weights_) inputs[weight.name] = weight.tensor;
    const auto expected = ops::Interpret(graph_, inputs);
    auto file = formats::OnnxFile::Open(Export(options));
    const ImportedModel model = ImportModel(file, TestRegistry());
    EXPECT_EQ(model.opset, 21);
    EXPECT_EQ(model.producer, "ingot");
    const auto actual = ops::Interpret(*model.graph, {{"x", x}});
    ASSERT_EQ(actual.size(), expected.size());
    for (const auto& [name, tensor] : expected) {
      const std::vector<double> a = actual.at(name).ToDoubles(), b = tensor.ToDoubles();
      ASSERT_EQ(actual.at(name).Describe(), tensor.Describe());
      for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-5) << name << " " << i;
    }
  }

  TestFolder folder_;
  ir::Graph graph_;
  ir::Builder builder_;
  std::vector<formats::NamedTensor> weights_;
};

TEST_F(ExportTest, WeightsAndTheBatchAreThere) {
  ir::Value* x = Input({"batch", 4});
  ir::Value* y = builder_.Op("Gemm", {x, Weight("fc.weight", {4, 3}), Weight("fc.bias", {3})});
  graph_.AddOutput(builder_.Op("Relu", {y}), "output");
  ExportOptions options;
  options.metadata["classes"] = "3";
  ExpectSame(Random({5, 4}, "x"), options);
  auto file = formats::OnnxFile::Open(folder_ / "m.onnx");
  EXPECT_EQ(file.model().graph().initializer(0).name(), "fc.weight");
  EXPECT_EQ(ImportModel(file, TestRegistry()).metadata.at("classes"), "3");
  EXPECT_EQ(ImportModel(file, TestRegistry()).graph->inputs()[0]->type().ToString(),
            "f32[batch, 4]");
}

TEST_F(ExportTest, LargeWeightsGoToAFileOfTheirOwn) {
  ir::Value* x = Input({"batch", 64});
  ir::Value* y = builder_.Op("MatMul", {x, Weight("a", {64, 32})});
  graph_.AddOutput(builder_.Op("MatMul", {y, Weight("b", {32, 2})}), "output");
  ExportOptions options;
  options.most_weights_inside = 1000;
  ExpectSame(Random({2, 64}, "x"), options);
  EXPECT_TRUE(RealFileSystem().Exists(folder_ / "m.onnx.data"));
  EXPECT_EQ(RealFileSystem().FileSize(folder_ / "m.onnx.data"), 8192u + 256u);
  EXPECT_LT(RealFileSystem().FileSize(folder_ / "m.onnx"), 1000u);
}

TEST_F(ExportTest, AttentionWithGroupsAndRotaryPositions) {
  ir::Value* x = Input({"batch", 5, 48});
  const std::vector<ir::Value*> parts =
      builder_.Ops("Split", {x, builder_.Ints({32, 8, 8})}, 3, {{"axis", int64_t{2}}});
  ir::Value* cosines = builder_.Constant(Random({5, 4}, "cos"));
  ir::Value* sines = builder_.Constant(Random({5, 4}, "sin"));
  ir::Value* q =
      builder_.Op("RotaryEmbedding", {parts[0], cosines, sines}, {{"num_heads", int64_t{4}}});
  ir::Value* k = builder_.Op("RotaryEmbedding", {parts[1], cosines, sines},
                             {{"num_heads", int64_t{1}}, {"interleaved", int64_t{1}}});
  ir::Value* y = builder_.Ops("Attention", {q, k, parts[2]}, 2,
                              {{"is_causal", int64_t{1}},
                               {"q_num_heads", int64_t{4}},
                               {"kv_num_heads", int64_t{1}},
                               {"softcap", 0.75}})[0];
  graph_.AddOutput(builder_.Op("RMSNormalization", {y, Weight("scale", {32})}), "output");
  ExpectSame(Random({3, 5, 48}, "x"));
}

TEST_F(ExportTest, RecurrentLayersWithTheBatchFirst) {
  ir::Value* x = Input({"batch", 6, 3});
  const std::vector<ir::Value*> y = builder_.Ops(
      "LSTM", {x, Weight("w", {2, 16, 3}), Weight("r", {2, 16, 4}), Weight("b", {2, 32})}, 2,
      {{"layout", int64_t{1}},
       {"direction", std::string("bidirectional")},
       {"hidden_size", int64_t{4}}});
  graph_.AddOutput(y[0], "all");
  graph_.AddOutput(y[1], "last");
  ExpectSame(Random({2, 6, 3}, "x"));
}

TEST_F(ExportTest, OneValueUnderTwoNamesAndAnInputAsOutput) {
  ir::Value* x = Input({"batch", 2});
  ir::Value* y = builder_.Op("Neg", {x});
  graph_.AddOutput(y, "a");
  graph_.AddOutput(y, "b");
  graph_.AddOutput(x, "c");
  ExpectSame(Random({2, 2}, "x"));
}

TEST_F(ExportTest, WhatCannotBeExportedIsNamed) {
  ir::Value* x = Input({"batch", 2});
  graph_.AddOutput(builder_.Op("ingot.SumSquares", {x}), "output");
  try {
    Export();
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
    EXPECT_THAT(error.what(), HasSubstr("ONNX has no ops for: ingot.SumSquares"));
  }
}

TEST_F(ExportTest, WeightsThatAreMissingAreNamed) {
  graph_.AddOutput(builder_.Op("Mul", {Input({"batch", 2}), Weight("scale", {2})}), "output");
  weights_[0].name = "other";
  try {
    Export();
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("there is no weight 'scale'"));
  }
}

}  // namespace
}  // namespace ingot::onnx
