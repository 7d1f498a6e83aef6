// The narrow types: every code reads back as itself, and values round as the formats ask.
#include "ingot/tensor/narrow.h"

#include <cmath>

#include <gtest/gtest.h>

#include "ingot/tensor/tensor.h"

namespace ingot {
namespace {

const DType kFloats[] = {DType::kF8E4M3FN,   DType::kF8E4M3FNUZ, DType::kF8E5M2,
                         DType::kF8E5M2FNUZ, DType::kF4E2M1,     DType::kF8E8M0};

TEST(NarrowTest, EveryCodeReadsBack) {
  for (const DType type : kFloats) {
    for (int bits = 0; bits < (type == DType::kF4E2M1 ? 16 : 256); ++bits) {
      const double value = DecodeNarrow(type, static_cast<uint8_t>(bits));
      if (std::isnan(value)) continue;
      EXPECT_EQ(EncodeNarrow(type, value, false), bits) << Name(type) << " " << value;
    }
  }
}

TEST(NarrowTest, LargestNumbersAreThoseOfTheFormats) {
  EXPECT_EQ(DecodeNarrow(DType::kF8E4M3FN, EncodeNarrow(DType::kF8E4M3FN, 1e9)), 448);
  EXPECT_EQ(DecodeNarrow(DType::kF8E4M3FNUZ, EncodeNarrow(DType::kF8E4M3FNUZ, 1e9)), 240);
  EXPECT_EQ(DecodeNarrow(DType::kF8E5M2, EncodeNarrow(DType::kF8E5M2, -1e9)), -57344);
  EXPECT_EQ(DecodeNarrow(DType::kF8E5M2FNUZ, EncodeNarrow(DType::kF8E5M2FNUZ, INFINITY)), 57344);
  EXPECT_EQ(DecodeNarrow(DType::kF4E2M1, EncodeNarrow(DType::kF4E2M1, 100)), 6);
}

TEST(NarrowTest, WithoutSaturationTheRangeEnds) {
  EXPECT_TRUE(
      std::isnan(DecodeNarrow(DType::kF8E4M3FN, EncodeNarrow(DType::kF8E4M3FN, 1e9, false))));
  EXPECT_EQ(DecodeNarrow(DType::kF8E5M2, EncodeNarrow(DType::kF8E5M2, 1e9, false)), INFINITY);
}

TEST(NarrowTest, HalvesGoToTheEvenCode) {
  // Between 1 and 1.125 in f8e4m3fn.
  EXPECT_EQ(DecodeNarrow(DType::kF8E4M3FN, EncodeNarrow(DType::kF8E4M3FN, 1.0625)), 1);
  EXPECT_EQ(DecodeNarrow(DType::kF8E4M3FN, EncodeNarrow(DType::kF8E4M3FN, 1.1875)), 1.25);
}

TEST(NarrowTest, PowersOfTwoRoundAsAsked) {
  const auto cast = [](double value, PowerRounding rounding) {
    return DecodeNarrow(DType::kF8E8M0, EncodeNarrow(DType::kF8E8M0, value, true, rounding));
  };
  EXPECT_EQ(cast(5, PowerRounding::kUp), 8);
  EXPECT_EQ(cast(5, PowerRounding::kDown), 4);
  EXPECT_EQ(cast(5, PowerRounding::kNearest), 4);
  EXPECT_EQ(cast(6, PowerRounding::kNearest), 8);
}

TEST(NarrowTest, SmallIntegersWrapAround) {
  const Tensor x = Tensor::Of<int32_t>({4}, {7, 8, -9, 3});
  EXPECT_EQ(x.Cast(DType::kI4).ToInts(), (std::vector<int64_t>{7, -8, 7, 3}));
  EXPECT_EQ(x.Cast(DType::kU2).ToInts(), (std::vector<int64_t>{3, 0, 3, 3}));
}

}  // namespace
}  // namespace ingot
