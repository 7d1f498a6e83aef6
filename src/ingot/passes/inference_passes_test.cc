// The passes of inference: where each acts, where it must not, and that results stay.
#include <cmath>

#include <gtest/gtest.h>

#include "ingot/ir/builder.h"
#include "ingot/ops/standard_ops.h"
#include "ingot/passes/eliminate_dead_code.h"
#include "ingot/passes/fold_batch_norm.h"
#include "ingot/passes/fuse_attention.h"
#include "ingot/passes/fuse_convolution.h"
#include "ingot/passes/fuse_matmul.h"
#include "ingot/passes/fuse_quantized.h"
#include "ingot/passes/propagate_shapes.h"
#include "ingot/passes/random_graph.h"
#include "ingot/passes/recognize.h"

namespace ingot::passes {
namespace {

using ir::Graph;
using ir::Type;
using ir::Value;
using Ints = std::vector<int64_t>;

class InferencePassTest : public ::testing::Test {
 protected:
  Value* Input(const std::string& name, const Shape& shape, DType dtype = DType::kF32) {
    return graph_.AddInput(name, Type::Tensor(dtype, shape));
  }
  Value* Weights(const Shape& shape, float first = 0.1F) {
    Tensor tensor(DType::kF32, shape);
    float value = first;
    for (float& each : tensor.data<float>()) {
      each = std::sin(value);
      value += 0.7F;
    }
    return b_.Constant(std::move(tensor));
  }
  Value* Number(float value) { return b_.Constant(Tensor::Scalar(value)); }
  // Runs the pass and dead code elimination, with the same results; how many nodes of an op are
  // left.
  void Expect(Value* output, void (*pass)(Graph&, const ir::OpRegistry&),
              const std::map<std::string, int>& left) {
    graph_.AddOutput(output, "y");
    ExpectAfterPass(graph_, registry_, pass, 1e-5, left);
  }

