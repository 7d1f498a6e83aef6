// The generator of random graphs, and the tests over generated graphs: every pass alone and all of
// them together give the same results as none.
#include "ingot/passes/random_graph.h"

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "ingot/ir/builder.h"
#include "ingot/ir/printer.h"
#include "ingot/ir/verifier.h"
#include "ingot/ops/interpreter.h"
#include "ingot/ops/standard_ops.h"
#include "ingot/passes/canonicalize.h"
#include "ingot/passes/eliminate_dead_code.h"
#include "ingot/passes/fold_constants.h"
#include "ingot/passes/fuse_elementwise.h"
#include "ingot/passes/fuse_matmul.h"
#include "ingot/passes/merge_common_subexpressions.h"
#include "ingot/passes/resolve_like.h"

namespace ingot::passes {

namespace {

using ir::Graph;
using ir::Type;
using ir::Value;

// SplitMix64: the same numbers with every standard library.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u + 1) {}
  uint64_t Next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  size_t Below(size_t n) { return static_cast<size_t>(Next() % n); }
  double Uniform() { return static_cast<double>(Next() >> 11) * 0x1p-52 - 1; }  // [-1, 1)

 private:
  uint64_t state_;
};

Tensor RandomTensor(const Shape& shape, Random& random) {
  Tensor tensor(DType::kF64, shape);
  for (double& element : tensor.data<double>()) element = random.Uniform();
  return tensor;
}

class Generator {
 public:
  Generator(uint64_t seed, const ir::OpRegistry& registry, const RandomGraphOptions& options)
      : random_(seed),
        options_(options),
        graph_(std::make_unique<Graph>("random_" + std::to_string(seed))),
        builder_(*graph_, registry) {}

  std::unique_ptr<Graph> Make() {
    for (const Shape& shape : {Shape{4, 6}, Shape{6, 3}, Shape{6}, Shape{4, 1}, Shape{}}) {
      const std::string name = "x" + std::to_string(graph_->inputs().size());
      values_.push_back(graph_->AddInput(name, Type::Tensor(DType::kF64, shape)));
    }
    for (int i = 0; i < options_.nodes; ++i) {
      builder_.set_layer(std::to_string(i / 8));
      if (Value* made = Step()) values_.push_back(made);
    }
    // The last value, and a few on the way.
    graph_->AddOutput(values_.back(), "last");
    for (size_t i = 6; i + 1 < values_.size(); i += 9) {
      graph_->AddOutput(values_[i], "on_the_way_" + std::to_string(i));
    }
    return std::move(graph_);
  }

 private:
  // Recent values are preferred, so that chains come about.
  Value* Any() {
    const size_t back =
        random_.Below(random_.Below(3) == 0 ? values_.size() : std::min<size_t>(4, values_.size()));
    return values_[values_.size() - 1 - back];
  }

  Value* Step() {
    switch (random_.Below(12)) {
      case 0:
      case 1:
      case 2:
        return Unary();
      case 3:
      case 4:
      case 5:
        return Binary();
      case 6:
        return Product();
      case 7:
        return Reduction();
      case 8:
        return Reshaping();
      case 9:
        return Transposition();
      case 10:
        return Neutral();
      default:
        return Constant();
    }
  }

  Value* Unary() {
    static const std::vector<std::string> smooth = {"Neg", "Sigmoid", "Tanh", "Identity"};
    static const std::vector<std::string> all = {"Neg",  "Sigmoid",   "Tanh", "Identity",
                                                 "Relu", "LeakyRelu", "Abs",  "Elu"};
    const std::vector<std::string>& ops = options_.smooth ? smooth : all;
    return builder_.Op(ops[random_.Below(ops.size())], {Any()});
  }

  Value* Binary() {
    static const std::vector<std::string> ops = {"Add", "Sub", "Mul"};
    Value* a = Any();
    Value* b = Any();
    const std::vector<int64_t> x = a->type().shape().dims();
    const std::vector<int64_t> y = b->type().shape().dims();
    for (size_t i = 1; i <= std::min(x.size(), y.size()); ++i) {
      const int64_t m = x[x.size() - i], n = y[y.size() - i];
      if (m != n && m != 1 && n != 1) return nullptr;
    }
    Value* result = builder_.Op(ops[random_.Below(ops.size())], {a, b});
    return random_.Below(2) == 0 ? result : builder_.Op("Tanh", {result});  // keeps values moderate
  }

  Value* Weight(int64_t rows, int64_t columns) {
    const std::string name = "w" + std::to_string(graph_->inputs().size());
    return graph_->AddInput(name, Type::Tensor(DType::kF64, Shape{rows, columns}),
                            ir::Role::kParameter);
  }

