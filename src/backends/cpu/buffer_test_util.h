// Memory for tests of kernels: inputs that end where their heap block ends, so that the address
// sanitizer sees a read beyond them, and outputs between canaries.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "backends/cpu/kernel_table.h"

namespace ingot::cpu {

// A copy of bytes in a heap block of exactly their size. Not aligned to more than 16 bytes.
class ExactCopy {
 public:
  ExactCopy(const void* from, size_t bytes) : block_(std::make_unique<std::byte[]>(bytes)) {
    if (bytes > 0) std::memcpy(block_.get(), from, bytes);
  }
  template <typename T>
  explicit ExactCopy(const std::vector<T>& values)
      : ExactCopy(values.data(), values.size() * sizeof(T)) {}

  void* raw() { return block_.get(); }
  float* floats() { return reinterpret_cast<float*>(block_.get()); }

 private:
  std::unique_ptr<std::byte[]> block_;
};

// `bytes` bytes, which begin at a multiple of 64 plus `offset`, between canaries; all of them 0xff
// at first, which is NaN in every float type, so that what is not written shows.
class GuardedBuffer {
 public:
  explicit GuardedBuffer(size_t bytes, size_t offset = 0)
      : bytes_(bytes), block_(bytes + offset + 3 * kGuard, kCanary) {
    const auto at = reinterpret_cast<uintptr_t>(block_.data() + kGuard);
    begin_ = kGuard + (64 - at % 64) % 64 + offset;
    Clear();
  }

  void Clear() { std::memset(raw(), 0xff, bytes_); }
  void* raw() { return block_.data() + begin_; }
  std::byte* data() { return reinterpret_cast<std::byte*>(raw()); }
  float* floats() { return static_cast<float*>(raw()); }
  std::span<const float> values() const {
    return {reinterpret_cast<const float*>(block_.data() + begin_), bytes_ / sizeof(float)};
  }
  // Whether nothing was written outside.
  bool Intact() const {
    for (size_t i = 0; i < block_.size(); ++i) {
      const bool inside = i >= begin_ && i < begin_ + bytes_;
      if (!inside && block_[i] != kCanary) return false;
    }
    return true;
  }

 private:
  static constexpr size_t kGuard = 128;
  static constexpr unsigned char kCanary = 0xa5;

  size_t bytes_;
  std::vector<unsigned char> block_;
  size_t begin_ = 0;
};

// Confines the kernels to an instruction set while it lives.
class InstructionSetScope {
 public:
  explicit InstructionSetScope(const std::string& name) { UseInstructionSet(name); }
  ~InstructionSetScope() { UseInstructionSet(""); }
  InstructionSetScope(const InstructionSetScope&) = delete;
  InstructionSetScope& operator=(const InstructionSetScope&) = delete;
};

// Whether a * b + c is rounded once in an instruction set.
inline bool HasFusedMultiplyAdd(const std::string& instruction_set) {
  return instruction_set.rfind("SSE", 0) != 0 && instruction_set.rfind("SSSE", 0) != 0 &&
         instruction_set != "SCALAR" && instruction_set != "EMU128";
}

}  // namespace ingot::cpu
