// TensorBoard event files: scalars over steps, as TensorBoard itself reads them.
//
// A file is a sequence of TFRecords (u64 length, masked CRC-32C of it, bytes, masked CRC-32C of
// them), each a protobuf message Event (tensorflow/core/util/event.proto); the first one holds the
// version "brain.Event:2".
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ingot/base/file.h"

namespace ingot::formats {

struct Scalar {
  std::string_view tag;  // "train/loss": the part before the slash groups charts
  float value = 0;
};

// Events are gathered in memory and reach the file with Flush. Not safe for use by several threads
// at once. The bytes are a function of the arguments alone.
class EventFileWriter {
 public:
  // Creates FOLDER/FileName(wall_seconds, suffix) and writes the version record; the folder must
  // exist. TensorBoard reads all event files of a folder, so that a resumed run adds one of its
  // own. Throws Error(kIo).
  EventFileWriter(FileSystem& file_system, const std::string& folder, double wall_seconds,
                  std::string_view suffix = "");
  // Writes what is left and closes, with errors ignored: call Close to see them.
  ~EventFileWriter();
  EventFileWriter(const EventFileWriter&) = delete;
  EventFileWriter& operator=(const EventFileWriter&) = delete;

  // "events.out.tfevents.1700000000.hostname.PID" and ".SUFFIX" where one is given: TensorBoard
  // looks for the "tfevents" and reads files in the order of their names.
  static std::string FileName(double wall_seconds, std::string_view suffix);

  const std::string& path() const { return path_; }

  // All scalars of one step in one event; wall_seconds are since 1970.
  void Add(int64_t step, double wall_seconds, std::span<const Scalar> scalars);

  // Hands everything to the file. Throws Error(kIo); the events of a failed flush are given up,
  // since some of their bytes may be in the file.
  void Flush();
  // Flush, then close; nothing may be added afterwards. Throws Error(kIo).
  void Close();

 private:
  std::string path_;
  std::unique_ptr<WritableFile> file_;
  std::string pending_;
};

// One TFRecord around `payload`.
std::string EncodeTfRecord(std::string_view payload);

// The protobuf bytes of Event {wall_time, file_version "brain.Event:2"}.
std::string EncodeVersionEvent(double wall_seconds);

// The protobuf bytes of Event {wall_time, step, summary {value {tag, simple_value}...}}.
std::string EncodeScalarEvent(int64_t step, double wall_seconds, std::span<const Scalar> scalars);

}  // namespace ingot::formats