  Value* Product() {
    Value* a = Any();
    if (a->type().rank() != 2) return nullptr;
    const int64_t inner = a->type().shape()[1];
    const auto columns = static_cast<int64_t>(2 + random_.Below(5));
    Value* y = nullptr;
    switch (random_.Below(3)) {
      case 0:
        y = builder_.Op("MatMul", {a, Weight(inner, columns)});
        break;
      case 1:
        y = builder_.Op("Gemm", {a, Weight(columns, inner)}, {{"transB", int64_t{1}}});
        break;
      default:
        y = builder_.Op("MatMul", {a, builder_.Op("Transpose", {Weight(columns, inner)})});
    }
    if (random_.Below(2) == 0) {
      y = builder_.Add(y, builder_.Constant(RandomTensor(Shape{columns}, random_)));
    }
    return random_.Below(3) == 0 ? y : builder_.Op("Tanh", {y});
  }

  Value* Reduction() {
    Value* x = Any();
    if (x->type().rank() == 0) return nullptr;
    const auto axis = static_cast<int64_t>(random_.Below(static_cast<size_t>(x->type().rank())));
    const auto keep = static_cast<int64_t>(random_.Below(2));
    return builder_.Op(random_.Below(2) == 0 ? "ReduceSum" : "ReduceMean",
                       {x, builder_.Ints({axis})}, {{"keepdims", keep}});
  }

  Value* Reshaping() {
    Value* x = Any();
    if (x->type().rank() == 1) return builder_.Op("Reshape", {x, builder_.Ints({1, -1})});
    if (x->type().rank() != 2) return nullptr;
    const Shape shape = x->type().shape();
    switch (random_.Below(3)) {
      case 0:
        return builder_.Op("Reshape", {x, builder_.Ints({shape[1], shape[0]})});
      case 1:
        return builder_.Op("Reshape", {x, builder_.Ints({-1})});
      default:
        return builder_.Op("Flatten", {x});
    }
  }

  Value* Transposition() {
    Value* x = Any();
    return x->type().rank() == 2 ? builder_.Op("Transpose", {x}) : nullptr;
  }

  // What passes should find superfluous.
  Value* Neutral() {
    Value* x = Any();
    switch (random_.Below(4)) {
      case 0:
        return builder_.Add(x, builder_.ScalarLike(x, 0));
      case 1:
        return builder_.Mul(builder_.ScalarLike(x, 1), x);
      case 2:
        return builder_.Neg(builder_.Neg(x));
      default:
        return builder_.Mul(x, builder_.ExpandLike(builder_.ScalarLike(x, 0.5), x));
    }
  }

  Value* Constant() {
    static const std::vector<Shape> shapes = {Shape{}, Shape{6}, Shape{1, 6}, Shape{4, 6}};
    return builder_.Constant(RandomTensor(shapes[random_.Below(shapes.size())], random_));
  }

  Random random_;
  const RandomGraphOptions options_;
  std::unique_ptr<Graph> graph_;
  ir::Builder builder_;
  std::vector<Value*> values_;
};

}  // namespace

std::unique_ptr<Graph> MakeRandomGraph(uint64_t seed, const ir::OpRegistry& registry,
                                       const RandomGraphOptions& options) {
  return Generator(seed, registry, options).Make();
}

std::map<std::string, Tensor> RandomInputs(const Graph& graph, uint64_t seed) {
  Random random(seed ^ 0x5eedu);
  std::map<std::string, Tensor> inputs;
  for (const Value* input : graph.inputs()) {
    const Shape shape = input->type().shape();
    inputs[input->name()] = RandomTensor(shape, random).Cast(input->type().dtype());
  }
  return inputs;
}

void ExpectSameResults(Graph& graph, const std::function<void(Graph&)>& change, double tolerance,
                       std::map<std::string, Tensor> inputs) {
  if (inputs.empty()) inputs = RandomInputs(graph, 1);
  const std::string before = ir::Print(graph);
  const std::map<std::string, Tensor> expected = ops::Interpret(graph, inputs);
  change(graph);
  const std::vector<std::string> problems = ir::FindProblems(graph);
  ASSERT_TRUE(problems.empty()) << problems[0] << "\n" << before << ir::Print(graph);
  const std::map<std::string, Tensor> actual = ops::Interpret(graph, inputs);
  ASSERT_EQ(actual.size(), expected.size());
  for (const auto& entry : expected) {
    const Tensor& seen = actual.at(entry.first);
    ASSERT_EQ(seen.Describe(), entry.second.Describe()) << entry.first;
    const std::vector<double> a = entry.second.ToDoubles(), b = seen.ToDoubles();
    double largest = 1;
    for (const double x : a) largest = std::max(largest, std::fabs(x));
    for (size_t i = 0; i < a.size(); ++i) {
      ASSERT_NEAR(a[i], b[i], tolerance * largest)
          << "element " << i << " of '" << entry.first << "'\n"
          << before << ir::Print(graph);
    }
  }
}

