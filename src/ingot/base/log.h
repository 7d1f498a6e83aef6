// Logger: messages for people, to stderr and to a file of the run.
#pragma once

#include <cstdio>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>

namespace ingot {

enum class LogLevel { kError, kWarning, kInfo, kDebug };

std::string_view LogLevelName(LogLevel level);  // "error", "warning", "info", "debug"

// Passed to whoever has something to say; there is no global one. Safe for use by several threads:
// messages never mix. On the terminal "warning: ..." (information without a prefix); in the file
// every level, each line with its time: "2026-11-21T11:46:49.123Z warning ...".
class Logger {
 public:
  // Shows messages up to `shown` on `terminal` (not owned; null: nowhere).
  explicit Logger(LogLevel shown = LogLevel::kInfo, std::FILE* terminal = stderr);
  ~Logger();
  Logger(const Logger&) = delete;
  Logger& operator=(const Logger&) = delete;

  // Also appends everything (up to `level`) to a file from now on. Throws Error(kIo).
  void OpenFile(const std::string& path, LogLevel level = LogLevel::kDebug);
  void CloseFile();
  // What writes lines to the terminal instead, without their line break (a progress line that has
  // to be cleared first); null: as before. Called under the logger's lock.
  void SetTerminalWriter(std::function<void(std::string_view line)> writer);

  void Log(LogLevel level, std::string_view message);
  void Error(std::string_view message) { Log(LogLevel::kError, message); }
  void Warning(std::string_view message) { Log(LogLevel::kWarning, message); }
  void Info(std::string_view message) { Log(LogLevel::kInfo, message); }
  void Debug(std::string_view message) { Log(LogLevel::kDebug, message); }

  LogLevel shown() const { return shown_; }
  // Whether a message of this level goes anywhere (to save making it).
  bool Wants(LogLevel level) const;

 private:
  void WriteToTerminal(std::string_view line);

  const LogLevel shown_;
  std::FILE* const terminal_;
  mutable std::mutex mutex_;
  std::function<void(std::string_view)> writer_;
  std::FILE* file_ = nullptr;
  std::string file_path_;
  LogLevel file_level_ = LogLevel::kDebug;
};

}  // namespace ingot
