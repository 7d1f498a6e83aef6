// Tests of graphs: uses, editing, attributes, deep copies.
#include "ingot/ir/graph.h"

#include <gtest/gtest.h>

#include "ingot/base/error.h"
#include "ingot/ir/printer.h"
#include "ingot/ir/test_ops.h"
#include "ingot/ir/verifier.h"

namespace ingot::ir {
namespace {

class GraphTest : public ::testing::Test {
 protected:
  const OpRegistry registry_ = TestOps();
  Graph graph_{"test"};
  Builder builder_{graph_, registry_};
  const Type type_ = Type::Tensor(DType::kF32, {"batch", 4});
  Value* x_ = graph_.AddInput("x", type_);
};

TEST_F(GraphTest, RecordsUses) {
  Value* sum = builder_.Add(x_, x_);
  ASSERT_EQ(x_->uses().size(), 2u);
  EXPECT_EQ(x_->uses()[0].node, sum->producer());
  EXPECT_EQ(x_->uses()[1].input, 1);
  EXPECT_FALSE(sum->is_used());
  graph_.AddOutput(sum, "y");
  EXPECT_TRUE(sum->is_graph_output());
  EXPECT_TRUE(sum->is_used());
  EXPECT_EQ(x_->producer(), nullptr);
  EXPECT_EQ(sum->output_index(), 0);
  EXPECT_TRUE(FindProblems(graph_).empty());
}

TEST_F(GraphTest, SetInputMovesTheUse) {
  Value* z = graph_.AddInput("z", type_);
  Value* sum = builder_.Add(x_, x_);
  sum->producer()->SetInput(1, z);
  EXPECT_EQ(x_->uses().size(), 1u);
  ASSERT_EQ(z->uses().size(), 1u);
  EXPECT_EQ(z->uses()[0].input, 1);
  Value* clamped = builder_.Op("Clamp", {x_});
  clamped->producer()->SetInput(2, z);  // grows: input 1 is absent
  EXPECT_EQ(clamped->producer()->inputs().size(), 3u);
  EXPECT_EQ(clamped->producer()->input(1), nullptr);
  EXPECT_EQ(clamped->producer()->input(7), nullptr);
  EXPECT_EQ(z->uses().size(), 2u);
}

TEST_F(GraphTest, ReplaceAllUsesReachesNodesAndOutputs) {
  Value* a = builder_.Add(x_, x_);
  Value* b = builder_.Add(a, a);
  graph_.AddOutput(a, "first");
  graph_.AddOutput(b, "second");
  graph_.ReplaceAllUses(a, x_);
  EXPECT_FALSE(a->is_used());
  EXPECT_EQ(b->producer()->input(0), x_);
  EXPECT_EQ(b->producer()->input(1), x_);
  EXPECT_EQ(graph_.outputs()[0], x_);
  graph_.RemoveNode(a->producer());
  EXPECT_EQ(graph_.node_count(), 1u);
  EXPECT_EQ(x_->uses().size(), 2u);
  EXPECT_TRUE(FindProblems(graph_).empty());
}

TEST_F(GraphTest, InsertsAndMoves) {
  Value* a = builder_.Add(x_, x_);
  Builder before(graph_, registry_, a->producer());
  Value* b = before.Add(x_, x_);
  EXPECT_EQ(graph_.nodes(), (std::vector<Node*>{b->producer(), a->producer()}));
  graph_.MoveBefore(a->producer(), b->producer());
  EXPECT_EQ(graph_.nodes(), (std::vector<Node*>{a->producer(), b->producer()}));
  graph_.MoveBefore(a->producer(), a->producer());
  EXPECT_EQ(graph_.node_count(), 2u);
}

TEST_F(GraphTest, OutputsAndAliases) {
  Value* w = graph_.AddInput("w", type_, Role::kParameter);
  graph_.AddOutput(builder_.Add(x_, w), "loss");
  graph_.AddOutput(builder_.Add(w, w), "new_w");
  graph_.AddOutput(builder_.Add(x_, x_));
  EXPECT_EQ(graph_.output_names()[2], "output_2");
  graph_.SetAlias(1, w);
  graph_.RemoveOutput(0);
  ASSERT_EQ(graph_.aliases().size(), 1u);
  EXPECT_EQ(graph_.aliases().at(0), w);
  EXPECT_EQ(graph_.output_names(), (std::vector<std::string>{"new_w", "output_2"}));
  graph_.RemoveOutput(0);
  EXPECT_TRUE(graph_.aliases().empty());
}

TEST_F(GraphTest, InputsAreFoundAndRemoved) {
  Value* w = graph_.AddInput("w", type_);
  EXPECT_EQ(graph_.FindInput("w"), w);
  EXPECT_EQ(graph_.FindInput("v"), nullptr);
  graph_.RemoveInput(w);
  EXPECT_EQ(graph_.FindInput("w"), nullptr);
  EXPECT_EQ(graph_.inputs().size(), 1u);
}

TEST_F(GraphTest, RemovingWhatIsUsedIsADefect) {
  Value* a = builder_.Add(x_, x_);
  builder_.Add(a, a);
  EXPECT_DEATH(graph_.RemoveNode(a->producer()), "still used");
  EXPECT_DEATH(graph_.RemoveInput(x_), "still used");
}

TEST_F(GraphTest, AttributesHaveDefaultsAndKinds) {
  Node* node = builder_.Op("ingot.Step", {x_}, {{"axis", int64_t{2}}})->producer();
  node->set_name("fc1");
  node->set_layer("2 (dense 64)");
  EXPECT_EQ(node->GetInt("axis"), 2);
  EXPECT_EQ(node->GetFloat("epsilon"), 0.5);
  EXPECT_EQ(node->GetString("mode"), "fast");
  EXPECT_EQ(node->FindInts("axes"), nullptr);
  EXPECT_EQ(node->GetInt("nothing", 7), 7);
  node->SetAttribute("axes", std::vector<int64_t>{1, 2});
  EXPECT_EQ(node->FindInts("axes")->size(), 2u);
  node->RemoveAttribute("axis");
  EXPECT_EQ(node->GetInt("axis", 7), -1);  // the op's default, not the caller's
  EXPECT_EQ(node->Describe(), "ingot.Step node 'fc1' (layer 2 (dense 64))");
  try {
    node->GetFloats("scales");
    FAIL() << "scales is absent";
  } catch (const Error& error) {
    EXPECT_EQ(error.message(),
              "ingot.Step node 'fc1' (layer 2 (dense 64)): attribute 'scales' is missing and has "
              "no default");
  }
  try {
    node->GetString("epsilon");
    FAIL() << "epsilon is a float";
  } catch (const Error& error) {
    EXPECT_NE(error.message().find("attribute 'epsilon' is of kind float, expected string"),
              std::string::npos)
        << error.message();
  }
}

TEST_F(GraphTest, CloneIsDeep) {
  auto body = std::make_shared<Graph>("then");
  Value* inner = body->AddInput("inner", type_);
  Builder inside(*body, registry_);
  body->AddOutput(inside.Add(inner, inner), "y");
  Value* w = graph_.AddInput("w", type_, Role::kParameter);
  Value* branch = builder_.Op("Branch", {x_, w}, {{"then_branch", body}});
  branch->set_name("chosen");
  branch->producer()->set_layer("1 (branch)");
  graph_.AddOutput(branch, "y");
  graph_.AddOutput(builder_.Op("Clamp", {w, nullptr, x_}), "new_w");
  graph_.SetAlias(1, w);
  const std::string before = Print(graph_);

  std::map<const Value*, Value*> map;
  const std::unique_ptr<Graph> copy = graph_.Clone(&map);
  EXPECT_EQ(Print(*copy), before);
  EXPECT_TRUE(FindProblems(*copy).empty());
  EXPECT_EQ(map.at(x_), copy->FindInput("x"));
  EXPECT_EQ(copy->aliases().at(1), copy->FindInput("w"));
  EXPECT_EQ(copy->FindInput("w")->role(), Role::kParameter);
  const std::shared_ptr<Graph> copied = map.at(branch)->producer()->GetGraph("then_branch");
  EXPECT_NE(copied, body);
  copied->AddInput("more", type_);
  copy->RemoveOutput(0);
  EXPECT_EQ(Print(graph_), before);
}

}  // namespace
}  // namespace ingot::ir
