// malloc's heaps: how much of them is in use, and giving back to the system what is not.
#pragma once

#include <cstdint>

namespace ingot {

// Bytes, of all heaps and of the large blocks that have memory of their own.
struct HeapUse {
  uint64_t used = 0;  // blocks that a thread keeps at hand for itself included
  uint64_t free = 0;  // held between used blocks and behind them; may be given back already
};

// May be called from any thread; holds up the others that allocate for some microseconds.
HeapUse ReadHeapUse();

// Gives the whole pages of what is free back to the system. May be called from any thread; holds up
// the others that allocate for as long as that takes, a millisecond or so.
void TrimHeap();

// For a process that handles bodies of all sizes in `threads` threads for a long time. Large blocks
// go back to the system at once: left to itself, malloc keeps them in its heaps, where small blocks
// that outlive them hold the memory. And there is one heap for each of these threads and a few for
// all others: every heap has holes of its own, and what one thread frees fills holes of the heap
// that it came from. To be called before there are threads.
void KeepHeapsSmall(int threads);

}  // namespace ingot
