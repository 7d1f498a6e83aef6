// Codecs: what comes out, how far it is from what went in, and in how many bytes.
#include "ingot/dist/codec.h"

#include <cmath>
#include <limits>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ingot::dist {
namespace {

using Values = std::vector<float>;

Values Random(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 0.01f);
  Values values(count);
  for (float& value : values) value = normal(random);
  return values;
}

Values ThereAndBack(Codec codec, const Values& values, double top_k = 0.01) {
  Coder coder(top_k);
  std::vector<std::byte> bytes(coder.Bytes(codec, values.size()));
  coder.Encode(codec, values.data(), values.size(), bytes.data());
  Values back(values.size());
  coder.AddDecoded(codec, bytes.data(), values.size(), back.data());
  return back;
}

TEST(Codec, SixteenBitsRoundToNearest) {
  const Values values = Random(3001, 1);
  for (const Codec codec : {Codec::kBf16, Codec::kFp16}) {
    const Values back = ThereAndBack(codec, values);
    const float unit = codec == Codec::kBf16 ? 1.0f / 256 : 1.0f / 2048;
    for (size_t i = 0; i < values.size(); ++i) {
      ASSERT_LE(std::abs(back[i] - values[i]), std::abs(values[i]) * unit + 1e-9f) << i;
    }
    EXPECT_EQ(ThereAndBack(codec, back), back) << "what is rounded stays";
  }
}

TEST(Codec, Fp16IsScaledToTheLargestValue) {
  for (const float magnitude : {1e-30f, 1e-6f, 1.0f, 1e8f, 1e38f}) {
    const Values values = {magnitude, -magnitude / 3, magnitude / 1000, 0};
    const Values back = ThereAndBack(Codec::kFp16, values);
    for (size_t i = 0; i < values.size(); ++i) {
      EXPECT_NEAR(back[i] / magnitude, values[i] / magnitude, 1e-3) << magnitude;
    }
  }
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(std::isnan(ThereAndBack(Codec::kFp16, {1, nan})[1]));
}

TEST(Codec, TopKKeepsTheLargest) {
  EXPECT_THAT(ThereAndBack(Codec::kTopK, {1, -5, 3, 0, 4, -2}, 0.5),
              testing::ElementsAre(0, -5, 3, 0, 4, 0));
  // Of equals the first.
  EXPECT_THAT(ThereAndBack(Codec::kTopK, {2, -2, 2, 2}, 0.5), testing::ElementsAre(2, -2, 0, 0));
  EXPECT_THAT(ThereAndBack(Codec::kTopK, {0, 0, 7}, 0.01), testing::ElementsAre(0, 0, 7));
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(std::isnan(ThereAndBack(Codec::kTopK, {9, nan, 8}, 0.3)[1]));
}

TEST(Codec, OneBitKeepsTheMeansOfBothSigns) {
  EXPECT_THAT(ThereAndBack(Codec::kOneBit, {1, -5, 3, -1}), testing::ElementsAre(2, -3, 2, -3));
  // A block of its own mean for every 512 elements.
  Values values(1024, 1.0f);
  std::fill(values.begin() + 512, values.end(), -4.0f);
  EXPECT_EQ(ThereAndBack(Codec::kOneBit, values), values);
}

TEST(Codec, Bytes) {
  const Coder coder(0.01);
  EXPECT_EQ(coder.Bytes(Codec::kBf16, 100'000), 200'000u);
  EXPECT_EQ(coder.Bytes(Codec::kTopK, 100'000), 8'000u);
  EXPECT_LT(coder.Bytes(Codec::kOneBit, 100'000), 4u * 100'000 / 28);
  EXPECT_EQ(coder.Bytes(Codec::kOneBit, 0), 0u);
}

TEST(Codec, SmallTensorsGoPlain) {
  EXPECT_EQ(CodecFor(Codec::kTopK, 64), Codec::kPlain);
  EXPECT_EQ(CodecFor(Codec::kTopK, 65536), Codec::kTopK);
}

}  // namespace
}  // namespace ingot::dist
