// Matrix products with packed weights against plain loops, on every instruction set and however
// many threads. Whole numbers, so that the sums are exact.
#include "backends/cpu/packed_product.h"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "backends/cpu/buffer_test_util.h"
#include "backends/cpu/kernel_table.h"
#include "ingot/runtime/thread_team.h"
#include "ingot/tensor/tensor.h"

namespace ingot::cpu {
namespace {

std::vector<float> WholeNumbers(int64_t count, int64_t seed) {
  std::vector<float> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>((static_cast<int64_t>(i) * 7919 + seed) % 13 - 6);
  }
  return values;
}

class PackedMatrices : public testing::TestWithParam<std::string> {
 protected:
  static void Check(int64_t m, int64_t k, int64_t n, runtime::ThreadTeam& team) {
    const std::vector<float> x = WholeNumbers(m * k, 1), w = WholeNumbers(k * n, 2);
    const std::vector<float> bias = WholeNumbers(n, 3), residual = WholeNumbers(m * n, 4);
    const PackedProduct product = PackedProduct::OfMatrices(m, k, n);
    std::vector<float> packed(product.packed_floats());
    product.PackMatrix(w.data(), packed.data());
    GuardedBuffer y(static_cast<size_t>(m * n) * sizeof(float));
    const size_t stride = (product.scratch_bytes() + 63) / 64 * 64;
    const std::shared_ptr<std::byte> scratch = AllocateBytes(stride * team.threads() + 64);
    const PackedOperands operands{
        x.data(), bias.data(), residual.data(), y.floats(), {Epilogue::Kind::kRelu, 0, 0}};
    product.Run(packed.data(), operands, scratch.get(), stride, team);
    EXPECT_TRUE(y.Intact());
    int64_t wrong = 0;
    for (int64_t i = 0; i < m; ++i) {
      std::vector<float> row(residual.begin() + i * n, residual.begin() + (i + 1) * n);
      for (int64_t j = 0; j < n; ++j) row[static_cast<size_t>(j)] += bias[static_cast<size_t>(j)];
      for (int64_t p = 0; p < k; ++p) {
        const float left = x[static_cast<size_t>(i * k + p)];
        const float* right = w.data() + p * n;
        for (int64_t j = 0; j < n; ++j) row[static_cast<size_t>(j)] += left * right[j];
      }
      for (int64_t j = 0; j < n; ++j) {
        const float expected = std::max(row[static_cast<size_t>(j)], 0.0F);
        if (y.values()[static_cast<size_t>(i * n + j)] != expected) ++wrong;
      }
    }
    EXPECT_EQ(wrong, 0) << m << " x " << k << " x " << n << " by " << team.threads();
  }
};

TEST_P(PackedMatrices, AreWhatPlainLoopsGive) {
  const InstructionSetScope scope(GetParam());
  for (const size_t threads : {1, 3}) {
    runtime::ThreadTeam team(threads);
    Check(49, 160, 960, team);  // few rows: packed, by all threads together
    Check(49, 963, 330, team);  // in several blocks
    Check(13, 70, 520, team);
    Check(3, 100, 500, team);
    Check(1, 784, 64, team);
    Check(196, 96, 570, team);  // more rows: read where they are
    Check(700, 40, 19, team);
  }
}

INSTANTIATE_TEST_SUITE_P(EverySet, PackedMatrices, testing::ValuesIn(InstructionSets()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace ingot::cpu
