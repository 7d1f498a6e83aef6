// Control: the one word that says where the threads of a StepEngine are, and what a thread says it
// works with (a pin).
#pragma once

#include <cstddef>
#include <cstdint>

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

// What a thread pins; 0 is nothing. While tiles are committed the next version is live by itself.
constexpr uint32_t PinOf(Control control) {
  return 1u << 16 | static_cast<uint32_t>(control.word >> 8 & 0xffff);
}
// The same of a thread that may be at a task.
constexpr uint32_t kBusyPin = 1u << 17;
constexpr uint32_t BusyPinOf(Control control) {
  return kBusyPin | PinOf(control);
}
constexpr int PinnedFrame(uint32_t pin) {
  return pin == 0 ? -1 : static_cast<int>(pin >> 8 & 0xff);
}
constexpr int PinnedVersion(uint32_t pin) {
  return pin == 0 ? -1 : static_cast<int>(pin & 0xff);
}

}  // namespace ingot::runtime
