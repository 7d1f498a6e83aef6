// TaskBoard: the state of the independent tasks of one stage of one step.
//
// One atomic word a task, tagged with the step's sequence number, so that nothing needs resetting
// between steps and a thread that slept through one cannot publish into the next. A task is claimed
// once; an idle thread may attempt it again while the claimant seems stalled; whoever finishes
// first publishes, by compare-and-swap.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

namespace ingot::runtime {

class TaskBoard {
 public:
  explicit TaskBoard(size_t capacity) : words_(capacity) {}

  // An unclaimed task, looked for from `start` on, round about; -1 where none is left.
  // `cursor` remembers where this thread's search stands: 0 at the start of a stage.
  int Claim(uint64_t sequence, int count, int start, int& cursor) {
    for (; cursor < count; ++cursor) {
      int task = start + cursor;
      if (task >= count) task -= count;
      std::atomic<uint64_t>& word = words_[static_cast<size_t>(task)];
      uint64_t seen = word.load(std::memory_order_relaxed);
      if (Sequence(seen) >= sequence) continue;
      if (word.compare_exchange_strong(seen, Make(sequence, 0, 0, kClaimed),
                                       std::memory_order_acq_rel, std::memory_order_relaxed)) {
        ++cursor;
        return task;
      }
    }
    return -1;
  }

  // A claimed, unfinished task to compute again: the least attempted one; -1 where there is none
  // (all are done or being committed, or others make the same attempt).
  int TakeOver(uint64_t sequence, int count) {
    int best = -1;
    uint64_t best_word = 0;
    for (int task = 0; task < count; ++task) {
      const uint64_t seen = words_[static_cast<size_t>(task)].load(std::memory_order_relaxed);
      if (Sequence(seen) != sequence || State(seen) != kClaimed) continue;
      if (best < 0 || Attempts(seen) < Attempts(best_word)) {
        best = task;
        best_word = seen;
      }
    }
    if (best < 0 || Attempts(best_word) >= 200) return -1;
    const uint64_t again = Make(sequence, Attempts(best_word) + 1, 0, kClaimed);
    return words_[static_cast<size_t>(best)].compare_exchange_strong(best_word, again,
                                                                     std::memory_order_acq_rel)
               ? best
               : -1;
  }

  // True for the one thread that may publish: the task is done, and `slot` says where its result
  // is.
  bool Publish(uint64_t sequence, int task, uint32_t slot) {
    return Advance(sequence, task, kClaimed, slot, kDone);
  }
  // The same in two halves, where publishing means writing to shared memory.
  bool BeginCommit(uint64_t sequence, int task) {
    return Advance(sequence, task, kClaimed, 0, kCommitting);
  }
  void EndCommit(uint64_t sequence, int task) {
    words_[static_cast<size_t>(task)].store(Make(sequence, 0, 0, kDone), std::memory_order_release);
  }

  // Whether every task is done; `cursor` remembers how far that is known: 0 at the start of a
  // stage.
  bool AllDone(uint64_t sequence, int count, int& cursor) const {
    for (; cursor < count; ++cursor) {
      const uint64_t seen = words_[static_cast<size_t>(cursor)].load(std::memory_order_acquire);
      if (Sequence(seen) != sequence || State(seen) != kDone) return false;
    }
    return true;
  }

  uint32_t SlotOf(int task) const {
    return static_cast<uint32_t>(
               words_[static_cast<size_t>(task)].load(std::memory_order_acquire) >> 8) &
           0xffu;
  }

 private:
  enum : uint64_t { kClaimed = 1, kCommitting = 2, kDone = 3 };

  // sequence: 40 bits, attempts: 8, slot: 8, state: 8.
  static uint64_t Make(uint64_t sequence, uint64_t attempts, uint64_t slot, uint64_t state) {
    return sequence << 24 | attempts << 16 | slot << 8 | state;
  }
  static uint64_t Sequence(uint64_t word) { return word >> 24; }
  static uint64_t Attempts(uint64_t word) { return word >> 16 & 0xff; }
  static uint64_t State(uint64_t word) { return word & 0xff; }

  bool Advance(uint64_t sequence, int task, uint64_t from, uint64_t slot, uint64_t to) {
    std::atomic<uint64_t>& word = words_[static_cast<size_t>(task)];
    uint64_t seen = word.load(std::memory_order_relaxed);
    while (Sequence(seen) == sequence && State(seen) == from) {
      if (word.compare_exchange_weak(seen, Make(sequence, Attempts(seen), slot, to),
                                     std::memory_order_acq_rel, std::memory_order_relaxed)) {
        return true;
      }
    }
    return false;
  }

  std::vector<std::atomic<uint64_t>> words_;
};

}  // namespace ingot::runtime
