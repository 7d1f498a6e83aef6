// The vector operations against the functions of the standard library in double, over special
// values and ragged counts, on every instruction set.
#include "backends/cpu/vector_ops.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "backends/cpu/buffer_test_util.h"
#include "backends/cpu/kernel_table.h"
#include "ingot/tensor/philox.h"

namespace ingot::cpu {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kLargest = std::numeric_limits<float>::max();
constexpr float kSmallestNormal = std::numeric_limits<float>::min();
constexpr float kSmallest = std::numeric_limits<float>::denorm_min();
constexpr float kAlpha = 0.25f;

// What an op is to give, in double, and how far from it its result may be: `relative` of the result
// plus `absolute`; both 0: exactly the result rounded to float.
struct Expectation {
  VectorOp op;
  const char* name;
  int inputs;
  double (*function)(double a, double b);
  double relative;
  double absolute;
};

double Maximum(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return kNaN;
  return std::max(a, b);
}
double Minimum(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return kNaN;
  return std::min(a, b);
}
double GeluOf(double a, double) {
  return 0.5 * a * (1 + std::erf(a * std::sqrt(0.5)));
}
double GeluTanhOf(double a, double) {
  return 0.5 * a * (1 + std::tanh(0.79788456080286535588 * (a + 0.044715 * a * a * a)));
}

const std::vector<Expectation>& Expectations() {
  // Products and differences of rounded parts are allowed a few roundings of their largest part.
  static const std::vector<Expectation> all = {
      {VectorOp::kAdd, "Add", 2, [](double a, double b) { return a + b; }, 0, 0},
      {VectorOp::kSub, "Sub", 2, [](double a, double b) { return a - b; }, 0, 0},
      {VectorOp::kMul, "Mul", 2, [](double a, double b) { return a * b; }, 0, 0},
      {VectorOp::kDiv, "Div", 2, [](double a, double b) { return a / b; }, 0, 0},
      {VectorOp::kMax, "Max", 2, Maximum, 0, 0},
      {VectorOp::kMin, "Min", 2, Minimum, 0, 0},
      {VectorOp::kNeg, "Neg", 1, [](double a, double) { return -a; }, 0, 0},
      {VectorOp::kAbs, "Abs", 1, [](double a, double) { return std::fabs(a); }, 0, 0},
      {VectorOp::kExp, "Exp", 1, [](double a, double) { return std::exp(a); }, 5e-7, 2e-45},
      {VectorOp::kLog, "Log", 1, [](double a, double) { return std::log(a); }, 5e-7, 0},
      {VectorOp::kSqrt, "Sqrt", 1, [](double a, double) { return std::sqrt(a); }, 0, 0},
      {VectorOp::kReciprocal, "Reciprocal", 1, [](double a, double) { return 1 / a; }, 0, 0},
      {VectorOp::kIdentity, "Identity", 1, [](double a, double) { return a; }, 0, 0},
      {VectorOp::kRelu, "Relu", 1, [](double a, double) { return a < 0 ? 0 : a; }, 0, 0},
      {VectorOp::kLeakyRelu, "LeakyRelu", 1,
       [](double a, double) { return a < 0 ? kAlpha * a : a; }, 0, 0},
      {VectorOp::kElu, "Elu", 1,
       [](double a, double) { return a < 0 ? kAlpha * std::expm1(a) : a; }, 5e-7, 2e-45},
      {VectorOp::kSigmoid, "Sigmoid", 1, [](double a, double) { return 1 / (1 + std::exp(-a)); },
       5e-7, 2e-38},
      {VectorOp::kTanh, "Tanh", 1, [](double a, double) { return std::tanh(a); }, 5e-7, 0},
      {VectorOp::kGelu, "Gelu", 1, GeluOf, 5e-7, 1e-6},
      {VectorOp::kGeluTanh, "GeluTanh", 1, GeluTanhOf, 5e-7, 1e-6},
      {VectorOp::kReluGradient, "ReluGradient", 2, [](double a, double b) { return b > 0 ? a : 0; },
       0, 0},
      {VectorOp::kLeakyReluGradient, "LeakyReluGradient", 2,
       [](double a, double b) { return b < 0 ? kAlpha * a : a; }, 0, 0},
      {VectorOp::kEluGradient, "EluGradient", 2,
       [](double a, double b) { return b < 0 ? a * (b + kAlpha) : a; }, 5e-7, 2e-45},
      {VectorOp::kSigmoidGradient, "SigmoidGradient", 2,
       [](double a, double b) { return a * (b * (1 - b)); }, 5e-7, 2e-45},
      {VectorOp::kTanhGradient, "TanhGradient", 2,
       [](double a, double b) { return a * (1 - b * b); }, 5e-7, 2e-45},
      {VectorOp::kAtLeast, "AtLeast", 2, [](double a, double b) { return a < b ? b : a; }, 0, 0},
      {VectorOp::kAtMost, "AtMost", 2, [](double a, double b) { return a > b ? b : a; }, 0, 0},
      {VectorOp::kIsAtLeast, "IsAtLeast", 2, [](double a, double b) { return a < b ? 0.0 : 1.0; },
       0, 0},
      {VectorOp::kIsAtMost, "IsAtMost", 2, [](double a, double b) { return a > b ? 0.0 : 1.0; }, 0,
       0},
      {VectorOp::kKeepWhere, "KeepWhere", 2, [](double a, double b) { return b == 0 ? 0 : a; }, 0,
       0},
      {VectorOp::kKeepAtLeast, "KeepAtLeast", 2,
       [](double a, double b) { return b < kAlpha ? 0 : a; }, 0, 0},
      {VectorOp::kKeepAtMost, "KeepAtMost", 2,
       [](double a, double b) { return b > kAlpha ? 0 : a; }, 0, 0},
  };
  return all;
}

// In steps that the polynomials' ranges do not divide, the ends of exp and log among them.
std::vector<float> SpecialValues() {
  std::vector<float> values = {
      0.0f,      -0.0f,      1.0f,       -1.0f,    0.5f,      -0.5f,           2.0f,
      kNaN,      kInfinity,  -kInfinity, kLargest, -kLargest, kSmallestNormal, -kSmallestNormal,
      kSmallest, -kSmallest, 1e-40f,     -1e-40f,  1e-6f,     -1e-6f,          1e30f,
      -1e30f,    88.7f,      88.71f,     88.72f,   88.7228f,  88.7229f,        89.0f,
      -87.3f,    -87.5f,     -100.0f,    -103.9f,  -104.1f,   20.0f,           -20.0f,
      1e4f,      -1e4f};
  for (float x = -12; x <= 12; x += 0.37f) values.push_back(x);
  for (float x = -110; x <= 92; x += 3.1f) values.push_back(x);
  return values;
}

// Every value with every one of the others where there are two inputs.
std::pair<std::vector<float>, std::vector<float>> Pairs(int inputs) {
  const std::vector<float> values = SpecialValues();
  if (inputs == 1) return {values, values};
  std::vector<float> a, b;
  for (const float x : values) {
    for (const float y : values) {
      a.push_back(x);
      b.push_back(y);
    }
  }
  return {a, b};
}

bool SameBits(float a, float b) {
  return std::memcmp(&a, &b, sizeof(a)) == 0;
}

class VectorOps : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { UseInstructionSet(GetParam()); }
  void TearDown() override { UseInstructionSet(""); }
};

