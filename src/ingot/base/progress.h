// Progress: one live line on a terminal, or a plain line now and then in a pipe.
//
//   epoch 3/10 [=========>          ]  47%  loss 0.1234  accuracy 0.9652  812,000 samples/s  4 s
//   left
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ingot {

struct ProgressSettings {
  std::FILE* out = stderr;               // not owned; null: nothing is shown
  std::optional<bool> is_terminal = {};  // none: asks the system
  int width = 0;                         // columns; 0: asks the terminal
  double terminal_interval = 0.1;        // seconds between redrawings
  double pipe_interval = 5;              // seconds between lines
  std::function<double()> clock = {};    // seconds; empty: MonotonicSeconds
};

// Safe for use by several threads. Errors of writing are ignored: progress is not a result.
class Progress {
 public:
  using Fields = std::vector<std::pair<std::string, std::string>>;  // name, value; either may be ""

  // `total` units of work (steps, samples, bytes), of which `done` were done before.
  Progress(std::string title, int64_t total, int64_t done = 0, ProgressSettings settings = {});
  ~Progress();  // as Finish
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void SetTitle(std::string title);
  // Whether Update would show something now: a load and a look at the clock, without a lock, so
  // that the fields are made only when they are needed.
  bool Due() const;
  // Shows `done` and the fields, at most as often as the settings say.
  void Update(int64_t done, const Fields& fields = {});
  // A line of text that stays, above the live line.
  void Print(std::string_view line);
  // Takes the live line away. Nothing is shown afterwards, but for Print.
  void Finish();

 private:
  double Now() const;
  size_t Width() const;
  std::string Line(int64_t done, const Fields& fields, size_t width) const;
  void Write(std::string_view text) const;

  const ProgressSettings settings_;
  const bool is_terminal_;
  const int64_t total_;
  const int64_t first_done_;
  const double start_;
  std::mutex mutex_;
  std::string title_;
  std::string live_;  // what stands on the live line; "" where there is none
  std::atomic<double> next_;
  bool is_finished_ = false;
};

}  // namespace ingot
