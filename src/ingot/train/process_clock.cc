// Process clock: see process_clock.h.
#include "ingot/train/process_clock.h"

#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "ingot/base/error.h"
#include "ingot/base/file.h"

namespace ingot::train {
namespace {

double Now(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// The start in ticks since boot, or -1: field 22 of /proc/self/stat, counted behind the command's
// name, which may hold spaces and parentheses.
double StartTicks() {
  std::string text;
  try {
    text = ReadFile("/proc/self/stat");
  } catch (const Error&) {
    return -1;
  }
  const size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return -1;
  size_t at = name_end;
  for (int field = 2; field < 22; ++field) {
    at = text.find(' ', at);
    if (at == std::string::npos) return -1;
    ++at;
  }
  return static_cast<double>(std::strtoull(text.c_str() + at, nullptr, 10));
}

// The start on the clock CLOCK_BOOTTIME.
double FindStart() {
  const double by_work = Now(CLOCK_BOOTTIME) - Now(CLOCK_PROCESS_CPUTIME_ID);
  const double ticks = StartTicks();
  const auto per_second = static_cast<double>(::sysconf(_SC_CLK_TCK));
  if (ticks < 0 || per_second <= 0) return by_work;
  return std::clamp(by_work, ticks / per_second, (ticks + 1) / per_second);
}

}  // namespace

double SecondsSinceProcessStart() {
  static const double start = FindStart();
  return Now(CLOCK_BOOTTIME) - start;
}

uint64_t PeakMemoryBytes() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss) * 1024;
}

}  // namespace ingot::train
