// Tests of the text and DOT output.
#include "ingot/ir/printer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/ir/dot.h"
#include "ingot/ir/test_ops.h"

namespace ingot::ir {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class PrinterTest : public ::testing::Test {
 protected:
  const OpRegistry registry_ = TestOps();
  Graph graph_{"net"};
  Builder builder_{graph_, registry_};
  Value* x_ = graph_.AddInput("x", Type::Tensor(DType::kF32, {"batch", 784}));
  Value* w_ = graph_.AddInput("w", Type::Tensor(DType::kF32, Shape{784, 64}), Role::kParameter);
};

TEST_F(PrinterTest, OneNodeALine) {
  builder_.set_layer("0 (dense 64)");
  Value* y = builder_.Op("MatMul", {x_, w_});
  Value* z = builder_.Op("ingot.Step", {y}, {{"axis", int64_t{1}}, {"mode", std::string("slow")}});
  z->set_name("z");
  z->producer()->set_name("stepper");
  builder_.set_layer("");
  Value* clamped = builder_.Op("Clamp", {z, nullptr, Scalar(builder_, 0.5)});
  graph_.AddOutput(clamped, "y");
  graph_.AddOutput(builder_.Add(w_, w_), "new_w");
  graph_.SetAlias(1, w_);
  EXPECT_EQ(Print(graph_),
            R"(graph "net" {
  input %x: f32[batch, 784]
  input %w: f32[784, 64]  (parameter)
  %2: f32[batch, 64] = MatMul(%x, %w)  # layer 0 (dense 64)
  %z: f32[batch, 64] = ingot.Step(%2) {axis=1, mode="slow"}  # stepper, layer 0 (dense 64)
  %4: f32[] = Constant() {value=f32[] [0.5]}
  %5: f32[batch, 64] = Clamp(%z, _, %4)
  %6: f32[784, 64] = Add(%w, %w)
  output y = %5
  output new_w = %6  (replaces %w)
}
)");
  EXPECT_EQ(Print(*y->producer()), "%2: f32[batch, 64] = MatMul(%x, %w)  # layer 0 (dense 64)");
}

TEST_F(PrinterTest, AmbiguousNamesArePrintedAsNumbers) {
  Value* a = builder_.Add(x_, x_);
  Value* b = builder_.Add(a, x_);
  a->set_name("same");
  b->set_name("same");
  EXPECT_THAT(Print(graph_), HasSubstr("%3: f32[batch, 784] = Add(%2, %x)"));
  b->set_name("12");  // would read as the number of another value
  EXPECT_THAT(Print(graph_), HasSubstr("%3: f32[batch, 784] = Add(%same, %x)"));
  b->set_name("has space");
  EXPECT_THAT(Print(graph_), HasSubstr("%3: "));
}

TEST_F(PrinterTest, SubgraphsAreIndented) {
  auto body = std::make_shared<Graph>("then");
  Builder inside(*body, registry_);
  Value* inner = body->AddInput("inner", x_->type());
  body->AddOutput(inside.Add(inner, inner), "sum");
  graph_.AddOutput(builder_.Op("Branch", {x_, x_}, {{"then_branch", body}}), "y");
  EXPECT_EQ(Print(graph_),
            R"(graph "net" {
  input %x: f32[batch, 784]
  input %w: f32[784, 64]  (parameter)
  %2: f32[batch, 784] = Branch(%x, %x) {then_branch=graph "then"}
    then_branch = graph "then" {
      input %inner: f32[batch, 784]
      %1: f32[batch, 784] = Add(%inner, %inner)
      output sum = %1
    }
  output y = %2
}
)");
}

// Counts unescaped quotes: DOT text is well formed only if each line has an even number.
bool QuotesAreBalanced(const std::string& text) {
  bool inside = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (inside && text[i] == '\\') {
      ++i;
    } else if (text[i] == '"') {
      inside = !inside;
    } else if (text[i] == '\n' && inside) {
      return false;
    }
  }
  return !inside;
}

TEST_F(PrinterTest, DotDrawsNodesEdgesAndSmallConstants) {
  builder_.set_layer("0 (dense \"64\")");
  Value* y = builder_.Op("MatMul", {x_, w_});
  Value* sum = builder_.Add(y, Scalar(builder_, 0.5));
  graph_.AddOutput(sum, "out\"put\\");
  const std::string dot = ToDot(graph_);
  EXPECT_THAT(dot, HasSubstr("digraph \"net\" {"));
  EXPECT_THAT(dot, HasSubstr("label=\"w\\nf32[784, 64]\\nparameter\""));
  EXPECT_THAT(dot, HasSubstr("label=\"MatMul\\nlayer 0 (dense \\\"64\\\")\""));
  EXPECT_THAT(dot, HasSubstr("label=\"Add\\ninput 1 = 0.5\\nlayer"));
  EXPECT_THAT(dot, HasSubstr("\"g_in0\" -> \"g_n2\" [label=\"f32[batch, 784]\"]"));
  EXPECT_THAT(dot, HasSubstr("label=\"out\\\"put\\\\\""));
  EXPECT_THAT(dot, Not(HasSubstr("Constant")));
  EXPECT_TRUE(QuotesAreBalanced(dot)) << dot;
}

TEST_F(PrinterTest, DotDrawsSubgraphsAsClusters) {
  auto body = std::make_shared<Graph>("then");
  Builder inside(*body, registry_);
  Value* inner = body->AddInput("inner", x_->type());
  body->AddOutput(inside.Add(inner, inner), "sum");
  graph_.AddOutput(builder_.Op("Branch", {x_, x_}, {{"then_branch", body}}), "y");
  const std::string dot = ToDot(graph_);
  EXPECT_THAT(dot, HasSubstr("subgraph \"cluster_g_0_then_branch\" {"));
  EXPECT_THAT(dot, HasSubstr("label=\"Branch then_branch\""));
  EXPECT_THAT(dot, HasSubstr("\"g_0_then_branch_in0\" -> \"g_0_then_branch_n1\""));
  EXPECT_TRUE(QuotesAreBalanced(dot)) << dot;
}

}  // namespace
}  // namespace ingot::ir
