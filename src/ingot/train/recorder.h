// Recorder: where the records of a run go: metrics.jsonl and TensorBoard's event file.
#pragma once

#include <memory>
#include <string>

#include "ingot/base/file.h"
#include "ingot/formats/event_file.h"
#include "ingot/train/run_directory.h"

namespace ingot::train {

// Not safe for use by several threads at once. Files are made with the first record.
class Recorder {
 public:
  // `run` may be null: nothing is written. Both must outlive the recorder.
  Recorder(FileSystem& file_system, RunDirectory* run, bool tensorboard);

  // In TensorBoard the value "loss" of kind "train" is called "train/loss". Throws Error(kIo).
  void Add(const MetricsRecord& record);
  // Hands everything to the files. Throws Error(kIo).
  void Flush();

 private:
  FileSystem& file_system_;
  RunDirectory* run_;
  bool tensorboard_;
  std::unique_ptr<formats::EventFileWriter> events_;
  double flushed_at_ = 0;
};

}  // namespace ingot::train
