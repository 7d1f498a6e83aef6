// Messages of losses and metrics, and relations between the losses.
#include <functional>

#include <gtest/gtest.h>

#include "ingot/base/error.h"
#include "ingot/ir/builder.h"
#include "ingot/ops/interpreter.h"
#include "ingot/ops/op_case_runner.h"
#include "ingot/ops/standard_ops.h"

namespace ingot::ops {
namespace {

using ir::Dimension;
using ir::Type;
using ir::Value;

class LossesTest : public testing::Test {
 protected:
  Value* Input(ir::Dimensions dims, DType dtype = DType::kF32) {
    return graph_.AddInput("x" + std::to_string(graph_.inputs().size()),
                           Type::Tensor(dtype, std::move(dims)));
  }
  std::string Failure(const std::function<void()>& f) {
    try {
      f();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidInput);
      return error.what();
    }
    return "no error";
  }
  std::string Refusal(const std::string& op, Value* a, Value* b, ir::Attributes attributes = {},
                      size_t outputs = 1) {
    return Failure([&] { builder_.Ops(op, {a, b}, outputs, attributes); });
  }

  const ir::OpRegistry registry_ = StandardOps();
  ir::Graph graph_{"net"};
  ir::Builder builder_{graph_, registry_};
};

TEST_F(LossesTest, HaveOneValueForEachSample) {
  const Dimension batch("batch");
  const auto outputs = builder_.Ops("ingot.SoftmaxCrossEntropy",
                                    {Input({batch, 10}), Input({batch}, DType::kI64)}, 2);
  EXPECT_EQ(outputs[0]->type().ToString(), "f32[batch]");
  EXPECT_EQ(outputs[1]->type().ToString(), "f32[batch, 10]");
  EXPECT_EQ(
      builder_.Op("ingot.Huber", {Input({batch, 3, 2}), Input({batch, 3, 2})})->type().ToString(),
      "f32[batch]");
  EXPECT_EQ(
      builder_.Op("ingot.TopKHits", {Input({batch, 10}, DType::kBf16), Input({batch}, DType::kU8)})
          ->type()
          .ToString(),
      "f32[batch]");
}

TEST_F(LossesTest, NameBothTypesWhenTheyDoNotFit) {
  EXPECT_EQ(Refusal("ingot.SquaredError", Input({4, 1}), Input({4})),
            "ingot.SquaredError node: the prediction is f32[4, 1] and the target f32[4], expected "
            "one shape [N, ...]\n"
            "  hint: losses do not broadcast; reshape the target or change the last layer");
  EXPECT_EQ(Refusal("ingot.SoftmaxCrossEntropy", Input({4, 10}), Input({5}, DType::kI64), {}, 2),
            "ingot.SoftmaxCrossEntropy node: the scores are f32[4, 10] and the labels i64[5], "
            "expected scores [N, C] and labels: integers [N] or floats [N, C]");
  EXPECT_EQ(Refusal("ingot.SoftmaxCrossEntropy", Input({4, 5, 2}), Input({4}, DType::kI64), {}, 2),
            "ingot.SoftmaxCrossEntropy node: the scores are f32[4, 5, 2] and the labels i64[4], "
            "expected scores [N, C] and labels: integers [N] or floats [N, C]\n"
            "  hint: flatten the scores to one row for each sample");
  EXPECT_EQ(Refusal("ingot.TopKHits", Input({4, 10}), Input({4})),
            "ingot.TopKHits node: the scores are f32[4, 10] and the labels f32[4], expected "
            "scores [N, C] and labels: integers [N]\n"
            "  hint: cast the labels to i64, or one-hot encode them");
}

TEST_F(LossesTest, RefuseAttributesOutOfRange) {
  EXPECT_EQ(Refusal("ingot.SoftmaxCrossEntropy", Input({4, 10}), Input({4}, DType::kI64),
                    {{"label_smoothing", 1.5}}, 2),
            "ingot.SoftmaxCrossEntropy node: attribute 'label_smoothing' is 1.500000, expected 0 "
            "to 1");
  EXPECT_EQ(Refusal("ingot.TopKHits", Input({4, 10}), Input({4}, DType::kI64), {{"k", int64_t{0}}}),
            "ingot.TopKHits node: attribute 'k' is 0, expected at least 1");
}

TEST_F(LossesTest, NameTheSampleWhoseLabelIsOutside) {
  graph_.AddOutput(builder_.Ops(
      "ingot.SoftmaxCrossEntropy",
      {Input({Dimension("batch"), 10}), Input({Dimension("batch")}, DType::kI64)}, 2)[0]);
  for (const int64_t label : {-1, 10}) {
    EXPECT_EQ(Failure([&] {
                Interpret(graph_, {{"x0", Tensor(DType::kF32, {3, 10})},
                                   {"x1", Tensor::Of<int64_t>({3}, {0, 9, label})}});
              }),
              "ingot.SoftmaxCrossEntropy node: label " + std::to_string(label) +
                  " of sample 2 of the batch is outside the 10 classes\n"
                  "  hint: labels count from 0 to 9");
  }
}

TEST_F(LossesTest, OneHotAndSparseLabelsAgree) {
  Value* logits = Input({2, 3}, DType::kF64);
  const ir::Attributes smoothed = {{"label_smoothing", 0.2}};
  graph_.AddOutput(
      builder_.Ops("ingot.SoftmaxCrossEntropy", {logits, Input({2}, DType::kI64)}, 2, smoothed)[0],
      "sparse");
  graph_.AddOutput(builder_.Ops("ingot.SoftmaxCrossEntropy", {logits, Input({2, 3}, DType::kF64)},
                                2, smoothed)[0],
                   "one_hot");
  const auto losses = Interpret(graph_, {{"x0", Tensor::Of<double>({2, 3}, {0.5, -1, 2, 3, 0, 1})},
                                         {"x1", Tensor::Of<int64_t>({2}, {2, 0})},
                                         {"x2", Tensor::Of<double>({2, 3}, {0, 0, 1, 1, 0, 0})}});
  EXPECT_EQ(losses.at("sparse").ToDoubles(), losses.at("one_hot").ToDoubles());
}

// Of two classes, softmax cross-entropy is binary cross-entropy of the difference of the logits.
TEST_F(LossesTest, BinaryIsSoftmaxOfTwoClasses) {
  graph_.AddOutput(builder_.Ops("ingot.SoftmaxCrossEntropy",
                                {Input({3, 2}, DType::kF64), Input({3}, DType::kI64)}, 2)[0],
                   "softmax");
  graph_.AddOutput(
      builder_.Op("ingot.BinaryCrossEntropy", {Input({3}, DType::kF64), Input({3}, DType::kF64)}),
      "binary");
  const auto losses =
      Interpret(graph_, {{"x0", Tensor::Of<double>({3, 2}, {0, 1.5, 2, -1, 0, 700})},
                         {"x1", Tensor::Of<int64_t>({3}, {1, 1, 0})},
                         {"x2", Tensor::Of<double>({3}, {1.5, -3, 700})},
                         {"x3", Tensor::Of<double>({3}, {1, 1, 0})}});
  EXPECT_EQ(Compare(losses.at("binary"), losses.at("softmax"), 1e-15), "");
}

TEST_F(LossesTest, MetricHasNoGradient) {
  EXPECT_EQ(registry_.Get("TopKHits", "ingot").gradient, nullptr);
}

}  // namespace
}  // namespace ingot::ops
