// Clocks: for durations, for dates, and how long this process has been running.
#pragma once

#include <cstdint>
#include <string>

namespace ingot {

// Seconds, or nanoseconds, of a clock that never jumps; only differences mean something.
double MonotonicSeconds();
int64_t MonotonicNanoseconds();

// Seconds since 1970-01-01T00:00:00Z.
double WallSeconds();
// "2026-11-21T11:46:49.123Z" of a time in WallSeconds' units, and of now.
std::string Iso8601(double wall_seconds);
std::string WallTimeIso8601();

// Seconds since the kernel started this process: everything, the loading of libraries included.
// The kernel counts starts in ticks (10 ms), so that it is up to one tick too long. Where the
// kernel does not say (no /proc), the time since the first call.
double SecondsSinceProcessStart();

}  // namespace ingot