int CountNodes(const Graph& graph, const std::string& full_name) {
  int count = 0;
  for (const ir::Node* node : graph.nodes()) count += node->op().FullName() == full_name ? 1 : 0;
  return count;
}

void ExpectAfterPass(ir::Graph& graph, const ir::OpRegistry& registry,
                     void (*pass)(ir::Graph&, const ir::OpRegistry&), double tolerance,
                     const std::map<std::string, int>& left) {
  ExpectSameResults(
      graph,
      [&](ir::Graph& g) {
        pass(g, registry);
        EliminateDeadCode(g);
      },
      tolerance);
  for (const auto& [op, count] : left) EXPECT_EQ(CountNodes(graph, op), count) << op;
}

namespace {

constexpr uint64_t kSeeds = 60;
constexpr double kRounding = 1e-12;

class RandomGraphTest : public ::testing::Test {
 protected:
  void ForEachSeed(const std::function<void(Graph&)>& change, double tolerance) {
    for (uint64_t seed = 0; seed < kSeeds && !HasFatalFailure(); ++seed) {
      SCOPED_TRACE("seed " + std::to_string(seed));
      const std::unique_ptr<Graph> graph = MakeRandomGraph(seed, registry_);
      ExpectSameResults(*graph, change, tolerance);
    }
  }

  const ir::OpRegistry registry_ = ops::StandardOps();
};

TEST_F(RandomGraphTest, AreWholeAndRepeatable) {
  size_t nodes = 0;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    const std::unique_ptr<Graph> graph = MakeRandomGraph(seed, registry_);
    EXPECT_EQ(ir::FindProblems(*graph), std::vector<std::string>());
    EXPECT_EQ(ir::Print(*graph), ir::Print(*MakeRandomGraph(seed, registry_)));
    nodes += graph->node_count();
  }
  EXPECT_GT(nodes, kSeeds * 20);
}

TEST_F(RandomGraphTest, EliminateDeadCode) {
  ForEachSeed(EliminateDeadCode, 0);
}

TEST_F(RandomGraphTest, MergeCommonSubexpressions) {
  ForEachSeed(MergeCommonSubexpressions, 0);
}

TEST_F(RandomGraphTest, FoldConstants) {
  ForEachSeed([this](Graph& graph) { FoldConstants(graph, registry_); }, 0);
}

TEST_F(RandomGraphTest, ResolveLike) {
  ForEachSeed([this](Graph& graph) { ResolveLike(graph, registry_); }, kRounding);
}

TEST_F(RandomGraphTest, Canonicalize) {
  ForEachSeed([this](Graph& graph) { Canonicalize(graph, registry_); }, kRounding);
}

TEST_F(RandomGraphTest, FuseMatMul) {
  ForEachSeed([this](Graph& graph) { FuseMatMul(graph, registry_); }, kRounding);
}

TEST_F(RandomGraphTest, FuseElementwise) {
  ForEachSeed([this](Graph& graph) { FuseElementwise(graph, registry_); }, kRounding);
}

TEST_F(RandomGraphTest, AllPassesTogether) {
  int matmuls = 0, elementwise = 0;
  ForEachSeed(
      [&](Graph& graph) {
        const size_t before = graph.node_count();
        ResolveLike(graph, registry_);
        Canonicalize(graph, registry_);
        FoldConstants(graph, registry_);
        MergeCommonSubexpressions(graph);
        EliminateDeadCode(graph);
        FuseMatMul(graph, registry_);
        FuseElementwise(graph, registry_);
        EliminateDeadCode(graph);
        EXPECT_LE(graph.node_count(), before);
        matmuls += CountNodes(graph, "ingot.FusedMatMul");
        elementwise += CountNodes(graph, "ingot.FusedElementwise");
      },
      kRounding);
  EXPECT_GT(matmuls, 20) << "the graphs should exercise the fusions";
  EXPECT_GT(elementwise, 20);
}

TEST_F(RandomGraphTest, TwiceIsLikeOnce) {
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    const std::unique_ptr<Graph> graph = MakeRandomGraph(seed, registry_);
    const auto simplify = [this](Graph& g) {
      ResolveLike(g, registry_);
      Canonicalize(g, registry_);
      FoldConstants(g, registry_);
      MergeCommonSubexpressions(g);
      EliminateDeadCode(g);
    };
    for (int i = 0; i < 4; ++i) simplify(*graph);
    const std::string settled = ir::Print(*graph);
    simplify(*graph);
    EXPECT_EQ(ir::Print(*graph), settled) << "seed " << seed;
  }
}

}  // namespace
}  // namespace ingot::passes
