// Tests of attributes: kinds, printing, equality.
#include "ingot/ir/attribute.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "ingot/ir/graph.h"

namespace ingot::ir {
namespace {

TEST(Attribute, KindsFollowTheVariant) {
  EXPECT_EQ(KindOf(int64_t{1}), AttributeKind::kInt);
  EXPECT_EQ(KindOf(1.0), AttributeKind::kFloat);
  EXPECT_EQ(KindOf(std::string("x")), AttributeKind::kString);
  EXPECT_EQ(KindOf(std::vector<int64_t>{1}), AttributeKind::kInts);
  EXPECT_EQ(KindOf(std::vector<double>{1}), AttributeKind::kFloats);
  EXPECT_EQ(KindOf(std::vector<std::string>{"a"}), AttributeKind::kStrings);
  EXPECT_EQ(KindOf(Tensor::Scalar<float>(1)), AttributeKind::kTensor);
  EXPECT_EQ(KindOf(Type()), AttributeKind::kType);
  EXPECT_EQ(KindOf(std::make_shared<Graph>()), AttributeKind::kGraph);
  EXPECT_STREQ(Name(AttributeKind::kGraph), "graph");
  EXPECT_STREQ(Name(AttributeKind::kInts), "ints");
}

TEST(Attribute, PrintsValues) {
  EXPECT_EQ(ToString(int64_t{-3}), "-3");
  EXPECT_EQ(ToString(0.1), "0.1");
  EXPECT_EQ(ToString(std::string("a \"b\"\n")), R"("a \"b\"\n")");
  EXPECT_EQ(ToString(std::vector<int64_t>{1, -2}), "[1, -2]");
  EXPECT_EQ(ToString(std::vector<double>{0.5, 2}), "[0.5, 2]");
  EXPECT_EQ(ToString(std::vector<std::string>{"a", "b"}), R"(["a", "b"])");
  EXPECT_EQ(ToString(Type::Tensor(DType::kF32, {"n"})), "f32[n]");
  EXPECT_EQ(ToString(std::make_shared<Graph>("body")), "graph \"body\"");
}

TEST(Attribute, PrintsSmallTensorsWithTheirValues) {
  EXPECT_EQ(ToString(Tensor::Of<int64_t>({2}, {3, 4})), "i64[2] [3, 4]");
  EXPECT_EQ(ToString(Tensor::Of<float>({1}, {0.5f})), "f32[1] [0.5]");
  EXPECT_EQ(ToString(Tensor(DType::kF32, Shape{100})), "f32[100]");
  EXPECT_EQ(ToString(Tensor()), "empty");
}

TEST(Attribute, EqualityIsBitByBit) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_TRUE(Equal(nan, nan));
  EXPECT_FALSE(Equal(0.0, -0.0));
  EXPECT_FALSE(Equal(int64_t{1}, 1.0));
  EXPECT_TRUE(Equal(std::vector<double>{nan}, std::vector<double>{nan}));
  EXPECT_FALSE(Equal(std::vector<double>{1}, std::vector<double>{1, 2}));
  EXPECT_TRUE(Equal(Tensor::Of<float>({2}, {1, 2}), Tensor::Of<float>({2}, {1, 2})));
  EXPECT_FALSE(Equal(Tensor::Of<float>({2}, {1, 2}), Tensor::Of<float>({2, 1}, {1, 2})));
  EXPECT_FALSE(Equal(Tensor::Of<float>({2}, {1, 2}), Tensor::Of<float>({2}, {1, 3})));
  EXPECT_FALSE(Equal(Tensor::Of<float>({1}, {0}), Tensor::Of<int32_t>({1}, {0})));
  const auto graph = std::make_shared<Graph>();
  EXPECT_TRUE(Equal(graph, graph));
  EXPECT_FALSE(Equal(graph, std::make_shared<Graph>()));
}

}  // namespace
}  // namespace ingot::ir
