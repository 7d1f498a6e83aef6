// The keyed shuffle is a permutation, differs by seed and epoch, and looks random.
#include "ingot/data/shuffle.h"

#include <cmath>
#include <set>
#include <vector>

#include <gtest/gtest.h>

#include "ingot/base/error.h"
#include "ingot/data/selection.h"

namespace ingot::data {
namespace {

std::vector<int64_t> All(const Shuffle& shuffle) {
  std::vector<int64_t> order;
  for (int64_t i = 0; i < shuffle.size(); ++i) order.push_back(shuffle(i));
  return order;
}

TEST(ShuffleTest, IsAPermutationForEverySize) {
  std::vector<int64_t> sizes;
  for (int64_t n = 1; n <= 300; ++n) sizes.push_back(n);
  for (const int64_t n : {1023, 1024, 1025, 2000, 60000, 65535, 65536, 65537}) sizes.push_back(n);
  for (const int64_t n : sizes) {
    const Shuffle shuffle(n, 7, 3);
    std::vector<bool> seen(static_cast<size_t>(n));
    for (const int64_t x : All(shuffle)) {
      ASSERT_GE(x, 0);
      ASSERT_LT(x, n);
      ASSERT_FALSE(seen[static_cast<size_t>(x)]) << "n = " << n << ", twice: " << x;
      seen[static_cast<size_t>(x)] = true;
    }
  }
}

TEST(ShuffleTest, IsAFunctionOfSeedEpochAndPurpose) {
  const std::vector<int64_t> order = All(Shuffle(1000, 1, 0));
  EXPECT_EQ(order, All(Shuffle(1000, 1, 0)));
  EXPECT_NE(order, All(Shuffle(1000, 1, 1)));
  EXPECT_NE(order, All(Shuffle(1000, 2, 0)));
  EXPECT_NE(order, All(Shuffle(1000, 1, 0, ShufflePurpose::kSplit)));
}

TEST(ShuffleTest, WorksBeyond32Bits) {
  const int64_t n = (int64_t{1} << 40) + 12345;
  const Shuffle shuffle(n, 5, 0);
  std::set<int64_t> seen;
  for (int64_t i = 0; i < 2000; ++i) {
    const int64_t x = shuffle(n - 1 - i);
    EXPECT_GE(x, 0);
    EXPECT_LT(x, n);
    seen.insert(x);
  }
  EXPECT_EQ(seen.size(), 2000u);
}

// Every element should come first equally often over the epochs: chi-squared over 10 cells.
TEST(ShuffleTest, EveryElementComesFirstEquallyOften) {
  constexpr int64_t kSize = 10;
  constexpr int64_t kEpochs = 20000;
  for (const int64_t position : {0, 4, 9}) {
    std::vector<double> count(kSize);
    for (int64_t epoch = 0; epoch < kEpochs; ++epoch) {
      ++count[static_cast<size_t>(Shuffle(kSize, 11, epoch)(position))];
    }
    double chi = 0;
    for (const double c : count) {
      const double expected = static_cast<double>(kEpochs) / kSize;
      chi += (c - expected) * (c - expected) / expected;
    }
    EXPECT_LT(chi, 33.7) << "position " << position;  // 9 degrees of freedom, p = 0.0001
  }
}

// Neighbours of the file should not stay neighbours, and positions should not follow the file.
TEST(ShuffleTest, HasNoOrderLeft) {
  constexpr int64_t kSize = 60000;
  const std::vector<int64_t> order = All(Shuffle(kSize, 3, 0));
  int64_t neighbours = 0;
  double correlation = 0;
  const double mean = (kSize - 1) / 2.0;
  for (size_t i = 0; i + 1 < order.size(); ++i) {
    neighbours += std::abs(order[i + 1] - order[i]) == 1 ? 1 : 0;
    correlation += (static_cast<double>(order[i]) - mean) * (static_cast<double>(i) - mean);
  }
  EXPECT_LT(neighbours, 12);  // 2 expected, Poisson
  correlation /= std::pow(kSize, 3) / 12;
  EXPECT_LT(std::abs(correlation), 0.02);  // standard deviation 0.004
}

// Within a batch the classes of a file sorted by class should be mixed as by drawing.
TEST(ShuffleTest, MixesSortedClasses) {
  const Shuffle shuffle(60000, 9, 0);
  double chi = 0;
  for (int64_t batch = 0; batch < 100; ++batch) {
    std::vector<double> count(10);
    for (int64_t i = 0; i < 100; ++i) {
      ++count[static_cast<size_t>(shuffle(batch * 100 + i) / 6000)];
    }
    for (const double c : count) chi += (c - 10) * (c - 10) / 10;
  }
  EXPECT_GT(chi, 700);  // 900 degrees of freedom, standard deviation 42
  EXPECT_LT(chi, 1100);
}

TEST(ShuffleTest, RefusesANegativeSize) {
  try {
    Shuffle(-1, 0, 0);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.message(), "cannot shuffle -1 samples");
  }
}

TEST(SelectionTest, LimitsAndSplits) {
  const Selection all = Selection::All(100);
  EXPECT_EQ(all[42], 42);
  EXPECT_EQ(all.First(10).size(), 10);
  EXPECT_EQ(all.First(1000).size(), 100);
  const auto [train, validation] = all.First(50).Split(0.2, 1);
  EXPECT_EQ(train.size(), 40);
  EXPECT_EQ(validation.size(), 10);
  std::set<int64_t> records;
  for (int64_t i = 0; i < train.size(); ++i) records.insert(train[i]);
  for (int64_t i = 0; i < validation.size(); ++i) records.insert(validation[i]);
  EXPECT_EQ(records.size(), 50u);
  EXPECT_EQ(*records.rbegin(), 49);
  const auto again = all.First(50).Split(0.2, 1);
  EXPECT_EQ(again.second[3], validation[3]);
  // Never empty.
  EXPECT_EQ(Selection::All(2).Split(0.0001, 1).second.size(), 1);
  EXPECT_EQ(Selection::All(2).Split(0.9999, 1).first.size(), 1);
}

TEST(SelectionTest, SaysWhatCannotBeSplit) {
  try {
    Selection::All(1).Split(0.5, 0);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.message(), "cannot split 1 samples at a share of 0.5");
  }
  EXPECT_THROW(Selection::All(10).Split(1, 0), Error);
  EXPECT_THROW(Selection::All(10).First(0), Error);
}

}  // namespace
}  // namespace ingot::data
