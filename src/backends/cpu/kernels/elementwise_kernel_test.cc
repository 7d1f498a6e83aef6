// Elementwise kernels beyond the ops' cases: outputs of several blocks, every way of broadcasting,
// and long chains, against the interpreter.
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "backends/cpu/buffer_test_util.h"
#include "backends/cpu/kernel_table.h"
#include "ingot/ir/builder.h"
#include "ingot/ops/interpreter.h"
#include "ingot/ops/op_case_runner.h"
#include "ingot/ops/standard_ops.h"
#include "ingot/tensor/philox.h"

namespace ingot::cpu {
namespace {

const ir::OpRegistry& Ops() {
  static const ir::OpRegistry registry = ops::StandardOps();
  return registry;
}

Tensor Random(const Shape& shape, const std::string& name) {
  Tensor tensor(DType::kF32, shape);
  const RandomKey key(1, name);
  std::span<float> values = tensor.data<float>();
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(key.Uniform(i) + 0.5);
  return tensor;
}

ir::Type TypeOf(const Tensor& tensor) {
  return ir::Type::Tensor(tensor.dtype(), tensor.shape());
}

class ElementwiseKernel : public testing::TestWithParam<std::string> {
 protected:
  ElementwiseKernel() : scope_(GetParam()) {}

  // Runs the node on the inputs and compares; returns the kernel's name.
  static std::string Check(const ir::Node& node, const std::vector<Tensor>& inputs,
                           const std::string& what) {
    const auto kernel = MakeKernel(node);
    const Tensor expected = ops::InterpretNode(node, inputs)[0];
    std::vector<std::unique_ptr<ExactCopy>> copies;
    std::vector<void*> operands;
    for (const Tensor& input : inputs) {
      copies.push_back(std::make_unique<ExactCopy>(input.raw(), input.bytes()));
      operands.push_back(copies.back()->raw());
    }
    GuardedBuffer out(expected.bytes(), 4);
    GuardedBuffer scratch(kernel->scratch_bytes());
    operands.push_back(out.raw());
    kernel->Run(operands, scratch.data());
    EXPECT_TRUE(out.Intact() && scratch.Intact()) << what;
    const Tensor seen = Tensor::Of<float>(expected.shape(), out.values());
    EXPECT_EQ(ops::Compare(seen, expected, 1e-6), "") << what << " by " << kernel->name();
    return kernel->name();
  }

