// Tests of the verifier: each kind of damage is found and named.
#include "ingot/ir/verifier.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/base/error.h"
#include "ingot/ir/test_ops.h"

namespace ingot::ir {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class VerifierTest : public ::testing::Test {
 protected:
  const OpRegistry registry_ = TestOps();
  Graph graph_{"net"};
  Builder builder_{graph_, registry_};
  const Type type_ = Type::Tensor(DType::kF32, {"batch", 4});
  Value* x_ = graph_.AddInput("x", type_);
  Value* w_ = graph_.AddInput("w", type_, Role::kParameter);
};

TEST_F(VerifierTest, SoundGraphsHaveNoProblems) {
  graph_.AddOutput(builder_.Add(x_, w_), "y");
  EXPECT_TRUE(FindProblems(graph_).empty());
  EXPECT_NO_THROW(Verify(graph_));
  EXPECT_NO_THROW(Verify(Graph()));
}

TEST_F(VerifierTest, FindsUseBeforeProduction) {
  Value* a = builder_.Add(x_, w_);
  Value* b = builder_.Add(a, w_);
  graph_.AddOutput(b, "y");
  graph_.MoveBefore(b->producer(), a->producer());
  EXPECT_THAT(FindProblems(graph_),
              ElementsAre("Add node: input 0 is not produced before it is used"));
  try {
    Verify(graph_);
    FAIL() << "the graph is broken";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInternal);
    EXPECT_THAT(error.message(), HasSubstr("graph 'net' is broken: Add node: input 0"));
  }
}

TEST_F(VerifierTest, FindsWrongTypes) {
  Value* a = builder_.Add(x_, w_);
  graph_.AddOutput(a, "y");
  a->set_type(Type::Tensor(DType::kF32, {"batch", 5}));
  EXPECT_THAT(FindProblems(graph_),
              ElementsAre("Add node: output 0 is recorded as f32[batch, 5], but its shape rule "
                          "gives f32[batch, 4]"));
  a->set_type(type_.WithDType(DType::kF64));
  EXPECT_EQ(FindProblems(graph_).size(), 1u);
  a->set_type(Type::Tensor(DType::kF32, {"n", 4}));
  EXPECT_EQ(FindProblems(graph_).size(), 1u);
  a->set_type(Type());
  EXPECT_THAT(FindProblems(graph_), ElementsAre("Add node: output 0 has no type"));
  a->set_type(Type::Tensor(DType::kF32, {Dimension(), 4}));
  EXPECT_TRUE(FindProblems(graph_).empty()) << "what is unknown agrees with anything";
}

TEST_F(VerifierTest, FindsNodesThatBreakTheirSchema) {
  Node* node = builder_.Op("ingot.Step", {x_})->producer();
  node->SetAttribute("nonsense", int64_t{1});
  EXPECT_THAT(FindProblems(graph_), ElementsAre("ingot.Step node: unknown attribute 'nonsense'"));
}

TEST_F(VerifierTest, FindsShapesThatNoLongerFit) {
  Value* narrow = graph_.AddInput("narrow", Type::Tensor(DType::kF32, Shape{3}));
  Value* a = builder_.Add(x_, w_);
  a->producer()->SetInput(1, narrow);
  EXPECT_THAT(FindProblems(graph_),
              ElementsAre(HasSubstr("[batch, 4] and [3] cannot be broadcast")));
}

TEST_F(VerifierTest, FindsEqualNames) {
  graph_.AddInput("x", type_);
  graph_.AddOutput(builder_.Add(x_, w_), "y");
  graph_.AddOutput(builder_.Add(x_, x_), "y");
  EXPECT_THAT(FindProblems(graph_),
              ElementsAre("two inputs are named 'x'", "two outputs are named 'y'"));
}

TEST_F(VerifierTest, FindsBrokenAliases) {
  graph_.AddOutput(builder_.Add(x_, w_), "new_w");
  graph_.AddOutput(builder_.Op("Compress", {x_}), "short");
  graph_.SetAlias(0, w_);
  EXPECT_TRUE(FindProblems(graph_).empty());
  graph_.SetAlias(1, x_);
  EXPECT_THAT(FindProblems(graph_),
              ElementsAre("output 'short' f32[?] replaces input 'x' f32[batch, 4]; their types "
                          "must be equal"));
  graph_.SetAlias(1, w_);
  EXPECT_THAT(FindProblems(graph_)[0], HasSubstr("input 'w' is replaced by two outputs"));
  graph_.SetAlias(1, graph_.outputs()[0]);
  EXPECT_THAT(FindProblems(graph_),
              ElementsAre("output 'short' replaces a value that is not an input"));
  graph_.SetAlias(1, x_);
  graph_.SetAlias(9, x_);
  EXPECT_THAT(FindProblems(graph_).back(), HasSubstr("output 9 has an alias, but does not exist"));
}

TEST_F(VerifierTest, LooksIntoSubgraphs) {
  auto body = std::make_shared<Graph>("then");
  Builder inside(*body, registry_);
  Value* inner = body->AddInput("inner", type_);
  Value* sum = inside.Add(inner, inner);
  body->AddOutput(sum, "y");
  Value* branch = builder_.Op("Branch", {x_, x_}, {{"then_branch", body}});
  branch->producer()->set_layer("2 (branch)");
  EXPECT_TRUE(FindProblems(graph_).empty());
  sum->set_type(Type::Tensor(DType::kF32, Shape{1}));
  const std::vector<std::string> problems = FindProblems(graph_);
  ASSERT_FALSE(problems.empty());
  EXPECT_THAT(problems.back(), HasSubstr("Branch node (layer 2 (branch)), then_branch: Add node: "
                                         "output 0 is recorded as f32[1]"));
}

TEST_F(VerifierTest, ManyProblemsAreCounted) {
  for (int i = 0; i < 30; ++i) builder_.Add(x_, w_)->set_type(Type());
  try {
    Verify(graph_);
    FAIL() << "the graph is broken";
  } catch (const Error& error) {
    EXPECT_THAT(error.message(), HasSubstr("and 10 more"));
  }
}

}  // namespace
}  // namespace ingot::ir
