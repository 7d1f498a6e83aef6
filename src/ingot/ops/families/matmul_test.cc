// Messages of matrix products, what their gradients are made of, and fused products.
#include <functional>

#include <gtest/gtest.h>

#include "ingot/base/error.h"
#include "ingot/ir/builder.h"
#include "ingot/ops/interpreter.h"
#include "ingot/ops/op_case_runner.h"
#include "ingot/ops/standard_ops.h"
#include "ingot/tensor/philox.h"

namespace ingot::ops {
namespace {

using ir::Dimension;
using ir::Type;
using ir::Value;

class MatmulTest : public testing::Test {
 protected:
  Value* Input(ir::Dimensions dims, DType dtype = DType::kF32) {
    return graph_.AddInput("x" + std::to_string(graph_.inputs().size()),
                           Type::Tensor(dtype, std::move(dims)));
  }
  std::string Failure(const std::string& op, std::vector<Value*> inputs,
                      ir::Attributes attributes = {}) {
    try {
      builder_.Op(op, std::move(inputs), std::move(attributes));
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidInput);
      return error.what();
    }
    return "no error";
  }

  const ir::OpRegistry registry_ = StandardOps();
  ir::Graph graph_;
  ir::Builder builder_{graph_, registry_};
};

TEST_F(MatmulTest, KeepsSymbolicExtents) {
  const Dimension batch("batch");
  EXPECT_EQ(builder_.Op("MatMul", {Input({batch, 784}), Input({784, 64})})->type().ToString(),
            "f32[batch, 64]");
  EXPECT_EQ(builder_.Op("MatMul", {Input({batch, 7, 5}), Input({5, 4})})->type().ToString(),
            "f32[batch, 7, 4]");
  EXPECT_EQ(builder_.Op("Gemm", {Input({batch, 3}), Input({batch, 4})}, {{"transA", int64_t{1}}})
                ->type()
                .ToString(),
            "f32[3, 4]");
  EXPECT_EQ(
      builder_.Op("MatMul", {Input({Dimension(), 3}), Input({Dimension(), 4})})->type().ToString(),
      "f32[?, 4]");
}

TEST_F(MatmulTest, NamesBothShapesWhenTheyDoNotFit) {
  EXPECT_EQ(Failure("MatMul", {Input({128, 784}), Input({512, 64})}),
            "MatMul node: cannot multiply f32[128, 784] by f32[512, 64]: 784 columns against 512 "
            "rows");
  EXPECT_EQ(Failure("Gemm", {Input({3, 4}), Input({3, 4})},
                    {{"transA", int64_t{1}}, {"transB", int64_t{1}}}),
            "Gemm node: cannot multiply f32[3, 4] (transposed) by f32[3, 4] (transposed): 3 "
            "columns against 4 rows");
  EXPECT_EQ(Failure("Gemm", {Input({2, 3, 4}), Input({4, 5})}),
            "Gemm node: input 0 (A) is f32[2, 3, 4], expected a matrix\n"
            "  hint: Flatten it first, or use MatMul, which takes batches of matrices");
  EXPECT_EQ(Failure("Gemm", {Input({3, 4}), Input({4, 5}), Input({4, 1, 1})}),
            "Gemm node: input 2 (C) is f32[4, 1, 1], which cannot be broadcast to the product "
            "f32[3, 5]");
  EXPECT_EQ(Failure("MatMul", {Input({}), Input({4})}),
            "MatMul node: a scalar cannot be an operand of a matrix product: f32[]");
}

// Passes look for weight gradients in this form.
TEST_F(MatmulTest, GradientsOfMatricesAreGemmsWithoutTransposes) {
  Value* x = Input({Dimension("batch"), 5});
  Value* w = Input({5, 3});
  Value* dy = Input({Dimension("batch"), 3});
  for (const std::string op : {"MatMul", "Gemm"}) {
    Value* y = builder_.Op(op, {x, w});
    ir::GradientContext context(*y->producer(), builder_, {dy}, {true, true});
    y->producer()->op().gradient(context);
    const ir::Node* for_weight = context.input_gradients()[1]->producer();
    EXPECT_EQ(for_weight->op_type(), "Gemm");
    EXPECT_EQ(for_weight->GetInt("transA"), 1);
    EXPECT_EQ(for_weight->input(0), x);
    EXPECT_EQ(for_weight->input(1), dy);
    const ir::Node* for_rows = context.input_gradients()[0]->producer();
    EXPECT_EQ(for_rows->op_type(), "Gemm");
    EXPECT_EQ(for_rows->GetInt("transB"), 1);
    EXPECT_EQ(for_rows->input(0), dy);
  }
}

TEST_F(MatmulTest, FusedProductRefusesWhatItsEpilogueDoesNotTake) {
  Value* a = Input({3, 4});
  Value* b = Input({4, 5});
  EXPECT_EQ(Failure("ingot.FusedMatMul", {a, b}, {{"epilogue", std::string("rellu")}}),
            "ingot.FusedMatMul node: unknown epilogue 'rellu'\n  hint: did you mean 'relu'?");
  EXPECT_EQ(Failure("ingot.FusedMatMul", {a, b}, {{"epilogue", std::string("relu_gradient")}}),
            "ingot.FusedMatMul node: input 3 (y) is absent, but epilogue 'relu_gradient' needs it");
  EXPECT_EQ(Failure("ingot.FusedMatMul", {a, b, nullptr, Input({3, 5})}),
            "ingot.FusedMatMul node: input 3 (y) is given, but epilogue 'none' takes none");
  EXPECT_EQ(Failure("ingot.FusedMatMul", {a, b, Input({4})}),
            "ingot.FusedMatMul node: the bias is f32[4] but the product f32[3, 5], expected one "
            "value for each column");
}

Tensor Random(const Shape& shape, uint64_t seed) {
  Tensor tensor(DType::kF64, shape);
  const RandomKey key(seed, "matmul_test");
  std::span<double> data = tensor.data<double>();
  for (size_t i = 0; i < data.size(); ++i) data[i] = 2 * key.Uniform(i) - 1;
  return tensor;
}

// Each epilogue against the graph that it stands for.
TEST_F(MatmulTest, FusedProductIsTheUnfusedGraph) {
  Value* a = Input({3, 4}, DType::kF64);
  Value* b = Input({4, 5}, DType::kF64);
  Value* bias = Input({5}, DType::kF64);
  Value* y = Input({3, 5}, DType::kF64);
  const ir::Attributes alpha = {{"alpha", 0.25}};
  const ir::Attributes tanh = {{"approximate", std::string("tanh")}};
  const std::vector<std::tuple<std::string, std::string, ir::Attributes>> epilogues = {
      {"relu", "Relu", {}},       {"leaky_relu", "LeakyRelu", alpha},
      {"elu", "Elu", alpha},      {"sigmoid", "Sigmoid", {}},
      {"tanh", "Tanh", {}},       {"gelu", "Gelu", {}},
      {"gelu_tanh", "Gelu", tanh}};
  for (const auto& [name, op, attributes] : epilogues) {
    Value* sum = builder_.Add(builder_.Op("MatMul", {a, b}), bias);
    graph_.AddOutput(builder_.Op(op, {sum}, attributes), name + " unfused");
    graph_.AddOutput(builder_.Op("ingot." + op + "Gradient", {sum, y}, attributes),
                     name + "_gradient unfused");
    for (const bool gradient : {false, true}) {
      const std::string epilogue = name + (gradient ? "_gradient" : "");
      std::vector<Value*> inputs = {a, b, bias};
      if (gradient) inputs.push_back(y);
      graph_.AddOutput(
          builder_.Op("ingot.FusedMatMul", inputs, {{"epilogue", epilogue}, {"alpha", 0.25}}),
          epilogue);
    }
  }
  const auto outputs = Interpret(graph_, {{"x0", Random({3, 4}, 1)},
                                          {"x1", Random({4, 5}, 2)},
                                          {"x2", Random({5}, 3)},
                                          {"x3", Random({3, 5}, 4)}});
  EXPECT_EQ(outputs.size(), 4 * epilogues.size());
  for (const auto& [name, tensor] : outputs) {
    if (name.find("unfused") != std::string::npos) continue;
    EXPECT_EQ(Compare(tensor, outputs.at(name + " unfused"), 1e-15), "") << name;
  }
}

}  // namespace
}  // namespace ingot::ops
