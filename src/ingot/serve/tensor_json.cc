// Tensors' values and parameters in JSON.
#include <cstring>
#include <limits>

#include "ingot/serve/json_reader.h"
#include "ingot/serve/json_writer.h"
#include "ingot/serve/rest_infer.h"

namespace ingot::serve {
namespace {

template <typename T>
void Append(T value, std::string& out) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

template <typename T>
void ReadInteger(JsonReader& reader, std::string& out) {
  if constexpr (std::is_signed_v<T>) {
    const int64_t value = reader.Int();
    if (value < std::numeric_limits<T>::min() || value > std::numeric_limits<T>::max()) {
      reader.Fail("the number " + std::to_string(value) + " does not fit its type");
    }
    Append(static_cast<T>(value), out);
  } else {
    const uint64_t value = reader.Uint();
    if (value > std::numeric_limits<T>::max()) {
      reader.Fail("the number " + std::to_string(value) + " does not fit its type");
    }
    Append(static_cast<T>(value), out);
  }
}

void ReadElement(JsonReader& reader, DType dtype, std::string& out) {
  switch (dtype) {
    case DType::kF32:
      Append(reader.Float(), out);
      return;
    case DType::kF64:
      Append(reader.Double(), out);
      return;
    case DType::kI8:
      ReadInteger<int8_t>(reader, out);
      return;
    case DType::kI16:
      ReadInteger<int16_t>(reader, out);
      return;
    case DType::kI32:
      ReadInteger<int32_t>(reader, out);
      return;
    case DType::kI64:
      ReadInteger<int64_t>(reader, out);
      return;
    case DType::kU8:
      ReadInteger<uint8_t>(reader, out);
      return;
    case DType::kU16:
      ReadInteger<uint16_t>(reader, out);
      return;
    case DType::kU32:
      ReadInteger<uint32_t>(reader, out);
      return;
    case DType::kU64:
      ReadInteger<uint64_t>(reader, out);
      return;
    case DType::kBool:
      if (reader.Peek() == JsonReader::Kind::kNumber) {
        const int64_t value = reader.Int();
        if (value != 0 && value != 1) reader.Fail("expected true, false, 0 or 1");
        Append<char>(value != 0, out);
      } else {
        Append<char>(reader.Bool(), out);
      }
      return;
    case DType::kString: {
      std::string text;
      reader.String(text);
      AppendBytesElement(text, out);
      return;
    }
    default:
      reader.Fail("this type cannot be given in JSON, only in binary");
  }
}

void ReadLevel(JsonReader& reader, DType dtype, std::string& out) {
  reader.BeginArray();
  while (reader.NextElement()) {
    if (reader.Peek() == JsonReader::Kind::kArray) {
      ReadLevel(reader, dtype, out);
    } else {
      ReadElement(reader, dtype, out);
    }
  }
}

template <typename T>
void AppendNumbers(std::span<const std::byte> bytes, std::string& out) {
  const size_t count = bytes.size() / sizeof(T);
  for (size_t i = 0; i < count; ++i) {
    T value;
    std::memcpy(&value, bytes.data() + i * sizeof(T), sizeof value);
    if (i > 0) out += ',';
    if constexpr (sizeof(T) == 1) {
      AppendJsonNumber(static_cast<int>(value), out);
    } else {
      AppendJsonNumber(value, out);
    }
  }
}

}  // namespace

void ReadTensorData(JsonReader& reader, DType dtype, std::string& out) {
  if (dtype == DType::kF16 || dtype == DType::kBf16) {
    reader.Fail(std::string(WireName(dtype)) + " cannot be given in JSON, only in binary");
  }
  ReadLevel(reader, dtype, out);
}

void AppendTensorData(DType dtype, std::span<const std::byte> bytes, std::string& out) {
  out += '[';
  switch (dtype) {
    case DType::kF32:
      AppendNumbers<float>(bytes, out);
      break;
    case DType::kF64:
      AppendNumbers<double>(bytes, out);
      break;
    case DType::kI8:
      AppendNumbers<int8_t>(bytes, out);
      break;
    case DType::kI16:
      AppendNumbers<int16_t>(bytes, out);
      break;
    case DType::kI32:
      AppendNumbers<int32_t>(bytes, out);
      break;
    case DType::kI64:
      AppendNumbers<int64_t>(bytes, out);
      break;
    case DType::kU8:
      AppendNumbers<uint8_t>(bytes, out);
      break;
    case DType::kU16:
      AppendNumbers<uint16_t>(bytes, out);
      break;
    case DType::kU32:
      AppendNumbers<uint32_t>(bytes, out);
      break;
    case DType::kU64:
      AppendNumbers<uint64_t>(bytes, out);
      break;
    case DType::kBool:
      for (size_t i = 0; i < bytes.size(); ++i) {
        if (i > 0) out += ',';
        out += bytes[i] != std::byte{0} ? "true" : "false";
      }
      break;
    case DType::kString: {
      bool first = true;
      for (const std::string_view element : SplitBytesElements(bytes, -1)) {
        if (!first) out += ',';
        first = false;
        AppendJsonString(element, out);
      }
      break;
    }
    default:
      throw Error(ErrorCode::kInvalidInput,
                  "outputs of type " + std::string(WireName(dtype)) +
                      " cannot be given in JSON: ask for binary data (binary_data)");
  }
  out += ']';
}

Parameter ReadParameter(JsonReader& reader) {
  switch (reader.Peek()) {
    case JsonReader::Kind::kBool:
      return reader.Bool();
    case JsonReader::Kind::kString: {
      std::string text;
      reader.String(text);
      return text;
    }
    case JsonReader::Kind::kNumber: {
      const std::string_view text = reader.Skip();
      JsonReader again(text);
      if (text.find_first_of(".eE") != std::string_view::npos) return again.Double();
      if (text[0] == '-') return again.Int();
      const uint64_t value = again.Uint();
      if (value <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
        return static_cast<int64_t>(value);
      }
      return value;
    }
    default:
      reader.Fail("a parameter must be a string, a number or a bool");
  }
}

void AppendParameter(const Parameter& parameter, std::string& out) {
  std::visit(
      [&](const auto& value) {
        using T = std::decay_t<decltype(value)>;
        if constexpr (std::is_same_v<T, bool>) {
          out += value ? "true" : "false";
        } else if constexpr (std::is_same_v<T, std::string>) {
          AppendJsonString(value, out);
        } else {
          AppendJsonNumber(value, out);
        }
      },
      parameter);
}

namespace {

uint64_t UnsignedOf(const std::string& name, const Parameter& value) {
  if (const auto* number = std::get_if<int64_t>(&value); number != nullptr && *number >= 0) {
    return static_cast<uint64_t>(*number);
  }
  if (const auto* number = std::get_if<uint64_t>(&value)) return *number;
  throw Error(ErrorCode::kInvalidInput, "parameter '" + name + "': expected a whole number from 0");
}

bool BoolOf(const std::string& name, const Parameter& value) {
  if (const auto* flag = std::get_if<bool>(&value)) return *flag;
  throw Error(ErrorCode::kInvalidInput, "parameter '" + name + "': expected true or false");
}

}  // namespace

bool TakeSchedulingParameter(const std::string& name, const Parameter& value, InferJob& job) {
  if (name == "sequence_id") {
    if (const auto* text = std::get_if<std::string>(&value)) {
      job.sequence.id = *text;
    } else {
      job.sequence.number = UnsignedOf(name, value);
      if (job.sequence.number != 0) job.sequence.id = std::to_string(job.sequence.number);
    }
  } else if (name == "sequence_start") {
    job.sequence.start = BoolOf(name, value);
  } else if (name == "sequence_end") {
    job.sequence.end = BoolOf(name, value);
  } else if (name == "priority") {
    job.priority = UnsignedOf(name, value);
  } else if (name == "timeout") {
    job.timeout_us = UnsignedOf(name, value);
  } else {
    return false;
  }
  return true;
}

}  // namespace ingot::serve
