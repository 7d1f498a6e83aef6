// Philox against its published vectors, and RandomKey's streams.
#include "ingot/tensor/philox.h"

#include <array>
#include <cmath>
#include <set>
#include <vector>

#include <gtest/gtest.h>

namespace ingot {
namespace {

// The known answers of Random123 1.14 (kat_vectors, philox4x32 with 10 rounds).
TEST(PhiloxTest, FollowsTheKnownAnswers) {
  EXPECT_EQ(Philox4x32({0, 0, 0, 0}, {0, 0}),
            (PhiloxCounter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(Philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (PhiloxCounter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(Philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (PhiloxCounter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(PhiloxTest, RunsAtCompileTime) {
  static_assert(Philox4x32({0, 0, 0, 0}, {0, 0})[0] == 0x6627e8d5);
  static_assert(RandomKey(1, "a").Uint32(0) != RandomKey(1, "b").Uint32(0));
}

TEST(HashTextTest, IsFnv1a) {
  EXPECT_EQ(HashText(""), 0xcbf29ce484222325u);
  EXPECT_EQ(HashText("a"), 0xaf63dc4c8601ec8cu);
  EXPECT_EQ(HashText("foobar"), 0x85944171f73967e8u);
}

TEST(RandomKeyTest, StreamIsMadeOfBlocksUnderTheKey) {
  const RandomKey key(42, "test", 3, 4);
  const auto& w = key.words();
  for (const uint64_t index : {uint64_t{0}, uint64_t{1}, uint64_t{1} << 40}) {
    const PhiloxCounter block =
        Philox4x32({static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32), w[2], w[3]},
                   {w[0], w[1]});
    EXPECT_EQ(key.Block(index), block);
    for (uint64_t i = 0; i < 4; ++i) EXPECT_EQ(key.Uint32(4 * index + i), block[i]);
    EXPECT_EQ(key.Uint64(2 * index), static_cast<uint64_t>(block[1]) << 32 | block[0]);
    EXPECT_EQ(key.Uint64(2 * index + 1), static_cast<uint64_t>(block[3]) << 32 | block[2]);
  }
}

TEST(RandomKeyTest, EveryPartOfTheKeyMatters) {
  std::set<std::array<uint32_t, 4>> seen;
  const std::vector<RandomKey> keys = {RandomKey(1, "a"),
                                       RandomKey(2, "a"),
                                       RandomKey(uint64_t{1} << 32, "a"),
                                       RandomKey(1, "b"),
                                       RandomKey(1, "a", 1),
                                       RandomKey(1, "a", 0, 1),
                                       RandomKey(1, "a", 1, 1),
                                       RandomKey(1, "a", uint64_t{1} << 32),
                                       RandomKey(1, "a").Fold(0),
                                       RandomKey(1, "a").Fold(1),
                                       RandomKey(1, "a").Fold(0, 1),
                                       RandomKey(1, "a").Fold(1).Fold(2),
                                       RandomKey(1, "a").Fold(2).Fold(1)};
  for (const RandomKey& key : keys) seen.insert(key.words());
  EXPECT_EQ(seen.size(), keys.size());
}

// These numbers may never change: they are what a seed means.
TEST(RandomKeyTest, StaysAsItWas) {
  const RandomKey key(7, "dropout", 1, 2);
  EXPECT_EQ(key.Uint32(0), RandomKey(7, HashText("dropout"), 1, 2).Uint32(0));
  EXPECT_EQ(key.words(),
            (std::array<uint32_t, 4>{0x50cd3280u, 0xd18f957eu, 0xae8a48edu, 0xd781de4au}));
  EXPECT_EQ(key.Uint32(0), 0xb0b2e62fu);
  EXPECT_EQ(key.Uniform(5), 0.062322333581663947);
  EXPECT_DOUBLE_EQ(key.Normal(5), 0.23877336592171619);
}

TEST(RandomKeyTest, UniformNumbersFillTheUnitInterval) {
  const RandomKey key(3, "uniform");
  constexpr int kCount = 100000;
  std::array<int, 10> buckets{};
  double sum = 0;
  for (uint64_t i = 0; i < kCount; ++i) {
    const double u = key.Uniform(i);
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    sum += u;
    ++buckets[static_cast<size_t>(u * 10)];
  }
  EXPECT_NEAR(sum / kCount, 0.5, 5 * std::sqrt(1.0 / 12 / kCount));
  for (const int count : buckets) EXPECT_NEAR(count, kCount / 10, 5 * std::sqrt(kCount * 0.09));
}

TEST(RandomKeyTest, NormalNumbersHaveTheirMoments) {
  const RandomKey key(4, "normal");
  constexpr int kCount = 100000;
  double sum = 0, squares = 0, fourths = 0, beyond_two = 0;
  for (uint64_t i = 0; i < kCount; ++i) {
    const double z = key.Normal(i);
    ASSERT_TRUE(std::isfinite(z));
    sum += z;
    squares += z * z;
    fourths += z * z * z * z;
    beyond_two += std::fabs(z) > 2 ? 1 : 0;
  }
  EXPECT_NEAR(sum / kCount, 0, 5 / std::sqrt(kCount));
  EXPECT_NEAR(squares / kCount, 1, 5 * std::sqrt(2.0 / kCount));
  EXPECT_NEAR(fourths / kCount, 3, 5 * std::sqrt(96.0 / kCount));
  EXPECT_NEAR(beyond_two / kCount, 0.0455, 5 * std::sqrt(0.0455 / kCount));
}

TEST(RandomKeyTest, NeighboursAreNotCorrelated) {
  const RandomKey key(5, "lag");
  constexpr int kCount = 50000;
  double along = 0, across = 0;
  for (uint64_t i = 0; i < kCount; ++i) {
    along += (key.Uniform(i) - 0.5) * (key.Uniform(i + 1) - 0.5);
    across += (key.Fold(i).Uniform(0) - 0.5) * (key.Fold(i + 1).Uniform(0) - 0.5);
  }
  EXPECT_NEAR(along / kCount, 0, 5 * std::sqrt(1.0 / 144 / kCount));
  EXPECT_NEAR(across / kCount, 0, 5 * std::sqrt(1.0 / 144 / kCount));
}

}  // namespace
}  // namespace ingot
