// When this process began, and what it has used: for the wall time, the time to the first step and
// the peak memory that a run's summary reports.
#pragma once

#include <cstdint>

namespace ingot::train {

// Seconds since this process was started, before its first instruction. Linux tells the start in
// ticks of 10 ms; inside the tick the processor time used so far is taken for the time passed, so
// that the error is far below a tick where the first call comes early. Thread-safe.
double SecondsSinceProcessStart();

// The largest resident set of the process so far, in bytes.
uint64_t PeakMemoryBytes();

}  // namespace ingot::train
