// Clocks, and the start of the process from /proc.
#include "ingot/base/clock.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <optional>
#include <string_view>
#include <vector>

#include <time.h>
#include <unistd.h>

#include "ingot/base/error.h"
#include "ingot/base/file.h"
#include "ingot/base/text.h"

namespace ingot {
namespace {

double SecondsOf(clockid_t clock) {
  timespec now;
  ::clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// Seconds from boot to the start of this process.
std::optional<double> StartSinceBoot() {
  std::string text;
  try {
    text = ReadFile("/proc/self/stat");
  } catch (const Error&) {
    return std::nullopt;
  }
  // The second field is the program's name in parentheses, which may hold spaces and parentheses.
  const size_t name_end = text.rfind(") ");
  if (name_end == std::string::npos) return std::nullopt;
  const std::vector<std::string> fields = Split(std::string_view(text).substr(name_end + 2), ' ');
  constexpr size_t kStartTime = 22 - 3;  // proc(5) counts from 1, `fields` begins with the third
  if (fields.size() <= kStartTime) return std::nullopt;
  const std::string& field = fields[kStartTime];
  uint64_t ticks = 0;
  if (std::from_chars(field.data(), field.data() + field.size(), ticks).ec != std::errc()) {
    return std::nullopt;
  }
  const long ticks_per_second = ::sysconf(_SC_CLK_TCK);
  if (ticks_per_second <= 0) return std::nullopt;
  return static_cast<double>(ticks) / static_cast<double>(ticks_per_second);
}

}  // namespace

double MonotonicSeconds() {
  return SecondsOf(CLOCK_MONOTONIC);
}

int64_t MonotonicNanoseconds() {
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

double WallSeconds() {
  return SecondsOf(CLOCK_REALTIME);
}

std::string Iso8601(double wall_seconds) {
  const int64_t milliseconds = std::llround(wall_seconds * 1e3);
  int64_t fraction = milliseconds % 1000;
  if (fraction < 0) fraction += 1000;
  const time_t seconds = static_cast<time_t>((milliseconds - fraction) / 1000);
  tm date;
  ::gmtime_r(&seconds, &date);
  std::array<char, 40> text;
  const size_t length = ::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &date);
  std::snprintf(text.data() + length, text.size() - length, ".%03dZ", static_cast<int>(fraction));
  return text.data();
}

std::string WallTimeIso8601() {
  return Iso8601(WallSeconds());
}

double SecondsSinceProcessStart() {
  // The process does not start twice, so that one reading of /proc serves every call.
  static const double start = StartSinceBoot().value_or(SecondsOf(CLOCK_BOOTTIME));
  return SecondsOf(CLOCK_BOOTTIME) - start;
}

}  // namespace ingot
