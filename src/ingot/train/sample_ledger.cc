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

void SampleLedger::Open(const std::string& path, int64_t next_step) {
  path_ = path;
  FileSystem& files = RealFileSystem();
  std::string text = files.Exists(path) ? ReadFile(path) : "";
  size_t keep = 0;
  int64_t last = -1;
  for (size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n', keep)) {
    const int64_t step = StepOf(std::string_view(text).substr(keep, end - keep));
    if (step < 0 || step >= next_step) break;
    last = step;
    keep = end + 1;
  }
  if (keep < text.size()) WriteFileAtomically(files, path, text.substr(0, keep));
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
