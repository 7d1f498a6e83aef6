// f16 and bf16 against plain implementations in double, on every bit pattern and on every boundary
// between two neighbours.
#include "ingot/tensor/half.h"

#include <bit>
#include <cmath>
#include <limits>

#include <gtest/gtest.h>

namespace ingot {
namespace {

// A 16-bit format: sign, exponent bits, the rest mantissa.
double DecodePlainly(uint16_t bits, int exponent_bits) {
  const int mantissa_bits = 15 - exponent_bits;
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = (bits & 0x7fff) >> mantissa_bits;
  const int mantissa = bits & ((1 << mantissa_bits) - 1);
  const double sign = (bits & 0x8000) != 0 ? -1 : 1;
  if (exponent == (1 << exponent_bits) - 1) {
    return mantissa == 0 ? sign * INFINITY : std::numeric_limits<double>::quiet_NaN();
  }
  const double fraction = std::ldexp(mantissa, -mantissa_bits) + (exponent == 0 ? 0 : 1);
  return sign * std::ldexp(fraction, std::max(exponent, 1) - bias);
}

template <typename Half>
constexpr int kExponentBits = 0;
template <>
constexpr int kExponentBits<Float16> = 5;
template <>
constexpr int kExponentBits<BFloat16> = 8;

template <typename Half>
class HalfTest : public testing::Test {};
using Halves = testing::Types<Float16, BFloat16>;
TYPED_TEST_SUITE(HalfTest, Halves);

TYPED_TEST(HalfTest, EveryPatternDecodesToItsValue) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const auto half = TypeParam::FromBits(static_cast<uint16_t>(bits));
    const double expected = DecodePlainly(static_cast<uint16_t>(bits), kExponentBits<TypeParam>);
    const double value = float{half};
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(value)) << bits;
    } else {
      ASSERT_EQ(value, expected) << bits;
      ASSERT_EQ(std::signbit(value), std::signbit(expected)) << bits;
    }
  }
}

TYPED_TEST(HalfTest, EveryPatternSurvivesTheRoundTrip) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const auto half = TypeParam::FromBits(static_cast<uint16_t>(bits));
    const TypeParam back{float{half}};
    if (std::isnan(float{half})) {
      ASSERT_TRUE(std::isnan(float{back})) << bits;
    } else {
      ASSERT_EQ(back.bits, bits);
    }
  }
}

// Between each number and the next: below the middle it rounds down, above it up, and in the middle
// to the even one. The one after the largest is infinity, as if the format went on.
TYPED_TEST(HalfTest, RoundsToTheNearestAndTiesToEven) {
  const uint32_t infinity = (1u << 15) - (1u << (15 - kExponentBits<TypeParam>));
  for (uint32_t bits = 0; bits < infinity; ++bits) {
    const double low = DecodePlainly(static_cast<uint16_t>(bits), kExponentBits<TypeParam>);
    const uint32_t before = bits == 0 ? 0 : bits - 1;
    const double step =
        bits + 1 < infinity
            ? DecodePlainly(static_cast<uint16_t>(bits + 1), kExponentBits<TypeParam>) - low
            : low - DecodePlainly(static_cast<uint16_t>(before), kExponentBits<TypeParam>);
    const auto middle = static_cast<float>(low + step / 2);
    ASSERT_EQ(middle, low + step / 2) << "the middle must be a float";
    const float below = std::nextafter(middle, -INFINITY);
    const float above = std::nextafter(middle, INFINITY);
    ASSERT_EQ(TypeParam(below).bits, bits);
    ASSERT_EQ(TypeParam(above).bits, bits + 1);
    ASSERT_EQ(TypeParam(middle).bits, bits % 2 == 0 ? bits : bits + 1);
    ASSERT_EQ(TypeParam(-middle).bits, (bits % 2 == 0 ? bits : bits + 1) | 0x8000u);
  }
}

TYPED_TEST(HalfTest, ExtremesGoWhereTheyShould) {
  const uint32_t infinity = (1u << 15) - (1u << (15 - kExponentBits<TypeParam>));
  EXPECT_EQ(TypeParam(INFINITY).bits, infinity);
  EXPECT_EQ(TypeParam(-INFINITY).bits, infinity | 0x8000u);
  EXPECT_EQ(TypeParam(std::numeric_limits<float>::max()).bits, infinity);
  EXPECT_EQ(TypeParam(0.0f).bits, 0);
  EXPECT_EQ(TypeParam(-0.0f).bits, 0x8000);
  EXPECT_EQ(TypeParam(-std::numeric_limits<float>::denorm_min()).bits, 0x8000);
  // Every NaN stays one, those whose payload is in the lost bits too.
  for (const uint32_t bits : {0x7f800001u, 0x7fc00000u, 0xff800001u, 0x7fffffffu}) {
    EXPECT_TRUE(std::isnan(float{TypeParam(std::bit_cast<float>(bits))})) << bits;
  }
}

}  // namespace
}  // namespace ingot
