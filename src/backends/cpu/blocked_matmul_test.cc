// The blocked and the swapped product against the register-tiled one, bit for bit, at ragged sizes,
// on every instruction set; both against double loops in one place.
#include "backends/cpu/blocked_matmul.h"

#include <cmath>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "backends/cpu/buffer_test_util.h"
#include "backends/cpu/kernel_table.h"
#include "backends/cpu/swapped_matmul.h"
#include "ingot/tensor/philox.h"

namespace ingot::cpu {
namespace {

std::vector<float> Random(size_t count, const std::string& name) {
  const RandomKey key(3, name);
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) values[i] = static_cast<float>(2 * key.Uniform(i) - 1);
  return values;
}

struct Case {
  size_t m, n, k;
  bool a_transposed, b_transposed;
};

class BlockedMatMulTest : public testing::TestWithParam<std::string> {
 protected:
  // The same product swapped has the same bits.
  static void CheckSwapped(MatMulArguments arguments, const GuardedBuffer& expected,
                           const std::string& what) {
    const size_t count = arguments.m * arguments.n;
    GuardedBuffer out(count * sizeof(float), 4);
    GuardedBuffer scratch(SwappedMatMulScratchFloats(arguments.m, arguments.k) * sizeof(float));
    arguments.c = out.floats();
    arguments.scratch = scratch.floats();
    SwappedMatMul(arguments);
    EXPECT_TRUE(out.Intact() && scratch.Intact()) << what << ", swapped";
    for (size_t i = 0; i < count; ++i) {
      ASSERT_EQ(out.values()[i], expected.values()[i]) << what << ", swapped, element " << i;
    }
  }

  void Check(const Case& c, Epilogue::Kind kind) {
    const std::string what = std::to_string(c.m) + "x" + std::to_string(c.n) + "x" +
                             std::to_string(c.k) + (c.a_transposed ? " a^T" : "") +
                             (c.b_transposed ? " b^T" : "");
    const std::vector<float> a = Random(c.m * c.k, "a"), b = Random(c.k * c.n, "b");
    const std::vector<float> bias = Random(c.n, "bias"), y = Random(c.m * c.n, "y");
    ExactCopy a_copy(a), b_copy(b), bias_copy(bias), y_copy(y);
    GuardedBuffer out(c.m * c.n * sizeof(float), 4), expected(c.m * c.n * sizeof(float), 4);
    GuardedBuffer scratch(BlockedMatMulScratchFloats(c.m, c.n, c.k) * sizeof(float));
    GuardedBuffer plain_scratch(MatMulScratchFloats(c.n, c.k, c.b_transposed) * sizeof(float));
    MatMulArguments arguments;
    arguments.a = a_copy.floats();
    arguments.a_row_stride = c.a_transposed ? 1 : c.k;
    arguments.a_column_stride = c.a_transposed ? c.m : 1;
    arguments.b = b_copy.floats();
    arguments.b_stride = c.b_transposed ? c.k : c.n;
    arguments.b_transposed = c.b_transposed;
    arguments.c = out.floats();
    arguments.c_stride = c.n;
    arguments.m = c.m;
    arguments.n = c.n;
    arguments.k = c.k;
    arguments.bias = bias_copy.floats();
    arguments.epilogue.kind = kind;
    arguments.gradient_of = y_copy.floats();
    arguments.scratch = scratch.floats();
    BlockedMatMul(arguments);
    EXPECT_TRUE(out.Intact() && scratch.Intact()) << what;
    arguments.c = expected.floats();
    arguments.scratch = plain_scratch.floats();
    MatMul(arguments);
    for (size_t i = 0; i < c.m * c.n; ++i) {
      ASSERT_EQ(out.values()[i], expected.values()[i]) << what << ", element " << i;
    }
    if (c.b_transposed && !c.a_transposed) CheckSwapped(arguments, expected, what);
    if (kind != Epilogue::Kind::kNone) return;
    for (size_t i = 0; i < c.m; i += 7) {
      for (size_t j = 0; j < c.n; j += 5) {
        double sum = bias[j];
        for (size_t p = 0; p < c.k; ++p) {
          sum += static_cast<double>(c.a_transposed ? a[p * c.m + i] : a[i * c.k + p]) *
                 static_cast<double>(c.b_transposed ? b[j * c.k + p] : b[p * c.n + j]);
        }
        ASSERT_NEAR(out.values()[i * c.n + j], sum, 1e-5 * static_cast<double>(c.k)) << what;
      }
    }
  }
};

TEST_P(BlockedMatMulTest, HasTheBitsOfTheUnblockedProduct) {
  const InstructionSetScope scope(GetParam());
  for (const bool a_transposed : {false, true}) {
    for (const bool b_transposed : {false, true}) {
      for (const auto& [m, n, k] :
           std::vector<std::tuple<size_t, size_t, size_t>>{{1, 1, 1},
                                                           {7, 17, 9},
                                                           {13, 33, 321},
                                                           {100, 70, 130},
                                                           {33, 130, 700},
                                                           {64, 64, 64},
                                                           {30, 144, 400},
                                                           {16, 50, 1100},
                                                           {1030, 20, 40}}) {
        Check({m, n, k, a_transposed, b_transposed}, Epilogue::Kind::kNone);
        Check({m, n, k, a_transposed, b_transposed}, Epilogue::Kind::kRelu);
        Check({m, n, k, a_transposed, b_transposed}, Epilogue::Kind::kReluGradient);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(EverySet, BlockedMatMulTest, testing::ValuesIn(InstructionSets()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace ingot::cpu