INSTANTIATE_TEST_SUITE_P(EverySet, VectorOps, testing::ValuesIn(InstructionSets()),
                         [](const auto& info) { return info.param; });

// What a formula of rounded parts may overflow to, or may not: beyond float's range on the way.
bool OverflowsOnTheWay(const Expectation& e, double a, double b) {
  if (e.op == VectorOp::kSigmoidGradient || e.op == VectorOp::kTanhGradient) {
    return std::fabs(b) > 1e15 || std::fabs(a * b * b) > 1e38 || std::fabs(b) < 1e-30;
  }
  if (e.op == VectorOp::kEluGradient) return std::fabs(a * (std::fabs(b) + 1)) > 1e38;
  return false;
}

TEST_P(VectorOps, GiveTheFunctionsOfSpecialValues) {
  for (const Expectation& e : Expectations()) {
    const auto [a, b] = Pairs(e.inputs);
    ExactCopy left(a), right(b);
    GuardedBuffer out(a.size() * sizeof(float), 4);
    ApplyVectorOp(e.op, kAlpha, left.floats(), e.inputs == 2 ? right.floats() : nullptr,
                  out.floats(), a.size());
    EXPECT_TRUE(out.Intact()) << e.name;
    for (size_t i = 0; i < a.size(); ++i) {
      if (OverflowsOnTheWay(e, a[i], b[i])) continue;
      const double exact = e.function(a[i], b[i]);
      const auto expected = static_cast<float>(exact);
      const float seen = out.values()[i];
      const std::string what =
          std::string(e.name) + "(" + std::to_string(a[i]) + ", " + std::to_string(b[i]) + ")";
      if (std::isnan(expected)) {
        EXPECT_TRUE(std::isnan(seen)) << what << " is " << seen;
      } else if (std::isinf(expected) || (e.relative == 0 && e.absolute == 0)) {
        EXPECT_EQ(seen, expected) << what;
      } else {
        EXPECT_LE(std::fabs(seen - exact), e.relative * std::fabs(exact) + e.absolute)
            << what << " is " << seen << ", expected " << expected;
      }
    }
  }
}

