// Copies for memory that another core reads next.
//
// A line that another core has read must be taken back from it before it can be written again, one
// line after another: about 27 ns a line between two cores of different cache complexes of a Zen 4,
// however it is asked for. Streaming stores go around that: 2 ns a line, and reading costs the
// same. On Intel's servers, where cores share one mesh and such stores go to memory, a step of a
// small network takes a fifth longer with them: there, and elsewhere, copies are plain.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

namespace ingot::runtime {

// Whether streaming stores pay on this CPU. Only speed depends on it.
inline bool StreamingPays() {
#if defined(__x86_64__)
  static const bool pays = [] {
    __builtin_cpu_init();
    return __builtin_cpu_is("amd") != 0;
  }();
  return pays;
#else
  return false;
#endif
}

// Copies with streaming stores where that pays (whole lines of the target), then fences, so that a
// later release publishes it. The regions must not overlap.
inline void StreamCopy(std::byte* to, const std::byte* from, size_t bytes) {
#if defined(__x86_64__)
  constexpr size_t kLine = 64;
  if (bytes >= 4 * kLine && StreamingPays()) {
    const size_t lead = (kLine - reinterpret_cast<uintptr_t>(to) % kLine) % kLine;
    std::memcpy(to, from, lead);
    size_t at = lead;
    for (; at + kLine <= bytes; at += kLine) {
      for (size_t part = 0; part < kLine; part += 16) {
        _mm_stream_si128(reinterpret_cast<__m128i*>(to + at + part),
                         _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + at + part)));
      }
    }
    std::memcpy(to + at, from + at, bytes - at);
    _mm_sfence();
    return;
  }
#endif
  std::memcpy(to, from, bytes);
}

}  // namespace ingot::runtime
