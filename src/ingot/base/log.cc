// Writes log lines to the terminal and a file, one thread at a time.
#include "ingot/base/log.h"

#include <cerrno>
#include <utility>

#include <fmt/core.h>

#include "ingot/base/clock.h"
#include "ingot/base/error.h"
#include "ingot/base/file.h"

namespace ingot {

std::string_view LogLevelName(LogLevel level) {
  switch (level) {
    case LogLevel::kError:
      return "error";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kDebug:
      return "debug";
  }
  return "unknown";
}

Logger::Logger(LogLevel shown, std::FILE* terminal) : shown_(shown), terminal_(terminal) {}

Logger::~Logger() {
  CloseFile();
}

void Logger::OpenFile(const std::string& path, LogLevel level) {
  std::FILE* file = std::fopen(path.c_str(), "ae");
  if (file == nullptr) throw FileError("open for writing", path, errno);
  const std::lock_guard<std::mutex> lock(mutex_);
  if (file_ != nullptr) std::fclose(file_);
  file_ = file;
  file_path_ = path;
  file_level_ = level;
}

void Logger::CloseFile() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (file_ != nullptr) std::fclose(file_);
  file_ = nullptr;
}

void Logger::SetTerminalWriter(std::function<void(std::string_view line)> writer) {
  const std::lock_guard<std::mutex> lock(mutex_);
  writer_ = std::move(writer);
}

bool Logger::Wants(LogLevel level) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return level <= shown_ || (file_ != nullptr && level <= file_level_);
}

void Logger::WriteToTerminal(std::string_view line) {
  if (writer_) {
    writer_(line);
  } else if (terminal_ != nullptr) {
    // One call, so that lines of other processes on the same terminal do not come in between.
    const std::string with_break = std::string(line) + "\n";
    std::fwrite(with_break.data(), 1, with_break.size(), terminal_);
    std::fflush(terminal_);
  }
}

void Logger::Log(LogLevel level, std::string_view message) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (level <= shown_) {
    const bool is_plain = level == LogLevel::kInfo;
    WriteToTerminal(is_plain ? std::string(message)
                             : fmt::format("{}: {}", LogLevelName(level), message));
  }
  if (file_ == nullptr || level > file_level_) return;
  const std::string line =
      fmt::format("{} {} {}\n", WallTimeIso8601(), LogLevelName(level), message);
  errno = 0;
  const bool written = std::fwrite(line.data(), 1, line.size(), file_) == line.size();
  if (written && std::fflush(file_) == 0) return;
  // A log that cannot be written must not end the work: say so once and go on without it.
  const ingot::Error error = FileError("write to", file_path_, errno);
  std::fclose(file_);
  file_ = nullptr;
  WriteToTerminal(fmt::format("warning: {}; the log goes on without the file", error.message()));
}

}  // namespace ingot
