// Tests of building, schema checks, inference and specialisation, and of their messages.
#include "ingot/ir/builder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/base/error.h"
#include "ingot/ir/test_ops.h"
#include "ingot/ir/verifier.h"

namespace ingot::ir {
namespace {

using ::testing::HasSubstr;

class BuilderTest : public ::testing::Test {
 protected:
  // The message and hint of what `build` throws.
  template <typename F>
  std::string FailureOf(F&& build) {
    try {
      build();
    } catch (const Error& error) {
      code_ = error.code();
      return error.hint().empty() ? error.message() : error.message() + " | " + error.hint();
    }
    return "";
  }

  const OpRegistry registry_ = TestOps();
  Graph graph_{"net"};
  Builder builder_{graph_, registry_};
  Value* x_ = graph_.AddInput("x", Type::Tensor(DType::kF32, {"batch", 784}));
  Value* w_ = graph_.AddInput("w", Type::Tensor(DType::kF32, Shape{784, 64}), Role::kParameter);
  ErrorCode code_ = ErrorCode::kInternal;
};

TEST_F(BuilderTest, InfersTypesAtOnce) {
  builder_.set_layer("0 (dense 64)");
  Value* y = builder_.Op("MatMul", {x_, w_});
  EXPECT_EQ(y->type().ToString(), "f32[batch, 64]");
  EXPECT_EQ(y->producer()->layer(), "0 (dense 64)");
  Value* sum = builder_.Add(y, Scalar(builder_, 1));
  EXPECT_EQ(sum->type(), y->type());
  const std::vector<Value*> two = builder_.Ops("ingot.Step", {x_, w_}, 2);
  EXPECT_EQ(two[1]->type(), w_->type());
}

TEST_F(BuilderTest, ShapeMismatchNamesNodeLayerAndShapes) {
  builder_.set_layer("1 (dense 10)");
  const size_t before = graph_.node_count();
  EXPECT_EQ(FailureOf([&] { builder_.Op("MatMul", {x_, x_}); }), "");  // 784 against a symbol: open
  EXPECT_EQ(FailureOf([&] {
              builder_.Op("MatMul", {w_, w_});
            }),
            "MatMul node (layer 1 (dense 10)): shapes [784, 64] and [784, 64] do not fit");
  EXPECT_EQ(code_, ErrorCode::kInvalidInput);
  EXPECT_EQ(graph_.node_count(), before + 1) << "the failed node is gone again";
  EXPECT_TRUE(FindProblems(graph_).empty());
}

TEST_F(BuilderTest, ChecksPresenceOfInputsAndOutputs) {
  EXPECT_EQ(FailureOf([&] { builder_.Op("Add", {x_}); }),
            "Add node: input 1 ('B') is missing; it has 1 input");
  EXPECT_EQ(FailureOf([&] {
              builder_.Op("Add", {x_, nullptr});
            }),
            "Add node: input 1 ('B') is missing");
  EXPECT_EQ(FailureOf([&] {
              builder_.Op("Add", {x_, x_, x_});
            }),
            "Add node: it has 3 inputs, but the op takes at most 2");
  EXPECT_EQ(FailureOf([&] {
              builder_.Ops("Add", {x_, x_}, 2);
            }),
            "Add node: it has 2 outputs, but the op takes at most 1");
  EXPECT_EQ(FailureOf([&] { builder_.Op("Clamp", {x_, nullptr, x_}); }), "");
  EXPECT_EQ(FailureOf([&] { builder_.Op("Concat", {x_, x_, x_, x_}); }), "");
  EXPECT_EQ(FailureOf([&] {
              builder_.Op("Concat", {x_, nullptr});
            }),
            "Concat node: input 1 ('parts') is missing");
}

TEST_F(BuilderTest, ChecksElementTypes) {
  Value* i = graph_.AddInput("i", Type::Tensor(DType::kI64, Shape{784}));
  EXPECT_EQ(FailureOf([&] { builder_.Add(x_, i); }),
            "Add node: inputs 0 ('A') f32[batch, 784] and 1 ('B') i64[784] must have one element "
            "type | insert a Cast");
  EXPECT_THAT(FailureOf([&] {
                builder_.Op("Concat", {x_, x_, i});
              }),
              HasSubstr("inputs 0 ('parts') f32[batch, 784] and 2 ('parts') i64[784]"));
}

TEST_F(BuilderTest, ChecksAttributes) {
  EXPECT_EQ(FailureOf([&] {
              builder_.Op("ingot.Step", {x_}, {{"axsi", int64_t{1}}});
            }),
            "ingot.Step node: unknown attribute 'axsi' | did you mean 'axis'?");
  EXPECT_EQ(FailureOf([&] {
              builder_.Op("ingot.Step", {x_}, {{"axis", 1.0}});
            }),
            "ingot.Step node: attribute 'axis' is of kind float, expected int");
  EXPECT_EQ(FailureOf([&] { builder_.Op("Constant", {}); }),
            "Constant node: attribute 'value' (tensor) is required, but missing");
  EXPECT_EQ(FailureOf([&] {
              builder_.Op("Add", {x_, x_}, {{"axis", int64_t{1}}});
            }),
            "Add node: unknown attribute 'axis' | the op has no attributes");
  EXPECT_EQ(FailureOf([&] {
              builder_.Op("Branch", {x_}, {{"then_branch", std::shared_ptr<Graph>()}});
            }),
            "Branch node: attribute 'then_branch' holds no graph");
}

TEST_F(BuilderTest, UnknownOpSuggestsTheNearest) {
  EXPECT_EQ(FailureOf([&] {
              builder_.Op("Ad", {x_, x_});
            }),
            "op 'Ad' is not known | did you mean 'Add'?");
  EXPECT_EQ(code_, ErrorCode::kUnsupported);
}

TEST_F(BuilderTest, SequencesOptionalsAndUnknownExtents) {
  Value* sequence = builder_.Op("SequenceOf", {x_, w_});
  EXPECT_EQ(sequence->type().ToString(), "seq(f32[batch, 784])");
  EXPECT_EQ(builder_.Op("ItemOf", {sequence})->type(), x_->type());
  EXPECT_EQ(builder_.Op("OptionalOf", {sequence})->type().ToString(),
            "optional(seq(f32[batch, 784]))");
  EXPECT_EQ(builder_.Op("Compress", {x_})->type().ToString(), "f32[?]");
  EXPECT_TRUE(FindProblems(graph_).empty());
}

TEST_F(BuilderTest, SubgraphsGiveTheOutputTypes) {
  auto body = std::make_shared<Graph>("then");
  Builder inside(*body, registry_);
  Value* inner = body->AddInput("inner", x_->type());
  body->AddOutput(inside.Add(inner, inner), "sum");
  body->AddOutput(inside.Op("Compress", {inner}), "some");
  const std::vector<Value*> outputs = builder_.Ops("Branch", {x_, x_}, 2, {{"then_branch", body}});
  EXPECT_EQ(outputs[0]->type(), x_->type());
  EXPECT_EQ(outputs[1]->type().ToString(), "f32[?]");
  EXPECT_TRUE(FindProblems(graph_).empty());
}

TEST_F(BuilderTest, ShapeRuleThatGivesNoTypeIsADefect) {
  OpRegistry registry = TestOps();
  OpDefinition op;
  op.name = "Silent";
  op.outputs = {{"y"}};
  op.infer = [](InferContext&) {};
  op.reference = [](const ReferenceCall&) {};
  registry.Add(std::move(op));
  Builder builder(graph_, registry);
  EXPECT_EQ(FailureOf([&] { builder.Op("Silent", {}); }),
            "Silent node: the shape rule gives no type for output 0");
  EXPECT_EQ(code_, ErrorCode::kInternal);
}

TEST_F(BuilderTest, ShapeRulesSeeConstantsAndAbsentInputs) {
  OpRegistry registry = TestOps();
  OpDefinition op;
  op.name = "Fill";
  op.inputs = {{"shape"}, {"like", Port::Presence::kOptional}};
  op.outputs = {{"y"}};
  op.infer = [](InferContext& context) {
    const ingot::Tensor* shape = context.ConstantInput(0);
    const DType dtype = shape != nullptr ? DType::kF32 : context.input(1).dtype();
    context.SetOutput(0, shape != nullptr ? Type::Tensor(dtype, Shape(shape->ToInts()))
                                          : Type::TensorOfUnknownRank(dtype));
  };
  op.reference = [](const ReferenceCall&) {};
  registry.Add(std::move(op));
  Builder builder(graph_, registry);
  EXPECT_EQ(builder.Op("Fill", {builder.Ints({3, 4})})->type().ToString(), "f32[3, 4]");
  EXPECT_EQ(builder.Op("Fill", {x_, w_})->type().ToString(), "f32[...]");
  EXPECT_EQ(FailureOf([&] { builder.Op("Fill", {x_}); }),
            "Fill node: input 1 ('like') is absent, but needed");
}

TEST_F(BuilderTest, LikeHelpersDoNothingForTheSameShape) {
  EXPECT_EQ(builder_.SumToLike(x_, x_), x_);
  Value* same = builder_.Add(x_, x_);
  EXPECT_EQ(builder_.ExpandLike(same, x_), same);
  EXPECT_EQ(builder_.ReshapeLike(same, x_), same);
  Value* open = builder_.Op("Compress", {x_});
  // Two unknown extents need not be the same, so the op would be needed; it is not registered here.
  EXPECT_THAT(FailureOf([&] { builder_.SumToLike(open, open); }), HasSubstr("ingot.SumToLike"));
}

TEST_F(BuilderTest, ScalarLikeTakesTheType) {
  Value* d = graph_.AddInput("d", Type::Tensor(DType::kF64, Shape{2}));
  EXPECT_EQ(builder_.ScalarLike(d, 0.1)->type().ToString(), "f64[]");
  EXPECT_EQ(builder_.ScalarLike(d, 0.1)->producer()->GetTensor("value").ToDoubles()[0], 0.1);
  EXPECT_EQ(builder_.ScalarLike(x_, 0.1)->type().ToString(), "f32[]");
}

TEST_F(BuilderTest, SpecializeBindsSymbols) {
  Value* y = builder_.Op("MatMul", {x_, w_});
  graph_.AddOutput(y, "y");
  const std::unique_ptr<Graph> fixed = Specialize(graph_, {{"batch", 32}});
  EXPECT_EQ(fixed->outputs()[0]->type().ToString(), "f32[32, 64]");
  EXPECT_EQ(fixed->inputs()[0]->type().ToString(), "f32[32, 784]");
  EXPECT_EQ(y->type().ToString(), "f32[batch, 64]") << "the original is untouched";
  EXPECT_EQ(Specialize(graph_, {{"other", 3}})->outputs()[0]->type(), y->type());
  EXPECT_EQ(FailureOf([&] {
              Specialize(graph_, {{"batch", -2}});
            }),
            "dimension 'batch' cannot be -2; a number from 0 on is expected");
}

TEST_F(BuilderTest, SpecializeReachesSequencesButNotBodies) {
  auto body = std::make_shared<Graph>("then");
  Value* inner = body->AddInput("inner", x_->type());
  body->AddOutput(inner, "same");
  graph_.AddInput("s", Type::Optional(Type::Sequence(x_->type())));
  Value* branch = builder_.Op("Branch", {x_, x_}, {{"then_branch", body}});
  graph_.AddOutput(branch, "y");
  const std::unique_ptr<Graph> fixed = Specialize(graph_, {{"batch", 8}});
  EXPECT_EQ(fixed->FindInput("s")->type().ToString(), "optional(seq(f32[8, 784]))");
  const Graph& fixed_body = *fixed->outputs()[0]->producer()->GetGraph("then_branch");
  EXPECT_EQ(fixed_body.inputs()[0]->type().ToString(), "f32[batch, 784]");
}

TEST_F(BuilderTest, SpecializeReportsWhatNoLongerFits) {
  Value* v = graph_.AddInput("v", Type::Tensor(DType::kF32, {"n", 2}));
  builder_.set_layer("3 (dense 2)");
  builder_.Op("MatMul", {x_, v});
  EXPECT_EQ(FailureOf([&] {
              Specialize(graph_, {{"n", 5}});
            }),
            "MatMul node (layer 3 (dense 2)): shapes [batch, 784] and [5, 2] do not fit");
}

}  // namespace
}  // namespace ingot::ir
