// Draws the progress line, or prints plain lines in a pipe.
#include "ingot/base/progress.h"

#include <algorithm>

#include <fmt/core.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "ingot/base/bars.h"
#include "ingot/base/clock.h"
#include "ingot/base/environment.h"
#include "ingot/base/text.h"

namespace ingot {
namespace {

constexpr const char* kClearLine = "\r\x1b[K";
constexpr size_t kWidestBar = 30;
constexpr size_t kNarrowestBar = 8;

bool IsTerminal(const ProgressSettings& settings) {
  if (settings.out == nullptr) return false;
  if (settings.is_terminal) return *settings.is_terminal;
  return ::isatty(::fileno(settings.out)) == 1 && GetEnvironment("TERM").value_or("") != "dumb";
}

std::string DrawBar(double fraction, size_t width) {
  const size_t filled = static_cast<size_t>(fraction * static_cast<double>(width));
  std::string bar(width, ' ');
  std::fill_n(bar.begin(), filled, '=');
  if (filled < width) bar[filled] = '>';
  return std::string("[").append(bar).append("]");
}

// Whole seconds, unlike HumanSeconds: the live line should not flicker.
std::string TimeLeft(double seconds) {
  const double whole = std::max(1.0, seconds);
  return whole < 60 ? fmt::format("{:.0f} s", whole) : HumanSeconds(whole);
}

}  // namespace

Progress::Progress(std::string title, int64_t total, int64_t done, ProgressSettings settings)
    : settings_(std::move(settings)),
      is_terminal_(IsTerminal(settings_)),
      total_(total),
      first_done_(done),
      start_(Now()),
      title_(std::move(title)),
      // A pipe's first line comes after an interval: short work shows none.
      next_(start_ + (is_terminal_ ? 0 : settings_.pipe_interval)) {}

Progress::~Progress() {
  Finish();
}

double Progress::Now() const {
  return settings_.clock ? settings_.clock() : MonotonicSeconds();
}

bool Progress::Due() const {
  return settings_.out != nullptr && Now() >= next_.load(std::memory_order_relaxed);
}

void Progress::SetTitle(std::string title) {
  const std::lock_guard<std::mutex> lock(mutex_);
  title_ = std::move(title);
}

size_t Progress::Width() const {
  constexpr size_t kUnknown = 80;
  if (settings_.width > 0) return static_cast<size_t>(settings_.width);
  winsize size = {};
  if (::ioctl(::fileno(settings_.out), TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return kUnknown;
  return size.ws_col;
}

// The line fits into `width` columns (0: no limit and no bar): the last fields go first, then the
// bar, then the end of what is left.
std::string Progress::Line(int64_t done, const Fields& fields, size_t width) const {
  const double fraction =
      total_ > 0 ? std::clamp(static_cast<double>(done) / static_cast<double>(total_), 0.0, 1.0)
                 : 0;
  // Rounded down: 100% is when all is done.
  std::string text = total_ > 0 ? fmt::format(" {:3}%", static_cast<int>(fraction * 100))
                                : fmt::format(" {}", WithThousands(done));
  std::vector<std::string> parts;
  for (const auto& field : fields) {
    const bool has_both = !field.first.empty() && !field.second.empty();
    parts.push_back(field.first + (has_both ? " " : "") + field.second);
  }
  const double elapsed = Now() - start_;
  if (total_ > 0 && done > first_done_ && done < total_ && elapsed > 0) {
    const double rate = static_cast<double>(done - first_done_) / elapsed;
    // Behind the percentage, so that it is the last that a narrow terminal loses.
    parts.insert(parts.begin(), TimeLeft(static_cast<double>(total_ - done) / rate) + " left");
  }
  size_t used = DisplayWidth(title_) + DisplayWidth(text);
  std::string shown;
  for (const std::string& part : parts) {
    const size_t columns = DisplayWidth(part) + 2;
    if (width > 0 && used + columns > width) break;
    shown += "  " + part;
    used += columns;
  }
  std::string bar;
  if (width > used + kNarrowestBar + 3 && total_ > 0) {
    bar = " " + DrawBar(fraction, std::min(kWidestBar, width - used - 3));
  }
  std::string line = title_ + bar + text + shown;
  while (width > 0 && DisplayWidth(line) > width) line.pop_back();
  return line;
}

void Progress::Write(std::string_view text) const {
  if (settings_.out == nullptr) return;
  std::fwrite(text.data(), 1, text.size(), settings_.out);
  std::fflush(settings_.out);
}

void Progress::Update(int64_t done, const Fields& fields) {
  if (!Due()) return;
  const std::lock_guard<std::mutex> lock(mutex_);
  if (is_finished_) return;
  next_ = Now() + (is_terminal_ ? settings_.terminal_interval : settings_.pipe_interval);
  if (!is_terminal_) return Write(Line(done, fields, 0) + "\n");
  // The last column stays free: a full line makes some terminals wrap.
  std::string line = Line(done, fields, std::max<size_t>(Width(), 2) - 1);
  if (line == live_) return;
  Write(kClearLine + line);
  live_ = std::move(line);
}

void Progress::Print(std::string_view line) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!is_terminal_ || live_.empty()) return Write(std::string(line) + "\n");
  Write(kClearLine + std::string(line) + "\n" + live_);
}

void Progress::Finish() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!live_.empty()) Write(kClearLine);
  live_.clear();
  is_finished_ = true;
}

}  // namespace ingot
