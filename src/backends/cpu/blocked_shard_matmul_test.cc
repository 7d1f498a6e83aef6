// Blocked tiles of weight gradients against the plain ones, bit for bit, on every instruction set.
#include "backends/cpu/blocked_shard_matmul.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "backends/cpu/buffer_test_util.h"
#include "backends/cpu/kernel_table.h"
#include "ingot/tensor/philox.h"

namespace ingot::cpu {
namespace {

class BlockedShardMatMulTest : public testing::TestWithParam<std::string> {
 protected:
  void Check(const std::vector<size_t>& shard_rows, size_t m, size_t n, size_t begin, size_t end) {
    const RandomKey key(5, "shards");
    std::vector<std::vector<float>> values;
    std::vector<ShardProduct> shards;
    size_t largest = 0, drawn = 0;
    for (const size_t rows : shard_rows) {
      for (const size_t columns : {m, n}) {
        std::vector<float>& matrix = values.emplace_back(rows * columns);
        for (float& value : matrix) value = static_cast<float>(2 * key.Uniform(drawn++) - 1);
      }
      const size_t last = values.size();
      shards.push_back({values[last - 2].data(), m, values[last - 1].data(), n, rows});
      largest = std::max(largest, rows);
    }
    const size_t bytes = (end - begin) * n * sizeof(float);
    GuardedBuffer out(bytes, 4), expected(bytes, 4);
    GuardedBuffer scratch(sizeof(float) *
                          BlockedShardMatMulScratchFloats(shards.size(), largest, end - begin));
    GuardedBuffer plain(sizeof(float) * ShardMatMulScratchFloats(shards.size(), largest, n));
    BlockedShardMatMulTile(shards, begin, end, n, out.floats(), scratch.floats());
    ShardMatMulTile(shards, begin, end, n, expected.floats(), plain.floats());
    EXPECT_TRUE(out.Intact() && scratch.Intact());
    for (size_t i = 0; i < (end - begin) * n; ++i) {
      ASSERT_EQ(out.values()[i], expected.values()[i])
          << shard_rows.size() << " shards, n " << n << ", element " << i;
    }
  }
};

TEST_P(BlockedShardMatMulTest, HasTheBitsOfThePlainTile) {
  const InstructionSetScope scope(GetParam());
  Check({40}, 13, 70, 0, 13);
  Check({33, 32, 33}, 20, 131, 4, 15);
  Check({5, 4, 5, 4, 5, 4, 5}, 9, 16, 0, 9);
  Check({300, 299}, 7, 129, 6, 7);
}

INSTANTIATE_TEST_SUITE_P(EverySet, BlockedShardMatMulTest, testing::ValuesIn(InstructionSets()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace ingot::cpu
