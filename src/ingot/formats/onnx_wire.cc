// Walks the messages ModelProto, GraphProto and TensorProto field by field.
#include "ingot/formats/onnx_wire.h"

#include <cstdint>
#include <optional>

namespace ingot::formats {
namespace {

// Field numbers of ONNX's definition, which never change.
constexpr uint64_t kModelGraph = 7;
constexpr uint64_t kGraphInitializer = 5;
constexpr uint64_t kTensorRawData = 9;
// Smaller weights are cheaper to copy than to remember.
constexpr size_t kSmallestLeftOut = 256;

enum OnnxWireType : uint64_t { kVarint = 0, kFixed64 = 1, kLengthDelimited = 2, kFixed32 = 5 };

struct Field {
  uint64_t number = 0;
  uint64_t wire_type = 0;
  size_t begin = 0;    // of the tag
  size_t payload = 0;  // of what follows tag and length
  size_t end = 0;
};

// The fields of the message that stands in bytes [begin, end).
class Walker {
 public:
  Walker(std::span<const std::byte> bytes, size_t begin, size_t end)
      : bytes_(bytes), at_(begin), end_(end) {}

  bool done() const { return at_ >= end_; }
  // nullopt: not a field.
  std::optional<Field> Next() {
    Field field;
    field.begin = at_;
    const std::optional<uint64_t> tag = Varint();
    if (!tag) return std::nullopt;
    field.number = *tag >> 3;
    field.wire_type = *tag & 7;
    uint64_t size = 0;
    if (field.wire_type == kVarint) {
      if (!Varint()) return std::nullopt;
      field.payload = field.end = at_;
      return field;
    }
    if (field.wire_type == kLengthDelimited) {
      const std::optional<uint64_t> length = Varint();
      if (!length) return std::nullopt;
      size = *length;
    } else if (field.wire_type == kFixed32 || field.wire_type == kFixed64) {
      size = field.wire_type == kFixed32 ? 4 : 8;
    } else {
      return std::nullopt;
    }
    if (size > end_ - at_) return std::nullopt;
    field.payload = at_;
    at_ += size;
    field.end = at_;
    return field;
  }

 private:
  std::optional<uint64_t> Varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (at_ >= end_) return std::nullopt;
      const auto byte = std::to_integer<uint64_t>(bytes_[at_++]);
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    return std::nullopt;
  }

  std::span<const std::byte> bytes_;
  size_t at_;
  size_t end_;
};

void AppendVarint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>((value & 0x7f) | 0x80);
  out += static_cast<char>(value);
}

void AppendMessage(std::string& out, uint64_t number, const std::string& message) {
  AppendVarint(out, number << 3 | kLengthDelimited);
  AppendVarint(out, message.size());
  out += message;
}

class Stripper {
 public:
  explicit Stripper(std::span<const std::byte> bytes) : bytes_(bytes) {}

  std::optional<LeanModel> Strip() {
    LeanModel lean;
    size_t graphs = 0;
    for (Walker fields(bytes_, 0, bytes_.size()); !fields.done();) {
      const std::optional<Field> field = fields.Next();
      if (!field) return std::nullopt;
      if (field->number != kModelGraph || field->wire_type != kLengthDelimited) {
        Copy(lean.bytes, *field);
        continue;
      }
      // A parser would join several; nobody writes them.
      if (++graphs > 1 || !StripGraph(*field, lean)) return std::nullopt;
    }
    lean.is_lean = graphs == 1;
    return lean;
  }

 private:
  void Copy(std::string& out, const Field& field) const {
    out.append(reinterpret_cast<const char*>(bytes_.data()) + field.begin, field.end - field.begin);
  }

  bool StripGraph(const Field& graph, LeanModel& lean) const {
    std::string out;
    for (Walker fields(bytes_, graph.payload, graph.end); !fields.done();) {
      const std::optional<Field> field = fields.Next();
      if (!field) return false;
      if (field->number != kGraphInitializer || field->wire_type != kLengthDelimited) {
        Copy(out, *field);
        continue;
      }
      std::string tensor;
      lean.weights.emplace_back();
      if (!StripTensor(*field, tensor, lean.weights.back())) return false;
      AppendMessage(out, kGraphInitializer, tensor);
    }
    AppendMessage(lean.bytes, kModelGraph, out);
    return true;
  }

  bool StripTensor(const Field& tensor, std::string& out, LeanModel::Range& range) const {
    for (Walker fields(bytes_, tensor.payload, tensor.end); !fields.done();) {
      const std::optional<Field> field = fields.Next();
      if (!field) return false;
      const bool is_raw = field->number == kTensorRawData && field->wire_type == kLengthDelimited;
      if (!is_raw || field->end - field->payload < kSmallestLeftOut) {
        Copy(out, *field);
        continue;
      }
      if (range.is_left_out) return false;  // twice
      range = {true, field->payload, field->end - field->payload};
    }
    return true;
  }

  std::span<const std::byte> bytes_;
};

}  // namespace

LeanModel LeaveOutWeights(std::span<const std::byte> model) {
  return Stripper(model).Strip().value_or(LeanModel());
}

}  // namespace ingot::formats