TEST_P(VectorOps, KeepTheSignOfZero) {
  const std::vector<std::pair<VectorOp, float>> expected = {{VectorOp::kNeg, 0.0f},
                                                            {VectorOp::kAbs, 0.0f},
                                                            {VectorOp::kIdentity, -0.0f},
                                                            {VectorOp::kSqrt, -0.0f},
                                                            {VectorOp::kReciprocal, -kInfinity}};
  for (const auto& [op, value] : expected) {
    const std::vector<float> zeros(21, -0.0f);
    std::vector<float> out(zeros.size(), 7);
    ApplyVectorOp(op, 0, zeros.data(), nullptr, out.data(), zeros.size());
    for (const float seen : out) EXPECT_TRUE(SameBits(seen, value)) << static_cast<int>(op);
  }
}

// An element's bits do not depend on where in the block it stands, or on who overwrites what.
TEST_P(VectorOps, RaggedCountsInPlaceAndNot) {
  const RandomKey key(1, "ragged");
  std::vector<float> a(71), b(71);
  for (size_t i = 0; i < a.size(); ++i) {
    a[i] = static_cast<float>(4 * key.Uniform(2 * i) - 2);
    b[i] = static_cast<float>(4 * key.Uniform(2 * i + 1) - 2);
  }
  for (const Expectation& e : Expectations()) {
    std::vector<float> whole(a.size());
    ApplyVectorOp(e.op, kAlpha, a.data(), b.data(), whole.data(), a.size());
    for (size_t count = 0; count <= 70; ++count) {
      const std::vector<float> some_a(a.begin() + 1, a.begin() + 1 + static_cast<long>(count));
      const std::vector<float> some_b(b.begin() + 1, b.begin() + 1 + static_cast<long>(count));
      ExactCopy left(some_a), right(some_b);
      GuardedBuffer apart(count * sizeof(float), 4), over_a(count * sizeof(float), 4),
          over_b(count * sizeof(float), 4);
      if (count > 0) {
        std::memcpy(over_a.raw(), some_a.data(), count * sizeof(float));
        std::memcpy(over_b.raw(), some_b.data(), count * sizeof(float));
      }
      ApplyVectorOp(e.op, kAlpha, left.floats(), right.floats(), apart.floats(), count);
      ApplyVectorOp(e.op, kAlpha, over_a.floats(), right.floats(), over_a.floats(), count);
      ApplyVectorOp(e.op, kAlpha, left.floats(), over_b.floats(), over_b.floats(), count);
      ASSERT_TRUE(apart.Intact() && over_a.Intact() && over_b.Intact())
          << e.name << " writes beyond " << count << " elements";
      for (size_t i = 0; i < count; ++i) {
        ASSERT_TRUE(SameBits(apart.values()[i], whole[i + 1])) << e.name << " of " << count;
        ASSERT_TRUE(SameBits(over_a.values()[i], whole[i + 1])) << e.name << " over a";
        ASSERT_TRUE(SameBits(over_b.values()[i], whole[i + 1])) << e.name << " over b";
      }
    }
  }
}

