// Names, sizes and dispatch of element types.
#include "ingot/tensor/dtype.h"

#include <string>
#include <type_traits>

#include <gtest/gtest.h>

#include "ingot/base/error.h"

namespace ingot {
namespace {

TEST(DTypeTest, EveryNameReadsBack) {
  for (int i = 0; i <= static_cast<int>(DType::kI2); ++i) {
    const auto type = static_cast<DType>(i);
    EXPECT_EQ(ParseDType(Name(type)), type);
  }
}

TEST(DTypeTest, NumbersAreOnnx) {
  EXPECT_EQ(static_cast<int>(DType::kF32), 1);
  EXPECT_EQ(static_cast<int>(DType::kI64), 7);
  EXPECT_EQ(static_cast<int>(DType::kBool), 9);
  EXPECT_EQ(static_cast<int>(DType::kBf16), 16);
}

TEST(DTypeTest, UnknownNameIsAnErrorWithTheNearest) {
  try {
    ParseDType("bf61");
    FAIL() << "expected an error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidInput);
    EXPECT_EQ(error.message(), "unknown element type 'bf61'");
    EXPECT_EQ(error.hint(), "did you mean 'bf16'?");
  }
}

TEST(DTypeTest, SizesAreThoseOfTheirCppTypes) {
  const auto check = [](auto tag) {
    using T = typename decltype(tag)::type;
    EXPECT_EQ(ItemSize(DTypeOf<T>()), sizeof(T));
  };
  for (const DType type :
       {DType::kU8, DType::kI8, DType::kU16, DType::kI16, DType::kI32, DType::kI64, DType::kU32,
        DType::kU64, DType::kF16, DType::kBf16, DType::kF32, DType::kF64, DType::kBool}) {
    DispatchAll("test", type, [&](auto tag) {
      EXPECT_EQ(DTypeOf<typename decltype(tag)::type>(), type);
      check(tag);
    });
  }
  EXPECT_EQ(ItemSize(DType::kString), sizeof(StringRef));
  EXPECT_EQ(ItemSize(DType::kI4), 1u);
  EXPECT_EQ(BitWidth(DType::kI4), 4);
  EXPECT_EQ(BitWidth(DType::kU2), 2);
  EXPECT_EQ(BitWidth(DType::kBf16), 16);
  EXPECT_EQ(ItemSize(DType::kComplex128), 16u);
}

TEST(DTypeTest, KindsDoNotOverlap) {
  for (int i = 0; i <= static_cast<int>(DType::kI2); ++i) {
    const auto type = static_cast<DType>(i);
    EXPECT_FALSE(IsFloat(type) && IsInteger(type)) << Name(type);
  }
  EXPECT_TRUE(IsFloat(DType::kBf16));
  EXPECT_TRUE(IsInteger(DType::kU4));
  EXPECT_FALSE(IsInteger(DType::kBool));
  EXPECT_FALSE(IsFloat(DType::kComplex64));
}

TEST(DTypeTest, DispatchRefusesOtherTypes) {
  const auto ignore = [](auto) {};
  EXPECT_THROW(DispatchFloat("test", DType::kI32, ignore), Error);
  EXPECT_THROW(DispatchNumeric("test", DType::kBool, ignore), Error);
  try {
    DispatchAll("Add", DType::kString, ignore);
    FAIL() << "expected an error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
    EXPECT_EQ(error.message(), "Add: element type string is not supported");
  }
}

}  // namespace
}  // namespace ingot
