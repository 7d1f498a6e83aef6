// Recorder: see recorder.h.
#include "ingot/train/recorder.h"

#include <vector>

#include "ingot/base/clock.h"

namespace ingot::train {
namespace {

// Events are gathered so long before they are handed to the file.
constexpr double kFlushSeconds = 2;

}  // namespace

Recorder::Recorder(FileSystem& file_system, RunDirectory* run, bool tensorboard)
    : file_system_(file_system), run_(run), tensorboard_(tensorboard && run != nullptr) {}

void Recorder::Add(const MetricsRecord& record) {
  if (run_ == nullptr) return;
  run_->AppendMetrics(record);
  if (!tensorboard_) return;
  const double now = WallSeconds();
  if (events_ == nullptr) {
    events_ = std::make_unique<formats::EventFileWriter>(file_system_, run_->path(), now);
    flushed_at_ = now;
  }
  std::vector<std::string> tags;
  for (const auto& value : record.values) tags.push_back(record.kind + "/" + value.first);
  std::vector<formats::Scalar> scalars;
  for (size_t i = 0; i < tags.size(); ++i) {
    scalars.push_back({tags[i], static_cast<float>(record.values[i].second)});
  }
  events_->Add(record.step, now, scalars);
  if (now - flushed_at_ >= kFlushSeconds) Flush();
}

void Recorder::Flush() {
  if (events_ == nullptr) return;
  events_->Flush();
  flushed_at_ = WallSeconds();
}

}  // namespace ingot::train