// ---- softmax ----

struct Softmax {
  std::vector<float> p;
  std::vector<float> log_sum;
};

Softmax RunSoftmax(const std::vector<float>& x, size_t rows, size_t columns,
                   bool in_place = false) {
  ExactCopy input(x);
  GuardedBuffer p(x.size() * sizeof(float), 4);
  GuardedBuffer log_sum(rows * sizeof(float), 4);
  if (in_place) std::memcpy(p.raw(), x.data(), x.size() * sizeof(float));
  SoftmaxRows(in_place ? p.floats() : input.floats(), rows, columns, p.floats(), log_sum.floats());
  EXPECT_TRUE(p.Intact() && log_sum.Intact()) << rows << " rows of " << columns;
  return {{p.values().begin(), p.values().end()},
          {log_sum.values().begin(), log_sum.values().end()}};
}

void CheckSoftmax(const std::vector<float>& x, size_t rows, size_t columns) {
  const Softmax seen = RunSoftmax(x, rows, columns);
  const Softmax again = RunSoftmax(x, rows, columns, /*in_place=*/true);
  ASSERT_EQ(std::memcmp(seen.p.data(), again.p.data(), seen.p.size() * sizeof(float)), 0);
  for (size_t r = 0; r < rows; ++r) {
    const auto row = x.begin() + static_cast<long>(r * columns);
    const double max = *std::max_element(row, row + static_cast<long>(columns));
    double sum = 0;
    for (size_t j = 0; j < columns; ++j) sum += std::exp(row[static_cast<long>(j)] - max);
    for (size_t j = 0; j < columns; ++j) {
      const double expected = std::exp(row[static_cast<long>(j)] - max) / sum;
      ASSERT_NEAR(seen.p[r * columns + j], expected, 2e-6 * expected + 1e-43)
          << "row " << r << ", column " << j << " of " << columns;
    }
    ASSERT_NEAR(seen.log_sum[r], max + std::log(sum), 5e-7 * std::fabs(max) + 2e-6)
        << "row " << r << " of " << columns << " columns";
  }
}

TEST_P(VectorOps, SoftmaxOfRaggedRows) {
  const RandomKey key(2, "softmax");
  for (size_t columns = 1; columns <= 40; ++columns) {
    std::vector<float> x(3 * columns);
    for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(10 * key.Uniform(i) - 5);
    ASSERT_NO_FATAL_FAILURE(CheckSoftmax(x, 3, columns));
  }
  ASSERT_NO_FATAL_FAILURE(CheckSoftmax(std::vector<float>(2000, 1.5f), 2, 1000));
}

