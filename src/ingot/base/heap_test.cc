// Heap use that is reported is what the process holds, and what is free goes back.
#include "ingot/base/heap.h"

#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "ingot/base/machine.h"
#include "ingot/base/sanitizer.h"

namespace ingot {
namespace {

constexpr size_t kBlock = 8 << 10;
constexpr size_t kBlocks = 4096;
constexpr uint64_t kAll = kBlock * kBlocks;

using Blocks = std::vector<std::unique_ptr<char[]>>;

Blocks Allocate() {
  Blocks blocks;
  for (size_t i = 0; i < kBlocks; ++i) {
    blocks.push_back(std::make_unique<char[]>(kBlock));  // with zeros: the pages are there
  }
  return blocks;
}

// Holes that are held open by blocks between them.
void FreeMost(Blocks& blocks) {
  for (size_t i = 0; i < blocks.size(); ++i) {
    if (i % 16 != 0) blocks[i].reset();
  }
}

TEST(HeapTest, HolesAreFreeAndGoBackToTheSystem) {
  if (INGOT_SANITIZED) GTEST_SKIP() << "a sanitizer has heaps of its own";
  const HeapUse before = ReadHeapUse();
  Blocks blocks = Allocate();
  EXPECT_GE(ReadHeapUse().used, before.used + kAll);
  FreeMost(blocks);
  const HeapUse holes = ReadHeapUse();
  EXPECT_LT(holes.used, before.used + kAll / 8);
  EXPECT_GE(holes.free, kAll / 8 * 7);
  const uint64_t resident = ResidentBytes();
  TrimHeap();
  EXPECT_LT(ResidentBytes() + kAll / 2, resident);
}

}  // namespace
}  // namespace ingot
