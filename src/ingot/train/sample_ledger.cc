// The ledger's file.
#include "ingot/train/sample_ledger.h"

#include <cerrno>
#include <string_view>

#include <nlohmann/json.hpp>

#include "ingot/base/error.h"
#include "ingot/base/file.h"

namespace ingot::train {
namespace {

// A lead that was lost is at most a step or two behind the others.
constexpr size_t kRecent = 256;

int64_t StepOf(std::string_view line) {
  const auto json = nlohmann::json::parse(line, nullptr, false);
  return json.is_object() ? json.value("step", int64_t{-1}) : -1;
}

}  // namespace

void SampleLedger::Add(int64_t step, std::string line) {
  if (file_) Write(line);
  recent_.emplace_back(step, std::move(line));
  if (recent_.size() > kRecent) recent_.pop_front();
}

void SampleLedger::Open(const std::string& path, int64_t next_step, const std::string& through) {
  path_ = path;
  FileSystem& files = RealFileSystem();
  const bool stands = files.Exists(path);
  const std::string text = stands ? ReadFile(path) : "";
  std::string kept;
  int64_t last = -1;
  size_t begin = 0;
  for (size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n', begin)) {
    const std::string_view line = std::string_view(text).substr(begin, end + 1 - begin);
    const int64_t step = StepOf(line);
    if (step < 0 || step >= next_step) break;
    begin = end + 1;
    // One that led before, and was stopped on the way, may have added its line late.
    if (step <= last) continue;
    last = step;
    kept += line;
  }
  // A new file in any case: what such a one adds from now on goes to the old one.
  if (stands) WriteFileAtomically(files, path, kept, through);
  file_ = std::make_unique<std::ofstream>(path, std::ios::app | std::ios::binary);
  for (const auto& [step, line] : recent_) {
    if (step > last && step < next_step) Write(line);
  }
}

void SampleLedger::Write(const std::string& line) {
  *file_ << line << '\n' << std::flush;
  if (!*file_) throw FileError("write", path_, errno);
}

}  // namespace ingot::train