TEST_P(VectorOps, SoftmaxOfHugeLogits) {
  for (size_t columns = 1; columns <= 40; ++columns) {
    for (const float size : {1e3f, 1e6f, 1e30f, kLargest}) {
      std::vector<float> x(columns);
      for (size_t j = 0; j < columns; ++j) x[j] = (j % 3 == 0 ? 1.0f : -1.0f) * size;
      ASSERT_NO_FATAL_FAILURE(CheckSoftmax(x, 1, columns)) << size;
      for (float& v : x) v = -size;
      ASSERT_NO_FATAL_FAILURE(CheckSoftmax(x, 1, columns)) << -size;
    }
  }
}

TEST_P(VectorOps, SoftmaxOfMinusInfinityIsZero) {
  for (size_t columns = 2; columns <= 40; ++columns) {
    std::vector<float> x(columns, -kInfinity);
    x[columns / 2] = 3;
    const Softmax seen = RunSoftmax(x, 1, columns);
    for (size_t j = 0; j < columns; ++j) EXPECT_EQ(seen.p[j], j == columns / 2 ? 1 : 0);
    EXPECT_EQ(seen.log_sum[0], 3);
  }
}

// As in the reference: no row without a largest finite logit has probabilities.
TEST_P(VectorOps, SoftmaxOfNothingButInfinityIsNotANumber) {
  for (size_t columns = 1; columns <= 40; ++columns) {
    for (const float value : {-kInfinity, kInfinity}) {
      const Softmax seen = RunSoftmax(std::vector<float>(columns, value), 1, columns);
      for (const float p : seen.p) EXPECT_TRUE(std::isnan(p)) << columns << " of " << value;
      EXPECT_TRUE(std::isnan(seen.log_sum[0]) || std::isinf(seen.log_sum[0]));
    }
  }
}

// A NaN anywhere spoils its row, the loss of that row, and no other.
TEST_P(VectorOps, SoftmaxKeepsNotANumberInItsRow) {
  for (size_t columns = 1; columns <= 40; ++columns) {
    for (size_t at = 0; at < columns; ++at) {
      std::vector<float> x(3 * columns, 0.5f);
      x[columns + at] = kNaN;
      const Softmax seen = RunSoftmax(x, 3, columns);
      for (size_t i = 0; i < x.size(); ++i) {
        ASSERT_EQ(std::isnan(seen.p[i]), i / columns == 1) << columns << " columns, NaN at " << at;
      }
      ASSERT_FALSE(std::isnan(seen.log_sum[0]));
      ASSERT_TRUE(std::isnan(seen.log_sum[1])) << columns << " columns, NaN at " << at;
      ASSERT_FALSE(std::isnan(seen.log_sum[2]));
    }
  }
}

// ---- sums ----

TEST_P(VectorOps, SumsOfRowsAndColumns) {
  const RandomKey key(3, "sums");
  for (const size_t rows : {0, 1, 2, 7, 33}) {
    for (size_t columns = 1; columns <= 70; ++columns) {
      std::vector<float> x(rows * columns);
      for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(2 * key.Uniform(i) - 1);
      ExactCopy input(x);
      GuardedBuffer down(columns * sizeof(float), 4), across(rows * sizeof(float), 4);
      SumColumns(input.floats(), rows, columns, down.floats());
      SumRows(input.floats(), rows, columns, across.floats());
      ASSERT_TRUE(down.Intact() && across.Intact()) << rows << " x " << columns;
      for (size_t j = 0; j < columns; ++j) {
        float sum = 0;
        for (size_t r = 0; r < rows; ++r) sum += x[r * columns + j];
        ASSERT_EQ(down.values()[j], sum) << "column " << j << " of " << rows << " x " << columns;
      }
      for (size_t r = 0; r < rows; ++r) {
        double sum = 0;
        for (size_t j = 0; j < columns; ++j) sum += x[r * columns + j];
        ASSERT_NEAR(across.values()[r], sum, static_cast<double>(columns * columns) * 0x1p-24)
            << "row " << r << " of " << rows << " x " << columns;
      }
    }
  }
}

}  // namespace
}  // namespace ingot::cpu
