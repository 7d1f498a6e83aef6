// Tests of the event file writer: the bytes are decoded again, record by record, field by field.
#include "ingot/formats/event_file.h"

#include <bit>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/base/crc32.h"
#include "ingot/formats/endian.h"
#include "ingot/formats/test_support.h"

namespace ingot::formats {
namespace {

using testing::ElementsAre;
using testing::StartsWith;

template <typename T>
T Take(std::string_view& bytes) {
  const T value = LoadLittle<T>(AsBytes(bytes).data());
  bytes.remove_prefix(sizeof(T));
  return value;
}

uint64_t TakeVarint(std::string_view& bytes) {
  uint64_t value = 0;
  for (int shift = 0; !bytes.empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(bytes[0]);
    bytes.remove_prefix(1);
    value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) break;
  }
  return value;
}

// A message as its fields in order: number, and the value as an integer or as bytes.
struct Field {
  uint64_t number;
  uint64_t value;
  std::string bytes;
};
std::vector<Field> Decode(std::string_view message) {
  std::vector<Field> fields;
  while (!message.empty()) {
    const uint64_t tag = TakeVarint(message);
    Field field{tag >> 3, 0, ""};
    switch (tag & 7) {
      case 0:
        field.value = TakeVarint(message);
        break;
      case 1:
        field.value = Take<uint64_t>(message);
        break;
      case 5:
        field.value = Take<uint32_t>(message);
        break;
      case 2: {
        const uint64_t size = TakeVarint(message);
        EXPECT_LE(size, message.size());
        field.bytes = message.substr(0, size);
        message.remove_prefix(field.bytes.size());
        break;
      }
      default:
        ADD_FAILURE() << "wire type " << (tag & 7);
        return fields;
    }
    fields.push_back(field);
  }
  return fields;
}

// The inverse of the mask, so that the test does not repeat the writer's formula.
uint32_t Unmask(uint32_t masked) {
  const uint32_t rotated = masked - 0xa282ead8u;
  return (rotated >> 17) | (rotated << 15);
}

std::vector<std::string> Records(std::string_view file) {
  std::vector<std::string> records;
  while (!file.empty()) {
    const std::string_view length_bytes = file.substr(0, 8);
    const uint64_t length = Take<uint64_t>(file);
    EXPECT_EQ(Unmask(Take<uint32_t>(file)), Crc32c(length_bytes));
    records.emplace_back(file.substr(0, length));
    file.remove_prefix(length);
    EXPECT_EQ(Unmask(Take<uint32_t>(file)), Crc32c(records.back()));
  }
  return records;
}

struct Event {
  double wall_seconds = 0;
  int64_t step = 0;
  std::string version;
  std::vector<std::pair<std::string, float>> scalars;
};
Event DecodeEvent(std::string_view payload) {
  Event event;
  for (const Field& field : Decode(payload)) {
    if (field.number == 1) event.wall_seconds = std::bit_cast<double>(field.value);
    if (field.number == 2) event.step = static_cast<int64_t>(field.value);
    if (field.number == 3) event.version = field.bytes;
    if (field.number != 5) continue;
    for (const Field& value : Decode(field.bytes)) {
      const std::vector<Field> parts = Decode(value.bytes);
      EXPECT_EQ(parts.size(), 2u);
      event.scalars.emplace_back(parts[0].bytes,
                                 std::bit_cast<float>(static_cast<uint32_t>(parts[1].value)));
    }
  }
  return event;
}

TEST(EventFile, HoldsVersionAndScalars) {
  const TestFolder folder;
  std::string path;
  {
    EventFileWriter writer(RealFileSystem(), folder / ".", 1700000000.5, "train");
    path = writer.path();
    writer.Add(1, 1700000001.25,
               std::vector<Scalar>{{"train/loss", 2.5f}, {"train/accuracy", 0.125f}});
    writer.Add(300, 1700000002, std::vector<Scalar>{{"train/loss", -1.0f}});
    writer.Close();
  }
  const std::vector<std::string> records = Records(ReadFile(path));
  ASSERT_EQ(records.size(), 3u);
  const Event version = DecodeEvent(records[0]);
  EXPECT_EQ(version.version, "brain.Event:2");
  EXPECT_EQ(version.wall_seconds, 1700000000.5);
  const Event first = DecodeEvent(records[1]);
  EXPECT_EQ(first.step, 1);
  EXPECT_EQ(first.wall_seconds, 1700000001.25);
  EXPECT_THAT(first.scalars, ElementsAre(std::pair<std::string, float>("train/loss", 2.5f),
                                         std::pair<std::string, float>("train/accuracy", 0.125f)));
  EXPECT_EQ(DecodeEvent(records[2]).step, 300);
}

TEST(EventFile, WritesTheExactBytesOfTheFormat) {
  // Event {wall_time: 1.0, step: 300, summary {value {tag: "a", simple_value: 1.0}}}
  const std::string expected(
      "\x09\x00\x00\x00\x00\x00\x00\xf0\x3f"
      "\x10\xac\x02"
      "\x2a\x0a"
      "\x0a\x08"
      "\x0a\x01"
      "a"
      "\x15\x00\x00\x80\x3f",
      24);
  EXPECT_EQ(EncodeScalarEvent(300, 1.0, std::vector<Scalar>{{"a", 1.0f}}), expected);
}

TEST(EventFile, NegativeStepsAndLongTags) {
  const std::string tag(300, 't');
  const Event event = DecodeEvent(EncodeScalarEvent(-1, 0, std::vector<Scalar>{{tag, 1e-30f}}));
  EXPECT_EQ(event.step, -1);
  EXPECT_EQ(event.scalars[0], (std::pair<std::string, float>(tag, 1e-30f)));
}

TEST(EventFile, FlushMakesWhatWasAddedVisible) {
  const TestFolder folder;
  EventFileWriter writer(RealFileSystem(), folder / ".", 5);
  EXPECT_EQ(Records(ReadFile(writer.path())).size(), 1u);
  writer.Add(1, 6, std::vector<Scalar>{{"a", 1}});
  EXPECT_EQ(Records(ReadFile(writer.path())).size(), 1u);
  writer.Flush();
  EXPECT_EQ(Records(ReadFile(writer.path())).size(), 2u);
  writer.Flush();
  EXPECT_EQ(Records(ReadFile(writer.path())).size(), 2u);
}

TEST(EventFile, DestructionWritesWhatIsLeft) {
  const TestFolder folder;
  std::string path;
  {
    EventFileWriter writer(RealFileSystem(), folder / ".", 5);
    path = writer.path();
    writer.Add(1, 6, std::vector<Scalar>{{"a", 1}});
  }
  EXPECT_EQ(Records(ReadFile(path)).size(), 2u);
}

TEST(EventFile, NamesAreTensorBoards) {
  EXPECT_THAT(EventFileWriter::FileName(1700000000.9, ""),
              StartsWith("events.out.tfevents.1700000000."));
  EXPECT_TRUE(EventFileWriter::FileName(1, "eval").ends_with(".eval"));
  EXPECT_THAT(EventFileWriter::FileName(1, ""), StartsWith("events.out.tfevents.0000000001."));
}

TEST(EventFile, FolderThatIsMissingIsAnError) {
  const TestFolder folder;
  const Error error = ErrorOf([&] { EventFileWriter(RealFileSystem(), folder / "none", 5); });
  EXPECT_EQ(error.code(), ErrorCode::kIo);
}

}  // namespace
}  // namespace ingot::formats
