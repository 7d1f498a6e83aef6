// The event file writer. The few protobuf fields that scalars need are encoded by hand.
#include "ingot/formats/event_file.h"

#include <array>
#include <bit>
#include <cinttypes>
#include <cstdio>

#include <unistd.h>

#include "ingot/base/crc32.h"
#include "ingot/base/error.h"

namespace ingot::formats {
namespace {

constexpr std::string_view kVersion = "brain.Event:2";

// Field numbers of tensorflow/core/util/event.proto and framework/summary.proto.
constexpr uint32_t kEventWallTime = 1;
constexpr uint32_t kEventStep = 2;
constexpr uint32_t kEventFileVersion = 3;
constexpr uint32_t kEventSummary = 5;
constexpr uint32_t kSummaryValue = 1;
constexpr uint32_t kValueTag = 1;
constexpr uint32_t kValueSimpleValue = 2;

enum WireType : uint32_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

template <typename T>
void AppendFixed(std::string& out, T value) {
  for (size_t i = 0; i < sizeof(T); ++i) out += static_cast<char>((value >> (8 * i)) & 0xff);
}

void AppendVarint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

void AppendTag(std::string& out, uint32_t field, WireType type) {
  AppendVarint(out, field << 3 | type);
}

void AppendText(std::string& out, uint32_t field, std::string_view text) {
  AppendTag(out, field, kBytes);
  AppendVarint(out, text.size());
  out += text;
}

void AppendDouble(std::string& out, uint32_t field, double value) {
  AppendTag(out, field, kFixed64);
  AppendFixed(out, std::bit_cast<uint64_t>(value));
}

void AppendFloat(std::string& out, uint32_t field, float value) {
  AppendTag(out, field, kFixed32);
  AppendFixed(out, std::bit_cast<uint32_t>(value));
}

std::string HostName() {
  std::array<char, 256> name = {};
  if (::gethostname(name.data(), name.size() - 1) != 0 || name[0] == '\0') return "localhost";
  return name.data();
}

}  // namespace

std::string EncodeTfRecord(std::string_view payload) {
  std::string record;
  record.reserve(payload.size() + 16);
  AppendFixed(record, static_cast<uint64_t>(payload.size()));
  AppendFixed(record, MaskedCrc32c(record));
  record += payload;
  AppendFixed(record, MaskedCrc32c(payload));
  return record;
}

std::string EncodeVersionEvent(double wall_seconds) {
  std::string event;
  AppendDouble(event, kEventWallTime, wall_seconds);
  AppendText(event, kEventFileVersion, kVersion);
  return event;
}

std::string EncodeScalarEvent(int64_t step, double wall_seconds, std::span<const Scalar> scalars) {
  std::string summary;
  for (const Scalar& scalar : scalars) {
    std::string value;
    AppendText(value, kValueTag, scalar.tag);
    AppendFloat(value, kValueSimpleValue, scalar.value);
    AppendText(summary, kSummaryValue, value);
  }
  std::string event;
  AppendDouble(event, kEventWallTime, wall_seconds);
  AppendTag(event, kEventStep, kVarint);
  AppendVarint(event, static_cast<uint64_t>(step));
  AppendText(event, kEventSummary, summary);
  return event;
}

std::string EventFileWriter::FileName(double wall_seconds, std::string_view suffix) {
  std::array<char, 64> seconds;
  std::snprintf(seconds.data(), seconds.size(), "%010" PRId64, static_cast<int64_t>(wall_seconds));
  std::string name = std::string("events.out.tfevents.") + seconds.data() + "." + HostName() + "." +
                     std::to_string(::getpid());
  if (!suffix.empty()) name.append(".").append(suffix);
  return name;
}

EventFileWriter::EventFileWriter(FileSystem& file_system, const std::string& folder,
                                 double wall_seconds, std::string_view suffix)
    : path_(folder + "/" + FileName(wall_seconds, suffix)),
      file_(file_system.OpenForWrite(path_)),
      pending_(EncodeTfRecord(EncodeVersionEvent(wall_seconds))) {
  Flush();
}

EventFileWriter::~EventFileWriter() {
  try {
    Close();
  } catch (const Error&) {
    // A destructor has nobody to tell; Close is there for those who want to know.
  }
}

void EventFileWriter::Add(int64_t step, double wall_seconds, std::span<const Scalar> scalars) {
  INGOT_ASSERT(file_ != nullptr, "scalars added to the closed event file " + path_);
  pending_ += EncodeTfRecord(EncodeScalarEvent(step, wall_seconds, scalars));
}

void EventFileWriter::Flush() {
  if (file_ == nullptr || pending_.empty()) return;
  // Cleared first: writing again what was written in part would put a torn record in the middle.
  std::string bytes;
  bytes.swap(pending_);
  file_->Write(bytes);
}

void EventFileWriter::Close() {
  if (file_ == nullptr) return;
  const std::unique_ptr<WritableFile> file = std::move(file_);
  if (!pending_.empty()) file->Write(pending_);
  pending_.clear();
  file->Close();
}

}  // namespace ingot::formats
