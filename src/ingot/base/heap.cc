// See heap.h.
#include "ingot/base/heap.h"

#include <malloc.h>

namespace ingot {

HeapUse ReadHeapUse() {
  const struct mallinfo2 numbers = ::mallinfo2();
  return {numbers.uordblks + numbers.hblkhd, numbers.fordblks};
}

void TrimHeap() {
  ::malloc_trim(0);
}

void KeepHeapsSmall(int threads) {
  ::mallopt(M_MMAP_THRESHOLD, 128 << 10);
  ::mallopt(M_ARENA_MAX, threads + 2);
}

}  // namespace ingot
