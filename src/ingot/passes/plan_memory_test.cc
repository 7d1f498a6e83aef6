// Tests of the memory planner: rules one by one, and the proof on generated graphs that no two live
// values overlap.
#include "ingot/passes/plan_memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/base/error.h"
#include "ingot/ir/builder.h"
#include "ingot/ir/printer.h"
#include "ingot/ops/standard_ops.h"
#include "ingot/passes/fuse_elementwise.h"
#include "ingot/passes/fuse_matmul.h"
#include "ingot/passes/random_graph.h"

namespace ingot::passes {
namespace {

using ir::Graph;
using ir::Type;
using ir::Value;
using ::testing::HasSubstr;

class PlanMemoryTest : public ::testing::Test {
 protected:
  Value* Input(const std::string& name, const Shape& shape) {
    return graph_.AddInput(name, Type::Tensor(DType::kF32, shape));
  }
  MemoryPlan Plan(const MemoryPlanOptions& options = {}) {
    MemoryPlan plan = PlanMemory(graph_, options);
    EXPECT_EQ(CheckMemoryPlan(graph_, plan, options), std::vector<std::string>());
    return plan;
  }

  const ir::OpRegistry registry_ = ops::StandardOps();
  Graph graph_{"net"};
  ir::Builder builder_{graph_, registry_};
};

TEST_F(PlanMemoryTest, ElementwiseOpsRunInPlaceOnWhatDies) {
  Value* x = Input("x", {10, 10});
  Value* a = builder_.Op("MatMul", {x, x});
  Value* b = builder_.Op("Relu", {a});
  Value* c = builder_.Neg(b);
  graph_.AddOutput(c, "y");
  const MemoryPlan plan = Plan();
  EXPECT_FALSE(plan.at(x).in_arena);
  EXPECT_EQ(plan.at(b).storage, a);
  EXPECT_EQ(plan.at(c).storage, a);
  EXPECT_EQ(plan.arena_bytes, 448u) << "400 bytes, aligned to 64";
  EXPECT_EQ(plan.unshared_bytes, 3 * 448u);
  EXPECT_EQ(Plan({.in_place = false}).arena_bytes, 2 * 448u);
}

TEST_F(PlanMemoryTest, NothingIsWrittenOverWhatIsStillNeeded) {
  Value* x = Input("x", {10, 10});
  Value* a = builder_.Op("MatMul", {x, x});
  Value* b = builder_.Op("Relu", {a});
  graph_.AddOutput(builder_.Add(b, a), "y");
  const MemoryPlan plan = Plan();
  EXPECT_NE(plan.at(b).storage, plan.at(a).storage);
  EXPECT_NE(plan.at(b).offset, plan.at(a).offset);
  EXPECT_EQ(plan.at(graph_.outputs()[0]).storage, b);
}

TEST_F(PlanMemoryTest, InputsAreNeverWrittenOver) {
  Value* x = Input("x", {4});
  Value* y = builder_.Neg(x);
  graph_.AddOutput(y, "y");
  const MemoryPlan plan = Plan();
  EXPECT_EQ(plan.at(y).storage, y);
  EXPECT_TRUE(plan.at(y).in_arena);
}

TEST_F(PlanMemoryTest, ASmallerInputCannotBeWrittenOver) {
  Value* x = Input("x", {5, 4});
  Value* row = builder_.Op("ReduceSum", {x, builder_.Ints({0})}, {{"keepdims", int64_t{0}}});
  Value* y = builder_.Add(row, x);
  graph_.AddOutput(y, "y");
  const MemoryPlan plan = Plan();
  EXPECT_EQ(plan.at(y).storage, y);
}

TEST_F(PlanMemoryTest, ReshapesAreViews) {
  Value* x = Input("x", {4, 6});
  Value* a = builder_.Neg(x);
  Value* view = builder_.Op("Reshape", {a, builder_.Ints({24})});
  Value* flat = builder_.Op("Flatten", {view});
  Value* of_input = builder_.Op("Reshape", {x, builder_.Ints({24})});
  graph_.AddOutput(builder_.Add(builder_.Op("Sigmoid", {flat}), of_input), "y");
  const MemoryPlan plan = Plan();
  EXPECT_EQ(plan.at(view).storage, a);
  EXPECT_EQ(plan.at(flat).offset, plan.at(a).offset);
  EXPECT_TRUE(plan.IsView(*view->producer()));
  EXPECT_FALSE(plan.IsView(*a->producer()));
  EXPECT_EQ(plan.at(of_input).storage, x);
  EXPECT_FALSE(plan.at(of_input).in_arena);
  const MemoryPlan copied = Plan({.views = false});
  EXPECT_FALSE(copied.IsView(*of_input->producer()));
}

TEST_F(PlanMemoryTest, AViewKeepsItsBytesAlive) {
  Value* x = Input("x", {4, 6});
  Value* a = builder_.Neg(x);
  Value* view = builder_.Op("Reshape", {a, builder_.Ints({24})});
  Value* b = builder_.Op("Sigmoid", {a});  // the last use of a, but not of its bytes
  graph_.AddOutput(b, "b");
  graph_.AddOutput(builder_.Op("Tanh", {view}), "c");
  const MemoryPlan plan = Plan();
  EXPECT_NE(plan.at(b).storage, a);
}

TEST_F(PlanMemoryTest, OutputsMayBePlacedOutside) {
  Value* x = Input("x", {100});
  Value* a = builder_.Neg(x);
  Value* y = builder_.Op("Sigmoid", {a});
  graph_.AddOutput(y, "y");
  const MemoryPlanOptions options = {.placed_outside = {y}};
  const MemoryPlan plan = Plan(options);
  EXPECT_FALSE(plan.at(y).in_arena);
  EXPECT_EQ(plan.at(y).storage, y);
  EXPECT_EQ(plan.at(y).bytes, 400u);
  EXPECT_EQ(plan.arena_bytes, 448u);
}

TEST_F(PlanMemoryTest, AReshapeToTheOutsideIsACopy) {
  Value* x = Input("x", {4});
  Value* y = builder_.Op("Reshape", {builder_.Neg(x), builder_.Ints({2, 2})});
  graph_.AddOutput(y, "y");
  EXPECT_FALSE(Plan({.placed_outside = {y}}).IsView(*y->producer()));
}

TEST_F(PlanMemoryTest, OutputsInTheArenaLiveToTheEnd) {
  Value* x = Input("x", {16});
  graph_.AddOutput(builder_.Neg(x), "early");
  Value* y = x;
  for (int i = 0; i < 5; ++i) y = builder_.Op("Sigmoid", {builder_.Op("Tanh", {y})});
  graph_.AddOutput(y, "late");
  EXPECT_EQ(Plan().arena_bytes, 128u);
}

TEST_F(PlanMemoryTest, ConstantsAndUnknownSizesLieOutside) {
  Value* x = graph_.AddInput("x", Type::Tensor(DType::kF32, {"batch", 4}));
  Value* c = builder_.ScalarLike(x, 2);
  Value* y = builder_.Mul(x, c);
  graph_.AddOutput(y, "y");
  const MemoryPlan plan = Plan();
  EXPECT_FALSE(plan.at(c).in_arena);
  EXPECT_EQ(plan.at(c).bytes, 4u);
  EXPECT_FALSE(plan.at(y).in_arena);
  EXPECT_EQ(plan.at(y).bytes, 0u);
  EXPECT_EQ(plan.arena_bytes, 0u);
}

TEST_F(PlanMemoryTest, LargestFirstIntoTheSmallestGap) {
  Value* x = Input("x", {1});
  const auto wide = [&](Value* v, int64_t n) {
    return builder_.Op("Expand", {v, builder_.Ints({n})});
  };
  const auto narrow = [&](Value* v) {
    return builder_.Op("ReduceSum", {v, builder_.Ints({0})}, {{"keepdims", int64_t{1}}});
  };
  // Two large values that do not live together share their place.
  Value* a = wide(x, 1000);
  Value* b = wide(narrow(a), 900);
  Value* y = narrow(b);
  graph_.AddOutput(y, "y");
  const MemoryPlan plan = Plan();
  EXPECT_EQ(plan.at(a).offset, plan.at(b).offset);
  EXPECT_EQ(plan.arena_bytes, 4032u + 64u);
}

TEST_F(PlanMemoryTest, GuardsAndScratch) {
  Value* x = Input("x", {16});
  Value* a = builder_.Op("Sigmoid", {x});
  Value* y = builder_.Op("Softmax", {a});
  graph_.AddOutput(y, "y");
  const MemoryPlanOptions options = {.guard_bytes = 64,
                                     .scratch_bytes = [&](const ir::Node& node) -> size_t {
                                       return &node == y->producer() ? 1000 : 0;
                                     }};
  const MemoryPlan plan = Plan(options);
  ASSERT_EQ(plan.scratch.size(), 1u);
  EXPECT_EQ(plan.scratch.at(y->producer()).bytes, 1000u);
  EXPECT_GE(plan.arena_bytes, 1000u + 64 + 128);
}

TEST_F(PlanMemoryTest, ValuesOfOtherGraphsAreADefect) {
  Graph other;
  Value* x = other.AddInput("x", Type::Tensor(DType::kF32, Shape{1}));
  EXPECT_THROW(Plan().at(x), Error);
}

TEST_F(PlanMemoryTest, NoTwoLiveValuesOverlapOnRandomGraphs) {
  size_t shared = 0, unshared = 0;
  for (uint64_t seed = 0; seed < 150; ++seed) {
    const std::unique_ptr<Graph> graph = MakeRandomGraph(seed, registry_, {.nodes = 60});
    if (seed % 3 == 1) FuseMatMul(*graph, registry_);
    if (seed % 3 == 2) FuseElementwise(*graph, registry_);
    for (const bool in_place : {true, false}) {
      for (const bool views : {true, false}) {
        MemoryPlanOptions options{.in_place = in_place, .views = views};
        if (seed % 2 == 1) options.placed_outside = {graph->outputs()[0]};
        if (seed % 5 == 1) options.guard_bytes = 32;
        if (seed % 4 == 1) {
          options.scratch_bytes = [](const ir::Node& node) -> size_t {
            return node.op().elementwise ? 0 : 200;
          };
        }
        const MemoryPlan plan = PlanMemory(*graph, options);
        ASSERT_EQ(CheckMemoryPlan(*graph, plan, options), std::vector<std::string>())
            << "seed " << seed << "\n"
            << ir::Print(*graph);
        if (!in_place || !views) continue;
        shared += plan.arena_bytes;
        unshared += plan.unshared_bytes;
      }
    }
  }
  EXPECT_LT(shared, unshared * 2 / 3) << "sharing should save a good part";
}

// The checker finds what is wrong with a plan.
class CheckMemoryPlanTest : public PlanMemoryTest {
 protected:
  CheckMemoryPlanTest() {
    x_ = Input("x", {16});
    a_ = builder_.Op("Softmax", {x_});
    b_ = builder_.Op("Sigmoid", {a_});
    y_ = builder_.Add(b_, a_);
    graph_.AddOutput(y_, "y");
    plan_ = PlanMemory(graph_, {});
  }
  std::string Problem() {
    const std::vector<std::string> problems = CheckMemoryPlan(graph_, plan_);
    return problems.empty() ? "" : problems[0];
  }
  Value *x_, *a_, *b_, *y_;
  MemoryPlan plan_;
};

TEST_F(CheckMemoryPlanTest, FindsOverlaps) {
  EXPECT_EQ(Problem(), "");
  plan_.values[b_].offset = plan_.values[a_].offset;
  EXPECT_THAT(Problem(), HasSubstr("of Sigmoid node overlaps %1 of Softmax node"));
}

TEST_F(CheckMemoryPlanTest, FindsWrongSharing) {
  plan_.values[b_] = plan_.values[a_];  // in place, though a is still needed
  EXPECT_THAT(Problem(), HasSubstr("which is still needed"));
}

TEST_F(CheckMemoryPlanTest, FindsWhatLiesOutsideTheArena) {
  plan_.arena_bytes -= 64;
  EXPECT_THAT(Problem(), HasSubstr("ends behind the arena"));
}

TEST_F(CheckMemoryPlanTest, FindsWrongSizesAndAlignment) {
  plan_.values[a_].bytes = 60;
  EXPECT_THAT(Problem(), HasSubstr("has 60 bytes, but needs 64"));
  plan_ = PlanMemory(graph_, {});
  plan_.values[a_].offset += 4;
  EXPECT_THAT(Problem(), HasSubstr("is not aligned"));
}

}  // namespace
}  // namespace ingot::passes