  const ir::OpRegistry registry_ = ops::StandardOps();
  Graph graph_{"net"};
  ir::Builder b_{graph_, registry_};
};

// ---- fold_batch_norm ----

TEST_F(InferencePassTest, BatchNormGoesIntoTheConvolution) {
  Value* x = Input("x", {2, 3, 6, 6});
  Value* h = b_.Op("Conv", {x, Weights({4, 3, 3, 3}), Weights({4})});
  Value* variance = b_.Constant(Tensor::Of<float>({4}, {0.5F, 1, 2, 3}));
  h = b_.Op("BatchNormalization", {h, Weights({4}), Weights({4}, 2), Weights({4}, 3), variance});
  h = b_.Mul(h, Weights({4, 1, 1}, 4));
  Expect(b_.Op("Relu", {h}), FoldBatchNorm,
         {{"BatchNormalization", 0}, {"Mul", 0}, {"Conv", 1}, {"Relu", 1}});
}

TEST_F(InferencePassTest, BatchNormElsewhereIsSpelledOut) {
  Value* x = Input("x", {2, 4, 5});
  Value* variance = b_.Constant(Tensor::Of<float>({4}, {0.5F, 1, 2, 3}));
  Value* h =
      b_.Op("BatchNormalization", {x, Weights({4}), Weights({4}, 2), Weights({4}, 3), variance});
  Expect(h, FoldBatchNorm, {{"BatchNormalization", 0}, {"Mul", 1}, {"Add", 1}});
}

TEST_F(InferencePassTest, BatchNormOfWhatIsUsedTwiceStaysOutside) {
  Value* x = Input("x", {2, 3, 6, 6});
  Value* conv = b_.Op("Conv", {x, Weights({4, 3, 3, 3})});
  Value* scaled = b_.Mul(conv, Weights({4, 1, 1}));
  Expect(b_.Add(scaled, conv), FoldBatchNorm, {{"Conv", 1}, {"Mul", 1}});
}

// ---- recognize ----

TEST_F(InferencePassTest, SpelledOutActivationsAreRecognised) {
  Value* x = Input("x", {3, 5});
  Value* gate = b_.Add(b_.Op("Erf", {b_.Div(x, Number(std::sqrt(2.0F)))}), Number(1));
  Value* gelu = b_.Mul(b_.Mul(x, gate), Number(0.5F));
  Value* swish = b_.Mul(gelu, b_.Op("Sigmoid", {gelu}));
  Value* hard = b_.Mul(b_.Op("HardSigmoid", {swish}, {{"alpha", 1.0 / 6}, {"beta", 0.5}}), swish);
  Expect(hard, RecognizeActivations,
         {{"Gelu", 1}, {"Swish", 1}, {"HardSwish", 1}, {"Mul", 0}, {"Erf", 0}});
}

TEST_F(InferencePassTest, OtherFactorsAreNotActivations) {
  Value* x = Input("x", {3, 5});
  Value* z = Input("z", {3, 5});
  Value* gate = b_.Add(b_.Op("Erf", {b_.Div(x, Number(1.5F))}), Number(1));
  Value* no_gelu = b_.Mul(b_.Mul(x, gate), Number(0.5F));
  Expect(b_.Mul(no_gelu, b_.Op("Sigmoid", {z})), RecognizeActivations,
         {{"Gelu", 0}, {"Swish", 0}, {"Mul", 3}});
}

TEST_F(InferencePassTest, SpelledOutNormalisationsAreRecognised) {
  Value* x = Input("x", {3, 8});
  Value* d = b_.Sub(x, b_.Op("ReduceMean", {x, b_.Ints({-1})}));
  Value* variance = b_.Op("ReduceMean", {b_.Op("Pow", {d, Number(2)}), b_.Ints({1})});
  Value* layer = b_.Div(d, b_.Op("Sqrt", {b_.Add(variance, Number(1e-5F))}));
  layer = b_.Add(b_.Mul(layer, Weights({8})), Weights({8}, 3));
  Value* squares = b_.Op("ReduceMean", {b_.Mul(layer, layer), b_.Ints({-1})});
  Value* root = b_.Op("Reciprocal", {b_.Op("Sqrt", {b_.Add(squares, Number(1e-6F))})});
  Value* rms = b_.Mul(Weights({8}, 5), b_.Mul(layer, root));
  Expect(rms, RecognizeNormalizations,
         {{"LayerNormalization", 1}, {"RMSNormalization", 1}, {"ReduceMean", 0}, {"Sqrt", 0}});
}

TEST_F(InferencePassTest, NormalisationOverAnotherAxisIsLeftAlone) {
  Value* x = Input("x", {3, 8});
  Value* d = b_.Sub(x, b_.Op("ReduceMean", {x, b_.Ints({0})}));
  Value* variance = b_.Op("ReduceMean", {b_.Mul(d, d), b_.Ints({0})});
  Value* y = b_.Div(d, b_.Op("Sqrt", {b_.Add(variance, Number(1e-5F))}));
  Expect(y, RecognizeNormalizations, {{"LayerNormalization", 0}, {"ReduceMean", 2}});
}

// ---- fuse_convolution ----

TEST_F(InferencePassTest, ConvolutionTakesResidualAndActivation) {
  Value* x = Input("x", {1, 4, 6, 6});
  const ir::Attributes same = {{"pads", Ints{1, 1, 1, 1}}};
  Value* h = b_.Op("Clip", {b_.Op("Conv", {x, Weights({4, 4, 3, 3})}, same), Number(0), Number(6)});
  Value* sum = b_.Add(x, b_.Op("Conv", {h, Weights({4, 4, 3, 3}, 2), Weights({4})}, same));
  Expect(b_.Op("Relu", {sum}), FuseConvolution,
         {{"ingot.FusedConv", 2}, {"Conv", 0}, {"Add", 0}, {"Relu", 0}, {"Clip", 0}});
}

TEST_F(InferencePassTest, ConvolutionDoesNotTakeWhatOthersNeed) {
  Value* x = Input("x", {1, 4, 6, 6});
  Value* h = b_.Op("Conv", {x, Weights({4, 4, 1, 1})});
  graph_.AddOutput(h, "h");
  Value* bias = Input("bias", {4, 1, 1});  // another shape than the result
  Value* g = b_.Add(b_.Op("Conv", {h, Weights({4, 4, 1, 1}, 2)}), bias);
  Expect(b_.Add(b_.Op("Relu", {h}), g), FuseConvolution,
         {{"ingot.FusedConv", 2}, {"Relu", 1}, {"Add", 2}});
}

TEST_F(InferencePassTest, ConvolutionWithComputedWeightsIsLeftAlone) {
  Value* x = Input("x", {1, 4, 6, 6});
  Value* w = Input("w", {4, 4, 3, 3});
  Expect(b_.Op("Relu", {b_.Op("Conv", {x, w})}), FuseConvolution,
         {{"ingot.FusedConv", 0}, {"Conv", 1}, {"Relu", 1}});
}

// ---- fuse_attention ----

class AttentionPassTest : public InferencePassTest {
 protected:
  Value* Transposed(Value* x, Ints order) { return b_.Op("Transpose", {x}, {{"perm", order}}); }
  Value* Softmax(Value* x) { return b_.Op("Softmax", {x}, {{"axis", int64_t{-1}}}); }
};

TEST_F(AttentionPassTest, HeadsInPlace) {
  Value* q = Transposed(Input("q", {2, 5, 3, 4}), {0, 2, 1, 3});
  Value* k = Transposed(Input("k", {2, 7, 3, 4}), {0, 2, 3, 1});
  Value* v = Transposed(Input("v", {2, 7, 3, 4}), {0, 2, 1, 3});
  Value* scores = b_.Op("MatMul", {b_.Mul(q, Number(0.7F)), b_.Mul(k, Number(0.7F))});
  scores = b_.Add(scores, Input("mask", {2, 1, 1, 7}));
  Value* y = b_.Op("MatMul", {Softmax(scores), v});
  Expect(Transposed(y, {0, 2, 1, 3}), FuseAttention,
         {{"Attention", 1}, {"MatMul", 0}, {"Softmax", 0}, {"Transpose", 0}});
}

TEST_F(AttentionPassTest, HeadsFirst) {
  Value* q = Input("q", {2, 3, 5, 4});
  Value* k = Transposed(Input("k", {2, 3, 7, 4}), {0, 1, 3, 2});
  Value* scores = b_.Div(b_.Op("MatMul", {q, k}), Number(2));
  Expect(b_.Op("MatMul", {Softmax(scores), Input("v", {2, 3, 7, 6})}), FuseAttention,
         {{"Attention", 1}, {"MatMul", 0}, {"Div", 0}});
}

TEST_F(AttentionPassTest, ScoresThatOthersNeedStay) {
  Value* q = Input("q", {2, 3, 5, 4});
  Value* k = Transposed(Input("k", {2, 3, 7, 4}), {0, 1, 3, 2});
  Value* weights = Softmax(b_.Op("MatMul", {q, k}));
  graph_.AddOutput(weights, "weights");
  Expect(b_.Op("MatMul", {weights, Input("v", {2, 3, 7, 6})}), FuseAttention,
         {{"Attention", 0}, {"MatMul", 2}});
}

// ---- fuse_matmul, stacked ----

TEST_F(InferencePassTest, StackedProductsAreFusedWhereAsked) {
  Value* x = Input("x", {2, 3, 4});
  Value* y = b_.Op("Relu", {b_.Add(b_.Op("MatMul", {x, Weights({4, 5})}), Weights({5}))});
  Expect(y, [](Graph& g, const ir::OpRegistry& r) { FuseMatMul(g, r); },
         {{"ingot.FusedMatMul", 0}, {"MatMul", 1}});
  FuseMatMul(graph_, registry_, {.stacked = true});
  EXPECT_EQ(CountNodes(graph_, "ingot.FusedMatMul"), 1);
  EXPECT_EQ(CountNodes(graph_, "Relu"), 0);
}

// ---- propagate_shapes ----

TEST_F(InferencePassTest, ShapesBecomeConstants) {
  Value* x = Input("x", {2, 6, 4});
  Value* shape = b_.Op("Shape", {x});
  Value* rows = b_.Op("Gather", {shape, b_.Ints({0, 1})});
  Value* all = b_.Op("ReduceProd", {rows}, {{"keepdims", int64_t{1}}});
  Value* target = b_.Op("Concat", {all, b_.Ints({-1})}, {{"axis", int64_t{0}}});
  Value* y = b_.Op("Reshape", {x, target});
  Expect(y, [](Graph& g, const ir::OpRegistry& r) { PropagateShapes(g, r); },
         {{"Shape", 0}, {"Gather", 0}, {"Concat", 0}, {"Reshape", 1}});
  EXPECT_EQ(graph_.outputs()[0]->type().ToString(), "f32[12, 4]");
}

// ---- all of them, on random graphs ----

TEST(InferencePasses, KeepTheResultsOfRandomGraphs) {
  const ir::OpRegistry registry = ops::StandardOps();
  for (uint64_t seed = 0; seed < 40; ++seed) {
    const auto graph = MakeRandomGraph(seed, registry);
    ExpectSameResults(
        *graph,
        [&](Graph& g) {
          PropagateShapes(g, registry);
          FuseQuantized(g, registry);
          FoldBatchNorm(g, registry);
          Recognize(g, registry);
          FuseAttention(g, registry);
          FuseConvolution(g, registry);
          FuseMatMul(g, registry, {.stacked = true});
          EliminateDeadCode(g);
        },
        1e-12);
  }
}

}  // namespace
}  // namespace ingot::passes
