// Control: the one word that says where the threads of a StepEngine are. Pins: what each of them
// says it works with.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

namespace ingot::runtime {

inline constexpr int kIdle = 0;  // instead of a stage, which are counted from 1
inline constexpr size_t kMostStages = 254;

// sequence: 40 bits, frame: 8, version: 8, stage: 8.
struct Control {
  uint64_t word;

  static Control Make(uint64_t sequence, int frame, int version, int stage) {
    return {sequence << 24 | static_cast<uint64_t>(frame) << 16 |
            static_cast<uint64_t>(version) << 8 | static_cast<uint64_t>(stage)};
  }
  uint64_t sequence() const { return word >> 24; }
  int frame() const { return static_cast<int>(word >> 16 & 0xff); }
  int version() const { return static_cast<int>(word >> 8 & 0xff); }
  int stage() const { return static_cast<int>(word & 0xff); }
  size_t index() const { return static_cast<size_t>(stage()) - 1; }  // of the stage
  // Grows from stage to stage and from step to step.
  uint64_t place() const { return sequence() << 8 | static_cast<uint64_t>(stage()); }
};

// What each thread works with, so that a frame or a version is used again only when nobody does. A
// thread that is busy may be at a task; one that is not only looks at the frame. While tiles are
// committed the next version is live by itself.
class Pins {
 public:
  explicit Pins(int threads) : pins_(static_cast<size_t>(threads)) {}

  void SetBusy(int thread, Control control) {
    of(thread).store(kBusy | PinOf(control), std::memory_order_seq_cst);
  }
  void SetIdle(int thread, Control control) {
    of(thread).store(PinOf(control), std::memory_order_release);
  }
  void Clear(int thread) { of(thread).store(0, std::memory_order_seq_cst); }

  // The following are about other threads than the one that asks, which is done with what it pins.

  // Until none is at a task. All tasks are done: what is still computed was taken over, and nobody
  // can begin anew.
  void WaitForBusy(int thread) const {
    for (size_t i = 0; i < pins_.size(); ++i) {
      if (static_cast<int>(i) == thread) continue;
      while ((pins_[i].word.load(std::memory_order_seq_cst) & kBusy) != 0) {
        std::this_thread::yield();
      }
    }
  }
  // Of so many one that nobody pins. Never the current one: another thread may pin it at any moment
  // before the next is announced.
  int FreeFrame(int count, int current, int thread) const {
    return Free(count, current, thread, 8);
  }
  int FreeVersion(int count, int current, int thread) const {
    return Free(count, current, thread, 0);
  }

 private:
  static constexpr uint32_t kPinned = 1u << 16;  // of a word that is not 0
  static constexpr uint32_t kBusy = 1u << 17;
  // A line of its own.
  struct alignas(128) Pin {
    std::atomic<uint32_t> word = 0;
  };

  // frame: 8 bits, version: 8.
  static uint32_t PinOf(Control control) {
    return kPinned | static_cast<uint32_t>(control.word >> 8 & 0xffff);
  }
  std::atomic<uint32_t>& of(int thread) { return pins_[static_cast<size_t>(thread)].word; }

  int Free(int count, int current, int thread, int shift) const {
    const auto is_pinned = [&](int index) {
      for (size_t i = 0; i < pins_.size(); ++i) {
        if (static_cast<int>(i) == thread) continue;
        const uint32_t word = pins_[i].word.load(std::memory_order_seq_cst);
        if (word != 0 && static_cast<int>(word >> shift & 0xff) == index) return true;
      }
      return false;
    };
    while (true) {
      for (int i = 0; i < count; ++i) {
        if (i != current && !is_pinned(i)) return i;
      }
      std::this_thread::yield();
    }
  }

  std::vector<Pin> pins_;
};

}  // namespace ingot::runtime
