// Control flow and sequences in the interpreter.
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "ingot/ir/builder.h"
#include "ingot/ops/interpreter.h"
#include "ingot/ops/standard_ops.h"

namespace ingot::ops {
namespace {

using ir::Attribute;
using ir::Attributes;
using ir::Builder;
using ir::Graph;
using ir::Type;
using ir::Value;

const Type kScalar = Type::Tensor(DType::kF32, Shape{});
const Type kCount = Type::Tensor(DType::kI64, Shape{});
const Type kFlag = Type::Tensor(DType::kBool, Shape{});

class ControlFlowTest : public testing::Test {
 protected:
  ir::OpRegistry registry_ = StandardOps();

  // A graph whose outputs are those that `build` makes from its inputs.
  template <typename F>
  std::shared_ptr<Graph> Body(std::vector<Type> inputs, F build) {
    auto graph = std::make_shared<Graph>("body");
    std::vector<Value*> values;
    for (size_t i = 0; i < inputs.size(); ++i) {
      values.push_back(graph->AddInput("in" + std::to_string(i), inputs[i]));
    }
    Builder builder(*graph, registry_);
    size_t n = 0;
    for (Value* output : build(builder, values)) {
      graph->AddOutput(output, "out" + std::to_string(n++));
    }
    return graph;
  }
};

TEST_F(ControlFlowTest, IfTakesOneBranchWithWhatItCaptures) {
  Graph graph;
  Value* flag = graph.AddInput("flag", kFlag);
  Value* x = graph.AddInput("x", kScalar);
  Builder builder(graph, registry_);
  const auto twice = Body({kScalar}, [](Builder& b, const std::vector<Value*>& in) {
    return std::vector<Value*>{b.Add(in[0], in[0])};
  });
  const auto negative = Body({kScalar}, [](Builder& b, const std::vector<Value*>& in) {
    return std::vector<Value*>{b.Neg(in[0])};
  });
  graph.AddOutput(builder.Op("If", {flag, x},
                             {{"then_branch", Attribute(twice)},
                              {"else_branch", Attribute(negative)},
                              {"captures", Attribute(int64_t{1})}}),
                  "y");
  const Tensor three = Tensor::Scalar<float>(3);
  for (const bool taken : {true, false}) {
    const auto outputs = Interpret(graph, {{"flag", Tensor::Scalar<bool>(taken)}, {"x", three}});
    EXPECT_EQ(outputs.at("y").data<float>()[0], taken ? 6 : -3);
  }
}

TEST_F(ControlFlowTest, LoopCarriesAndStacksUntilItsConditionFails) {
  Graph graph;
  Value* step = graph.AddInput("step", kScalar);
  Builder builder(graph, registry_);
  // sum += step while sum < 5.
  const auto body =
      Body({kCount, kFlag, kScalar, kScalar}, [](Builder& b, const std::vector<Value*>& in) {
        Value* sum = b.Add(in[2], in[3]);
        Value* go_on = b.Op("Less", {sum, b.Constant(Tensor::Scalar<float>(5))});
        return std::vector<Value*>{go_on, sum, b.Op("Identity", {sum})};
      });
  const auto outputs =
      builder.Ops("Loop",
                  {builder.Constant(Tensor::Scalar<int64_t>(10)), nullptr,
                   builder.Constant(Tensor::Scalar<float>(0)), step},
                  2, {{"body", Attribute(body)}, {"captures", Attribute(int64_t{1})}});
  graph.AddOutput(outputs[0], "sum");
  graph.AddOutput(outputs[1], "history");
  const auto results = Interpret(graph, {{"step", Tensor::Scalar<float>(2)}});
  EXPECT_EQ(results.at("sum").data<float>()[0], 6);
  EXPECT_EQ(results.at("history").ToDoubles(), (std::vector<double>{2, 4, 6}));
}

TEST_F(ControlFlowTest, ScanWalksBackwardsWhereAsked) {
  Graph graph;
  Value* x = graph.AddInput("x", Type::Tensor(DType::kF32, Shape{3}));
  Builder builder(graph, registry_);
  const auto body = Body({kScalar, kScalar}, [](Builder& b, const std::vector<Value*>& in) {
    Value* sum = b.Add(in[0], in[1]);
    return std::vector<Value*>{sum, b.Op("Identity", {sum})};
  });
  const auto outputs = builder.Ops("Scan", {builder.Constant(Tensor::Scalar<float>(0)), x}, 2,
                                   {{"body", Attribute(body)},
                                    {"num_scan_inputs", Attribute(int64_t{1})},
                                    {"scan_input_directions", Attribute(std::vector<int64_t>{1})}});
  graph.AddOutput(outputs[0], "sum");
  graph.AddOutput(outputs[1], "sums");
  const auto results = Interpret(graph, {{"x", Tensor::Of<float>({3}, {1, 2, 4})}});
  EXPECT_EQ(results.at("sum").data<float>()[0], 7);
  EXPECT_EQ(results.at("sums").ToDoubles(), (std::vector<double>{4, 6, 7}));
}

TEST_F(ControlFlowTest, SequencesAreMadeMappedAndJoined) {
  Graph graph;
  Value* x = graph.AddInput("x", Type::Tensor(DType::kF32, Shape{5}));
  Builder builder(graph, registry_);
  Value* parts = builder.Op("SplitToSequence", {x, builder.Constant(Tensor::Scalar<int64_t>(2))});
  const auto body = Body(
      {Type::TensorOfUnknownRank(DType::kF32)},
      [](Builder& b, const std::vector<Value*>& in) { return std::vector<Value*>{b.Neg(in[0])}; });
  Value* mapped = builder.Op("SequenceMap", {parts}, {{"body", Attribute(body)}});
  graph.AddOutput(builder.Op("SequenceLength", {mapped}), "length");
  graph.AddOutput(builder.Op("SequenceAt", {mapped, builder.Constant(Tensor::Scalar<int64_t>(-1))}),
                  "last");
  graph.AddOutput(builder.Op("ConcatFromSequence", {mapped}, {{"axis", Attribute(int64_t{0})}}),
                  "joined");
  const auto results = Interpret(graph, {{"x", Tensor::Of<float>({5}, {1, 2, 3, 4, 5})}});
  EXPECT_EQ(results.at("length").ToInts(), std::vector<int64_t>{3});
  EXPECT_EQ(results.at("last").ToDoubles(), std::vector<double>{-5});
  EXPECT_EQ(results.at("joined").ToDoubles(), (std::vector<double>{-1, -2, -3, -4, -5}));
}

TEST_F(ControlFlowTest, AnOptionalWithoutAValueSaysSo) {
  Graph graph;
  Builder builder(graph, registry_);
  Value* nothing = builder.Op("Optional", {}, {{"type", Attribute(kScalar)}});
  graph.AddOutput(builder.Op("OptionalHasElement", {nothing}), "has");
  EXPECT_FALSE(Interpret(graph, {}).at("has").data<bool>()[0]);
}

TEST_F(ControlFlowTest, ABodyOfAnotherShapeIsRefused) {
  Graph graph;
  Value* flag = graph.AddInput("flag", kFlag);
  Builder builder(graph, registry_);
  const auto body = Body({kScalar}, [](Builder&, const std::vector<Value*>& in) { return in; });
  EXPECT_THROW(builder.Op("If", {flag},
                          {{"then_branch", Attribute(body)}, {"else_branch", Attribute(body)}}),
               Error);
}

}  // namespace
}  // namespace ingot::ops
