// FlushDenormals: while it lives, this thread takes and gives denormal numbers as zero.
//
// Moments of Adam decay towards zero for as long as a weight has no gradient and stay denormal for
// hundreds of steps; some CPUs need more than a hundred cycles for each such number. The result is
// the same on every thread, as all of a step's work is done under it.
#pragma once

#include <cstdint>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace ingot::runtime {

class FlushDenormals {
 public:
  FlushDenormals() : before_(Read()) { Write(before_ | kBits); }
  ~FlushDenormals() { Write(before_); }
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
#if defined(__x86_64__)
  static constexpr uint64_t kBits = 0x8040;  // flush to zero, denormals are zero
  static uint64_t Read() {
    return _mm_getcsr();
  }
  static void Write(uint64_t value) {
    _mm_setcsr(static_cast<unsigned>(value));
  }
#elif defined(__aarch64__)
  static constexpr uint64_t kBits = uint64_t{1} << 24;  // FZ
  static uint64_t Read() {
    uint64_t value;
    asm volatile("mrs %0, fpcr" : "=r"(value));
    return value;
  }
  static void Write(uint64_t value) {
    asm volatile("msr fpcr, %0" : : "r"(value));
  }
#else
  static constexpr uint64_t kBits = 0;
  static uint64_t Read() {
    return 0;
  }
  static void Write(uint64_t) {}
#endif

  uint64_t before_;
};

}  // namespace ingot::runtime
