// Tests of dimensions, types and broadcasting.
#include "ingot/ir/type.h"

#include <gtest/gtest.h>

#include "ingot/base/error.h"

namespace ingot::ir {
namespace {

const Dimension kUnknown;

TEST(Dimension, IsStaticSymbolicOrUnknown) {
  EXPECT_TRUE(Dimension(int64_t{0}).is_static());
  EXPECT_EQ(Dimension(64).value(), 64);
  EXPECT_FALSE(Dimension(64).is_symbolic());
  EXPECT_TRUE(Dimension("batch").is_symbolic());
  EXPECT_EQ(Dimension("batch").value(), -1);
  EXPECT_FALSE(kUnknown.is_static());
  EXPECT_FALSE(kUnknown.is_symbolic());
  EXPECT_EQ(Dimension(64).ToString(), "64");
  EXPECT_EQ(Dimension("batch").ToString(), "batch");
  EXPECT_EQ(kUnknown.ToString(), "?");
}

TEST(Dimension, TwoUnknownsAreNotSurelyEqual) {
  EXPECT_TRUE(Dimension(3).SurelyEquals(3));
  EXPECT_FALSE(Dimension(3).SurelyEquals(4));
  EXPECT_TRUE(Dimension("n").SurelyEquals("n"));
  EXPECT_FALSE(Dimension("n").SurelyEquals("m"));
  EXPECT_FALSE(Dimension("n").SurelyEquals(3));
  EXPECT_FALSE(kUnknown.SurelyEquals(kUnknown));
  EXPECT_TRUE(kUnknown == kUnknown);
}

TEST(Type, PrintsAsUsersReadIt) {
  EXPECT_EQ(Type().ToString(), "?");
  EXPECT_EQ(Type::Tensor(DType::kF32, {"batch", 784}).ToString(), "f32[batch, 784]");
  EXPECT_EQ(Type::Tensor(DType::kI64, Shape{}).ToString(), "i64[]");
  EXPECT_EQ(Type::Tensor(DType::kF32, {kUnknown}).ToString(), "f32[?]");
  EXPECT_EQ(Type::TensorOfUnknownRank(DType::kF32).ToString(), "f32[...]");
  const Type sequence = Type::Sequence(Type::Tensor(DType::kF32, {kUnknown}));
  EXPECT_EQ(sequence.ToString(), "seq(f32[?])");
  EXPECT_EQ(Type::Optional(Type::Tensor(DType::kI64, Shape{})).ToString(), "optional(i64[])");
  EXPECT_EQ(Type::Optional(sequence).ToString(), "optional(seq(f32[?]))");
}

TEST(Type, KnowsWhatIsStatic) {
  const Type fixed = Type::Tensor(DType::kF32, Shape{2, 3});
  EXPECT_TRUE(fixed.is_static());
  EXPECT_EQ(fixed.shape(), (Shape{2, 3}));
  EXPECT_EQ(fixed.dim(-1).value(), 3);
  EXPECT_THROW(fixed.dim(2), Error);
  const Type symbolic = Type::Tensor(DType::kF32, {"batch", 3});
  EXPECT_FALSE(symbolic.is_static());
  try {
    symbolic.shape();
    FAIL() << "a symbolic type has no shape";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidInput);
    EXPECT_NE(error.message().find("f32[batch, 3]"), std::string::npos) << error.message();
  }
  try {
    Type::TensorOfUnknownRank(DType::kF32).dims();
    FAIL() << "the rank is unknown";
  } catch (const Error& error) {
    EXPECT_NE(error.message().find("f32[...] has no known rank"), std::string::npos);
  }
  EXPECT_THROW(Type::Sequence(fixed).dims(), Error);
}

TEST(Type, EqualityIsByStructure) {
  const Type a = Type::Tensor(DType::kF32, {"n", 3});
  EXPECT_EQ(a, Type::Tensor(DType::kF32, {"n", 3}));
  EXPECT_FALSE(a == Type::Tensor(DType::kF64, {"n", 3}));
  EXPECT_FALSE(a == Type::Tensor(DType::kF32, {"m", 3}));
  EXPECT_FALSE(a == Type::TensorOfUnknownRank(DType::kF32));
  EXPECT_EQ(Type::Sequence(a), Type::Sequence(Type::Tensor(DType::kF32, {"n", 3})));
  EXPECT_FALSE(Type::Sequence(a) == Type::Optional(a));
  EXPECT_FALSE(Type::Sequence(a) == Type::Sequence(a.WithDType(DType::kF64)));
  EXPECT_EQ(a.WithDims({4}), Type::Tensor(DType::kF32, Shape{4}));
}

TEST(Broadcast, FollowsOnnxAndIsSureOnlyOfWhatIsSure) {
  const auto broadcast = [](Dimensions a, Dimensions b) {
    return ToString(BroadcastDimensions(a, b));
  };
  EXPECT_EQ(broadcast({2, 3}, {3}), "[2, 3]");
  EXPECT_EQ(broadcast({}, {}), "[]");
  EXPECT_EQ(broadcast({2, 1, 5}, {3, 1}), "[2, 3, 5]");
  EXPECT_EQ(broadcast({int64_t{0}, 3}, {1, 3}), "[0, 3]");
  EXPECT_EQ(broadcast({"batch", 64}, {64}), "[batch, 64]");
  EXPECT_EQ(broadcast({"batch", 64}, {1, 64}), "[batch, 64]");
  EXPECT_EQ(broadcast({"batch"}, {"batch"}), "[batch]");
  // The other extent can only be 1 or 5 as well.
  EXPECT_EQ(broadcast({"n"}, {5}), "[5]");
  EXPECT_EQ(broadcast({kUnknown}, {5}), "[5]");
  EXPECT_EQ(broadcast({kUnknown}, {1}), "[?]");
  EXPECT_EQ(broadcast({"n"}, {"m"}), "[?]");
  EXPECT_EQ(broadcast({kUnknown}, {kUnknown}), "[?]");
  EXPECT_EQ(broadcast({"n"}, {kUnknown}), "[?]");
}

TEST(Broadcast, NamesBothShapesWhenTheyDoNotFit) {
  try {
    BroadcastDimensions({"batch", 64}, {10});
    FAIL() << "64 and 10 do not fit";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidInput);
    EXPECT_EQ(error.message(), "shapes [batch, 64] and [10] cannot be broadcast: 64 against 10");
    EXPECT_NE(error.hint().find("last axis"), std::string::npos);
  }
}

}  // namespace
}  // namespace ingot::ir
