// The shape rules of the standard ops: symbols that survive, values that come at run time, and what
// is said where shapes or types do not fit.
#include <cmath>
#include <functional>
#include <limits>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/base/error.h"
#include "ingot/ir/builder.h"
#include "ingot/ops/interpreter.h"
#include "ingot/ops/standard_ops.h"

namespace ingot::ops {
namespace {

using ir::Attribute;
using ir::Attributes;
using ir::Dimensions;
using ir::Type;
using ir::Value;
using ::testing::AllOf;
using ::testing::HasSubstr;

class ShapeRules : public ::testing::Test {
 protected:
  static const ir::OpRegistry& Registry() {
    static const ir::OpRegistry* registry = new ir::OpRegistry(StandardOps());
    return *registry;
  }

  Value* Input(Dimensions dims, DType dtype = DType::kF32) {
    return graph_.AddInput("x" + std::to_string(graph_.inputs().size()),
                           Type::Tensor(dtype, std::move(dims)));
  }
  std::string TypeOf(const std::string& op, std::vector<Value*> inputs,
                     Attributes attributes = {}) {
    return builder_.Op(op, std::move(inputs), std::move(attributes))->type().ToString();
  }
  std::string ErrorOf(const std::string& op, std::vector<Value*> inputs,
                      Attributes attributes = {}) {
    try {
      builder_.Op(op, std::move(inputs), std::move(attributes));
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }
  Value* Ints(const std::vector<int64_t>& values) { return builder_.Ints(values); }

  ir::Graph graph_;
  ir::Builder builder_{graph_, Registry()};
};

Attributes Int(const char* name, int64_t value) {
  return {{name, Attribute(value)}};
}

TEST_F(ShapeRules, ElementwiseKeepsSymbols) {
  Value* x = Input({"batch", 64});
  EXPECT_EQ(TypeOf("Add", {x, Input({64})}), "f32[batch, 64]");
  EXPECT_EQ(TypeOf("Mul", {x, Input({"batch", 1})}), "f32[batch, 64]");
  EXPECT_EQ(TypeOf("Relu", {x}), "f32[batch, 64]");
  EXPECT_EQ(TypeOf("Greater", {x, Input({})}), "bool[batch, 64]");
  EXPECT_EQ(TypeOf("Cast", {x}, Int("to", 11)), "f64[batch, 64]");
}

TEST_F(ShapeRules, ElementwiseNamesBothShapesThatDoNotFit) {
  EXPECT_THAT(ErrorOf("Add", {Input({3, 4}), Input({5})}),
              AllOf(HasSubstr("Add"), HasSubstr("[3, 4]"), HasSubstr("[5]")));
}

TEST_F(ShapeRules, ElementwiseNamesWrongTypes) {
  EXPECT_THAT(ErrorOf("Exp", {Input({2}, DType::kI64)}),
              AllOf(HasSubstr("Exp"), HasSubstr("i64[2]"), HasSubstr("float"), HasSubstr("Cast")));
  EXPECT_THAT(ErrorOf("Add", {Input({2}), Input({2}, DType::kI64)}),
              AllOf(HasSubstr("f32[2]"), HasSubstr("i64[2]")));
  EXPECT_THAT(ErrorOf("And", {Input({2}), Input({2})}), HasSubstr("bool"));
  EXPECT_THAT(ErrorOf("Cast", {Input({2})}, Int("to", 99)), HasSubstr("99"));
  EXPECT_THAT(ErrorOf("Gelu", {Input({2})}, {{"approximate", Attribute(std::string("tan"))}}),
              AllOf(HasSubstr("'tan'"), HasSubstr("none, tanh")));
}

TEST_F(ShapeRules, ReshapeKeepsTheBatch) {
  Value* x = Input({"batch", 28, 28});
  EXPECT_EQ(TypeOf("Reshape", {x, Ints({0, -1})}), "f32[batch, 784]");
  EXPECT_EQ(TypeOf("Reshape", {x, Ints({-1, 784})}), "f32[batch, 784]");
  EXPECT_EQ(TypeOf("Reshape", {x, Ints({0, 1, 784})}), "f32[batch, 1, 784]");
  EXPECT_EQ(TypeOf("Reshape", {x, Ints({-1})}), "f32[batch*784]");
  EXPECT_EQ(TypeOf("Reshape", {x, Ints({-1, 28})}), "f32[batch*28, 28]");
  EXPECT_EQ(TypeOf("Reshape", {Input({"batch*28", 28}), Ints({-1, 28, 28})}), "f32[batch, 28, 28]");
  EXPECT_EQ(TypeOf("Reshape", {Input({"batch*28", 28}), Ints({-1, 14})}), "f32[batch*56, 14]");
  EXPECT_EQ(TypeOf("Reshape", {Input({"batch*28"}), Ints({-1, 56})}), "f32[?, 56]");
  EXPECT_EQ(TypeOf("Reshape", {Input({6, 4}), Ints({3, -1, 2})}), "f32[3, 4, 2]");
  EXPECT_EQ(TypeOf("Reshape", {x, Input({2}, DType::kI64)}), "f32[?, ?]");
  EXPECT_EQ(TypeOf("Reshape", {x, Input({"n"}, DType::kI64)}), "f32[...]");
}

TEST_F(ShapeRules, ReshapeExplainsWhatDoesNotFit) {
  Value* x = Input({3, 4});
  EXPECT_THAT(ErrorOf("Reshape", {x, Ints({5, -1})}),
              AllOf(HasSubstr("f32[3, 4]"), HasSubstr("[5, -1]"), HasSubstr("12 elements")));
  EXPECT_THAT(ErrorOf("Reshape", {x, Ints({13})}), HasSubstr("differ"));
  EXPECT_THAT(ErrorOf("Reshape", {x, Ints({-1, -1})}), HasSubstr("only one -1"));
  EXPECT_THAT(ErrorOf("Reshape", {x, Ints({3, 4, 0})}), HasSubstr("copies axis 2"));
  EXPECT_THAT(ErrorOf("Reshape", {x, Ints({-2})}), HasSubstr("below -1"));
  EXPECT_THAT(ErrorOf("Reshape", {x, Ints({0, -1})}, Int("allowzero", 1)), HasSubstr("beside a 0"));
}

TEST_F(ShapeRules, FlattenKeepsTheBatch) {
  EXPECT_EQ(TypeOf("Flatten", {Input({"batch", 28, 28})}), "f32[batch, 784]");
  EXPECT_EQ(TypeOf("Flatten", {Input({"batch", 28, 28})}, Int("axis", 0)), "f32[1, ?]");
  EXPECT_EQ(TypeOf("Flatten", {Input({2, "batch"})}, Int("axis", 2)), "f32[?, 1]");
  EXPECT_EQ(TypeOf("Flatten", {Input({5})}), "f32[5, 1]");
  EXPECT_THAT(ErrorOf("Flatten", {Input({5})}, Int("axis", 2)), HasSubstr("axis 2"));
}

TEST_F(ShapeRules, SqueezeAndUnsqueeze) {
  Value* x = Input({"batch", 1, 3});
  EXPECT_EQ(TypeOf("Squeeze", {x, Ints({1})}), "f32[batch, 3]");
  EXPECT_EQ(TypeOf("Squeeze", {x}), "f32[...]");
  EXPECT_EQ(TypeOf("Unsqueeze", {x, Ints({0, -1})}), "f32[1, batch, 1, 3, 1]");
  EXPECT_EQ(TypeOf("Unsqueeze", {x, Input({1}, DType::kI64)}), "f32[?, ?, ?, ?]");
  EXPECT_THAT(ErrorOf("Squeeze", {x, Ints({2})}), AllOf(HasSubstr("axis 2"), HasSubstr("not 1")));
  EXPECT_THAT(ErrorOf("Unsqueeze", {x, Ints({0, 0})}), HasSubstr("twice"));
}

TEST_F(ShapeRules, ReductionsDropOrKeepAxes) {
  Value* x = Input({"batch", 3, 4});
  EXPECT_EQ(TypeOf("ReduceSum", {x}, Int("keepdims", 0)), "f32[]");
  EXPECT_EQ(TypeOf("ReduceMean", {x, Ints({-1, 1})}, Int("keepdims", 0)), "f32[batch]");
  EXPECT_EQ(TypeOf("ReduceMax", {x, Ints({0})}), "f32[1, 3, 4]");
  EXPECT_EQ(TypeOf("ReduceSum", {x}, Int("noop_with_empty_axes", 1)), "f32[batch, 3, 4]");
  EXPECT_EQ(TypeOf("ReduceSum", {x, Input({1}, DType::kI64)}, Int("keepdims", 0)), "f32[?, ?]");
  EXPECT_EQ(TypeOf("ArgMax", {x},
                   {{"axis", Attribute(int64_t{-1})}, {"keepdims", Attribute(int64_t{0})}}),
            "i64[batch, 3]");
  EXPECT_THAT(ErrorOf("ReduceSum", {x, Ints({3})}), HasSubstr("axis 3"));
  EXPECT_THAT(ErrorOf("ReduceSum", {x, Ints({1, -2})}), HasSubstr("twice"));
  EXPECT_THAT(ErrorOf("ReduceSum", {Input({2}, DType::kBool)}), HasSubstr("bool[2]"));
  EXPECT_THAT(ErrorOf("ArgMin", {Input({2, int64_t{0}})}, Int("axis", 1)), HasSubstr("no element"));
}

TEST_F(ShapeRules, MovementKeepsSymbols) {
  Value* x = Input({"batch", 3, 4});
  EXPECT_EQ(TypeOf("Transpose", {x}), "f32[4, 3, batch]");
  EXPECT_EQ(TypeOf("Transpose", {x}, {{"perm", Attribute(std::vector<int64_t>{0, 2, 1})}}),
            "f32[batch, 4, 3]");
  EXPECT_EQ(TypeOf("Concat", {x, Input({"batch", 5, 4})}, Int("axis", 1)), "f32[batch, 8, 4]");
  EXPECT_EQ(TypeOf("Concat", {x, x}, Int("axis", 0)), "f32[?, 3, 4]");
  EXPECT_EQ(TypeOf("Concat", {x, Input({int64_t{0}, 3, 4})}, Int("axis", 0)), "f32[batch, 3, 4]");
  EXPECT_EQ(TypeOf("Gather", {Input({100, 8}), Input({"batch", 5}, DType::kI64)}),
            "f32[batch, 5, 8]");
  const std::vector<Value*> parts = builder_.Ops(
      "Split", {x}, 2, {{"axis", Attribute(int64_t{1})}, {"num_outputs", Attribute(int64_t{2})}});
  EXPECT_EQ(parts[0]->type().ToString(), "f32[batch, 2, 4]");
  EXPECT_EQ(parts[1]->type().ToString(), "f32[batch, 1, 4]");
}

TEST_F(ShapeRules, MovementExplainsWhatDoesNotFit) {
  Value* x = Input({2, 3});
  EXPECT_THAT(ErrorOf("Transpose", {x}, {{"perm", Attribute(std::vector<int64_t>{0, 0})}}),
              HasSubstr("[0, 0]"));
  EXPECT_THAT(ErrorOf("Concat", {x, Input({2, 4})}, Int("axis", 0)),
              AllOf(HasSubstr("f32[2, 3]"), HasSubstr("f32[2, 4]"), HasSubstr("axis 0")));
  EXPECT_THAT(ErrorOf("Split", {x, Ints({1})}), HasSubstr("extent 2"));
  EXPECT_THAT(ErrorOf("Split", {x}), HasSubstr("num_outputs"));
  EXPECT_THAT(ErrorOf("Gather", {x, Input({2})}), AllOf(HasSubstr("f32[2]"), HasSubstr("i64")));
  EXPECT_THAT(ErrorOf("Expand", {x, Ints({4})}), AllOf(HasSubstr("[2, 3]"), HasSubstr("[4]")));
}

TEST_F(ShapeRules, SliceKeepsASymbolWhereTheWholeAxisIsTaken) {
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
  Value* x = Input({"batch", 10});
  EXPECT_EQ(TypeOf("Slice", {x, Ints({2}), Ints({-1}), Ints({1})}), "f32[batch, 7]");
  EXPECT_EQ(TypeOf("Slice", {x, Ints({0, 0}), Ints({kMax, 3})}), "f32[batch, 3]");
  EXPECT_EQ(TypeOf("Slice", {x, Ints({-1}), Ints({kMin}), Ints({0}), Ints({-1})}),
            "f32[batch, 10]");
  EXPECT_EQ(TypeOf("Slice", {x, Ints({1}), Ints({kMax})}), "f32[?, 10]");
  EXPECT_THAT(ErrorOf("Slice", {x, Ints({0}), Ints({1}), Ints({1}), Ints({0})}),
              HasSubstr("step 0"));
  EXPECT_THAT(ErrorOf("Slice", {x, Ints({0}), Ints({1, 2})}), HasSubstr("equal numbers"));
  EXPECT_EQ(TypeOf("Pad", {x, Ints({0, 1, 0, 2})}), "f32[batch, 13]");
  EXPECT_THAT(ErrorOf("Pad", {x, Ints({0, -11, 0, 0})}), HasSubstr("cut more"));
  EXPECT_THAT(ErrorOf("Pad", {x, Ints({0, kMax, 0, kMax})}), HasSubstr("more than any tensor has"));
  const std::vector<int64_t> huge = {kMax, 1};
  EXPECT_THAT(
      ErrorOf("Conv", {Input({1, 1, 8, 8}), Input({1, 1, 3, 3})}, {{"dilations", Attribute(huge)}}),
      HasSubstr("more than any picture has"));
  EXPECT_THAT(ErrorOf("Pad", {x, Ints({0, 0, 0, 0})}, {{"mode", Attribute(std::string("mirror"))}}),
              HasSubstr("'mirror'"));
}

TEST_F(ShapeRules, LikeOpsTakeTheOtherShape) {
  Value* x = Input({"batch", 64});
  EXPECT_EQ(TypeOf("ingot.SumToLike", {x, Input({64})}), "f32[64]");
  EXPECT_EQ(TypeOf("ingot.ExpandLike", {Input({64}), x}), "f32[batch, 64]");
  EXPECT_EQ(TypeOf("ingot.ReshapeLike", {Input({ir::Dimension()}), x}), "f32[batch, 64]");
  EXPECT_THAT(ErrorOf("ingot.SumToLike", {x, Input({32})}),
              AllOf(HasSubstr("f32[32]"), HasSubstr("f32[batch, 64]")));
  EXPECT_THAT(ErrorOf("ingot.ExpandLike", {x, Input({64})}), HasSubstr("more axes"));
}

// ---- values that the common cases do not show ----

class SpecialValues : public ShapeRules {
 protected:
  // The f32 results of a graph with the given output, whose inputs are all constants.
  std::vector<double> Run(Value* output) {
    graph_.AddOutput(output, "y");
    return Interpret(graph_, {}).at("y").ToDoubles();
  }
  Value* Floats(std::initializer_list<float> values) {
    return builder_.Constant(Tensor::Of<float>({static_cast<int64_t>(values.size())}, values));
  }
  std::string RunError(Value* output) {
    try {
      Run(output);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }
};

TEST_F(SpecialValues, NanIsNotLost) {
  const float nan = std::nanf("");
  std::vector<double> max =
      Run(builder_.Op("Max", {Floats({nan, 1, 2}), Floats({1, nan, 3}), Floats({0, 0, 9})}));
  EXPECT_TRUE(std::isnan(max[0]));
  EXPECT_TRUE(std::isnan(max[1]));
  EXPECT_EQ(max[2], 9);
}

TEST_F(SpecialValues, NanSurvivesReluAndReductions) {
  const float nan = std::nanf("");
  EXPECT_TRUE(std::isnan(Run(builder_.Op("Relu", {Floats({nan})}))[0]));
  ir::Graph other;
  ir::Builder builder(other, Registry());
  Value* x = builder.Constant(Tensor::Of<float>({3}, {1, nan, 2}));
  other.AddOutput(builder.Op("ReduceMax", {x}), "max");
  other.AddOutput(builder.Op("ReduceLogSumExp", {x}), "lse");
  const auto results = Interpret(other, {});
  EXPECT_TRUE(std::isnan(results.at("max").ToDoubles()[0]));
  EXPECT_TRUE(std::isnan(results.at("lse").ToDoubles()[0]));
}

TEST_F(SpecialValues, NegKeepsTheSignOfZero) {
  EXPECT_TRUE(std::signbit(Run(builder_.Op("Neg", {Floats({0})}))[0]));
}

TEST_F(SpecialValues, GatherNamesAnIndexOutside) {
  Value* gather = builder_.Op("Gather", {Floats({1, 2, 3}), builder_.Ints({0, 3})});
  EXPECT_THAT(RunError(gather),
              AllOf(HasSubstr("Gather"), HasSubstr("index 3"), HasSubstr("extent 3")));
}

TEST_F(SpecialValues, ReshapeAtRunTimeIsChecked) {
  graph_.AddInput("shape", Type::Tensor(DType::kI64, Shape{1}));
  Value* reshaped = builder_.Op("Reshape", {Floats({1, 2, 3}), graph_.inputs()[0]});
  graph_.AddOutput(reshaped, "y");
  try {
    Interpret(graph_, {{"shape", Tensor::Of<int64_t>({1}, {4})}});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.message(), AllOf(HasSubstr("f32[3]"), HasSubstr("[4]"), HasSubstr("differ")));
  }
}

}  // namespace
}  // namespace ingot::ops