  const InstructionSetScope scope_;
};

INSTANTIATE_TEST_SUITE_P(EverySet, ElementwiseKernel, testing::ValuesIn(InstructionSets()),
                         [](const auto& info) { return info.param; });

TEST_P(ElementwiseKernel, EveryWayOfBroadcasting) {
  const std::vector<std::pair<Shape, Shape>> shapes = {
      {Shape{3, 700}, Shape{3, 700}},      // dense, several blocks
      {Shape{3, 700}, Shape{}},            // a scalar
      {Shape{3, 700}, Shape{1, 1}},        // a scalar with axes
      {Shape{33, 37}, Shape{37}},          // rows that blocks cut anywhere
      {Shape{2, 700}, Shape{1, 700}},      // a row longer than a block
      {Shape{5, 7, 31}, Shape{7, 31}},     // a suffix
      {Shape{5, 7, 31}, Shape{5, 1, 31}},  // an axis in the middle
      {Shape{5, 7, 31}, Shape{5, 7, 1}},   // columns
      {Shape{40, 1}, Shape{1, 40}},        // both
      {Shape{2, 1, 30, 1}, Shape{13, 1, 3}},
      {Shape{0, 4}, Shape{4}},  // nothing
      {Shape{1}, Shape{1}},
  };
  for (const auto& [left, right] : shapes) {
    for (const bool swapped : {false, true}) {
      for (const char* op : {"Add", "Sub", "Div"}) {
        const std::vector<Tensor> inputs = {Random(swapped ? right : left, "a"),
                                            Random(swapped ? left : right, "b")};
        ir::Graph graph;
        ir::Builder builder(graph, Ops());
        ir::Value* a = graph.AddInput("a", TypeOf(inputs[0]));
        ir::Value* b = graph.AddInput("b", TypeOf(inputs[1]));
        graph.AddOutput(builder.Op(op, {a, b}), "c");
        EXPECT_EQ(
            Check(*graph.nodes()[0], inputs,
                  std::string(op) + " of " + inputs[0].Describe() + " and " + inputs[1].Describe()),
            "elementwise_f32");
      }
    }
  }
}

TEST_P(ElementwiseKernel, TheSameValueTwice) {
  const std::vector<Tensor> inputs = {Random(Shape{600}, "a"), Random(Shape{600}, "a")};
  ir::Graph graph;
  ir::Builder builder(graph, Ops());
  ir::Value* a = graph.AddInput("a", TypeOf(inputs[0]));
  graph.AddOutput(builder.Mul(a, a), "c");
  Check(*graph.nodes()[0], inputs, "a * a");
}

// A fused node over inputs of these shapes whose body `build` makes.
std::unique_ptr<ir::Graph> Fused(const std::vector<Tensor>& inputs,
                                 ir::Value* (*build)(ir::Builder&, std::vector<ir::Value*>)) {
  auto body = std::make_shared<ir::Graph>("body");
  auto graph = std::make_unique<ir::Graph>("fused");
  ir::Builder inner(*body, Ops());
  ir::Builder outer(*graph, Ops());
  std::vector<ir::Value*> inside, outside;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const std::string name = "input" + std::to_string(i);
    inside.push_back(body->AddInput(name, TypeOf(inputs[i])));
    outside.push_back(graph->AddInput(name, TypeOf(inputs[i])));
  }
  body->AddOutput(build(inner, inside), "out");
  graph->AddOutput(outer.Op("ingot.FusedElementwise", outside, {{"body", body}}), "out");
  return graph;
}

TEST_P(ElementwiseKernel, AChainWithConstantsAndValuesUsedTwice) {
  const std::vector<Tensor> inputs = {Random(Shape{9, 150}, "x"), Random(Shape{150}, "bias"),
                                      Random(Shape{}, "scale"), Random(Shape{9, 1}, "weight")};
  const auto graph = Fused(inputs, [](ir::Builder& b, std::vector<ir::Value*> in) {
    ir::Value* shifted = b.Add(in[0], in[1]);
    ir::Value* squared = b.Mul(shifted, shifted);
    ir::Value* scaled = b.Mul(squared, in[2]);
    ir::Value* halved = b.Mul(scaled, b.Constant(Tensor::Scalar(0.5f)));
    ir::Value* both = b.Sub(halved, shifted);
    return b.Div(both, b.Add(in[3], b.Constant(Tensor::Of<float>({1}, {2.0f}))));
  });
  EXPECT_EQ(Check(*graph->nodes()[0], inputs, "chain"), "elementwise_chain_f32");
}

// Longer than the kernel has slots for: the reference takes over.
TEST_P(ElementwiseKernel, AVeryLongChain) {
  const std::vector<Tensor> inputs = {Random(Shape{700}, "x"), Random(Shape{700}, "y")};
  const auto graph = Fused(inputs, [](ir::Builder& b, std::vector<ir::Value*> in) {
    ir::Value* value = in[0];
    for (int i = 0; i < 40; ++i) value = i % 2 == 0 ? b.Add(value, in[1]) : b.Sub(value, in[1]);
    return b.Op("Tanh", {value});
  });
  Check(*graph->nodes()[0], inputs, "a chain of 41 ops");
}

TEST_P(ElementwiseKernel, EveryLengthOfAChain) {
  for (int length = 2; length <= 26; ++length) {
    const std::vector<Tensor> inputs = {Random(Shape{513}, "x")};
    auto body = std::make_shared<ir::Graph>("body");
    ir::Builder inner(*body, Ops());
    ir::Value* value = body->AddInput("x", TypeOf(inputs[0]));
    for (int i = 0; i < length; ++i) value = inner.Op(i % 2 == 0 ? "Sqrt" : "Tanh", {value});
    body->AddOutput(value, "out");
    ir::Graph graph;
    ir::Builder outer(graph, Ops());
    graph.AddOutput(outer.Op("ingot.FusedElementwise", {graph.AddInput("x", TypeOf(inputs[0]))},
                             {{"body", body}}),
                    "out");
    Check(*graph.nodes()[0], inputs, "a chain of " + std::to_string(length));
  }
}

}  // namespace
}  // namespace ingot::cpu
