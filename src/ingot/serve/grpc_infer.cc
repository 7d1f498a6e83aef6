// The inference messages of the gRPC protocol.
#include "ingot/serve/grpc_infer.h"

#include <vector>

#include "ingot/serve/rest_infer.h"
#include "ingot/serve/served_model.h"
#include "ingot/serve/wire.h"

namespace ingot::serve {
namespace {

// map<string, InferParameter>: one entry.
std::pair<std::string, Parameter> ReadEntry(std::string_view bytes) {
  std::pair<std::string, Parameter> entry;
  WireReader reader(bytes);
  uint32_t field = 0;
  WireType type{};
  while (reader.Next(field, type)) {
    if (field == 1 && type == WireType::kBytes) {
      entry.first = reader.Bytes();
    } else if (field == 2 && type == WireType::kBytes) {
      WireReader value(reader.Bytes());
      while (value.Next(field, type)) {
        if (field == 1 && type == WireType::kVarint) {
          entry.second = value.Varint() != 0;
        } else if (field == 2 && type == WireType::kVarint) {
          entry.second = static_cast<int64_t>(value.Varint());
        } else if (field == 3 && type == WireType::kBytes) {
          entry.second = std::string(value.Bytes());
        } else if (field == 4 && type == WireType::kFixed64) {
          entry.second = value.Fixed<double>();
        } else if (field == 5 && type == WireType::kVarint) {
          entry.second = value.Varint();
        } else {
          value.Skip(type);
        }
      }
    } else {
      reader.Skip(type);
    }
  }
  return entry;
}

uint64_t Whole(const std::string& name, const Parameter& value) {
  if (const auto* number = std::get_if<int64_t>(&value); number != nullptr && *number >= 0) {
    return static_cast<uint64_t>(*number);
  }
  if (const auto* number = std::get_if<uint64_t>(&value)) return *number;
  ThrowInvalid("parameter '" + name + "': expected a whole number from 0");
}

bool TakePlace(const std::string& name, const Parameter& value, SharedMemoryPlace& place) {
  if (name == "shared_memory_region") {
    const auto* text = std::get_if<std::string>(&value);
    if (text == nullptr) ThrowInvalid("parameter 'shared_memory_region': expected a string");
    place.region = *text;
  } else if (name == "shared_memory_offset") {
    place.offset = Whole(name, value);
  } else if (name == "shared_memory_byte_size") {
    place.size = Whole(name, value);
  } else {
    return false;
  }
  return true;
}

template <typename T>
void Put(T value, std::string& out) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

// A number of InferTensorContents as an element of `dtype`, whose bytes are its lowest.
void PutInteger(uint64_t value, DType dtype, std::string& out) {
  if (dtype == DType::kBool) value = value != 0 ? 1 : 0;
  out.append(reinterpret_cast<const char*>(&value), ItemSize(dtype));
}

uint32_t ContentsField(DType dtype) {
  switch (dtype) {
    case DType::kBool:
      return 1;
    case DType::kI8:
    case DType::kI16:
    case DType::kI32:
      return 2;
    case DType::kI64:
      return 3;
    case DType::kU8:
    case DType::kU16:
    case DType::kU32:
      return 4;
    case DType::kU64:
      return 5;
    case DType::kF32:
      return 6;
    case DType::kF64:
      return 7;
    case DType::kString:
      return 8;
    default:
      return 0;
  }
}

// InferTensorContents as the bytes of a tensor.
std::string ReadContents(std::string_view bytes, const std::string& where, DType dtype) {
  const uint32_t wanted = ContentsField(dtype);
  if (wanted == 0) {
    ThrowInvalid(where + std::string(WireName(dtype)) + " must be given in raw_input_contents");
  }
  std::string out;
  WireReader reader(bytes);
  uint32_t field = 0;
  WireType type{};
  while (reader.Next(field, type)) {
    if (field != wanted) ThrowInvalid(where + "its contents are of another type than its datatype");
    if (field == 8) {
      reader.Expect(type, WireType::kBytes);
      AppendBytesElement(reader.Bytes(), out);
      continue;
    }
    // Packed, or one by one.
    WireReader packed(type == WireType::kBytes ? reader.Bytes() : std::string_view());
    WireReader& from = type == WireType::kBytes ? packed : reader;
    do {
      if (type == WireType::kBytes && packed.done()) break;
      if (field == 6) {
        Put(from.Fixed<float>(), out);
      } else if (field == 7) {
        Put(from.Fixed<double>(), out);
      } else {
        PutInteger(from.Varint(), dtype, out);
      }
    } while (type == WireType::kBytes);
  }
  return out;
}

void ReadInput(std::string_view bytes, bool allow_shared_memory, InferInput& input,
               SharedMemoryPlace& place, std::string_view& contents) {
  WireReader reader(bytes);
  uint32_t field = 0;
  WireType type{};
  const auto extent = [&](uint64_t value) {
    if (input.dims.rank == kMaxRank) {
      ThrowInvalid("input '" + input.name + "': shape has more than " + std::to_string(kMaxRank) +
                   " axes");
    }
    if (static_cast<int64_t>(value) < 0)
      ThrowInvalid("input '" + input.name + "': shape has a negative extent");
    input.dims.extent[input.dims.rank++] = static_cast<int64_t>(value);
  };
  std::string_view datatype;
  while (reader.Next(field, type)) {
    if (field == 1 && type == WireType::kBytes) {
      input.name = reader.Bytes();
    } else if (field == 2 && type == WireType::kBytes) {
      datatype = reader.Bytes();
    } else if (field == 3 && type == WireType::kBytes) {
      WireReader packed(reader.Bytes());
      while (!packed.done()) extent(packed.Varint());
    } else if (field == 3 && type == WireType::kVarint) {
      extent(reader.Varint());
    } else if (field == 4 && type == WireType::kBytes) {
      const auto [name, value] = ReadEntry(reader.Bytes());
      TakePlace(name, value, place);
    } else if (field == 5 && type == WireType::kBytes) {
      contents = reader.Bytes();
    } else {
      reader.Skip(type);
    }
  }
  input.dtype = ParseWireType(datatype);
  if (input.dtype == DType::kUndefined) {
    ThrowInvalid("input '" + input.name + "': unknown datatype '" + std::string(datatype) + "'");
  }
  if (!place.region.empty() && !allow_shared_memory) {
    ThrowInvalid("input '" + input.name + "': shared memory is not allowed here");
  }
}

void ReadOutput(std::string_view bytes, bool allow_shared_memory, WantedOutput& wanted) {
  WireReader reader(bytes);
  uint32_t field = 0;
  WireType type{};
  while (reader.Next(field, type)) {
    if (field == 1 && type == WireType::kBytes) {
      wanted.name = reader.Bytes();
    } else if (field == 2 && type == WireType::kBytes) {
      const auto [name, value] = ReadEntry(reader.Bytes());
      if (name == "classification") {
        wanted.classes = static_cast<int64_t>(std::min<uint64_t>(Whole(name, value), 1 << 20));
      } else {
        TakePlace(name, value, wanted.place);
      }
    } else {
      reader.Skip(type);
    }
  }
  if (!wanted.place.region.empty() && !allow_shared_memory) {
    ThrowInvalid("output '" + wanted.name + "': shared memory is not allowed here");
  }
}

}  // namespace

void ReadGrpcInfer(std::string_view message, bool allow_shared_memory, const Inference& inference,
                   InferJob& job, std::string& model, std::string& version) {
  WireReader reader(message);
  uint32_t field = 0;
  WireType type{};
  std::vector<SharedMemoryPlace> places;
  std::vector<std::string_view> contents;
  std::vector<std::string_view> raw;
  while (reader.Next(field, type)) {
    if (type != WireType::kBytes) {
      reader.Skip(type);
      continue;
    }
    const std::string_view bytes = reader.Bytes();
    switch (field) {
      case 1:
        model = bytes;
        break;
      case 2:
        version = bytes;
        break;
      case 3:
        job.id = bytes;
        break;
      case 4: {
        auto [name, value] = ReadEntry(bytes);
        if (!TakeSchedulingParameter(name, value, job)) {
          job.parameters.emplace_back(std::move(name), std::move(value));
        }
        break;
      }
      case 5:
        ReadInput(bytes, allow_shared_memory, job.inputs.emplace_back(), places.emplace_back(),
                  contents.emplace_back());
        break;
      case 6:
        ReadOutput(bytes, allow_shared_memory, job.wanted.emplace_back());
        break;
      case 7:
        raw.push_back(bytes);
        break;
      default:
        break;
    }
  }
  size_t next_raw = 0;
  for (size_t i = 0; i < job.inputs.size(); ++i) {
    InferInput& input = job.inputs[i];
    const std::string where = "input '" + input.name + "': ";
    if (!places[i].region.empty()) {
      const Status status = inference.ReadSharedMemory(places[i], job, input);
      if (!status.ok()) ThrowInvalid(status.message);
    } else if (contents[i].data() != nullptr) {
      if (!raw.empty()) {
        ThrowInvalid(where + "contents field must not be specified when using raw_input_contents");
      }
      const auto values =
          std::make_shared<std::string>(ReadContents(contents[i], where, input.dtype));
      input.bytes = std::as_bytes(std::span<const char>(values->data(), values->size()));
      input.owner = values;
    } else if (next_raw < raw.size()) {
      const std::string_view bytes = raw[next_raw++];
      input.bytes = std::as_bytes(std::span<const char>(bytes.data(), bytes.size()));
    } else if (!raw.empty()) {
      ThrowInvalid("expected " + std::to_string(job.inputs.size()) + " raw_input_contents, got " +
                   std::to_string(raw.size()));
    }
  }
  if (next_raw != raw.size()) {
    ThrowInvalid("expected " + std::to_string(next_raw) + " raw_input_contents, got " +
                 std::to_string(raw.size()));
  }
}

void WriteGrpcInfer(const InferJob& job, bool final_flag, std::string& head,
                    std::vector<Piece>& pieces) {
  PutBytes(1, job.model->name, head);
  PutBytes(2, std::to_string(job.model->version), head);
  if (!job.id.empty()) PutBytes(3, job.id, head);
  std::string inner, value;
  if (final_flag) {
    PutNumber(1, 1, value);
    PutBytes(1, "triton_final_response", inner);
    PutBytes(2, value, inner);
    PutBytes(4, inner, head);
  }
  for (const InferOutput& output : job.outputs) {
    inner.clear();
    PutBytes(1, output.name, inner);
    PutBytes(2, WireName(output.dtype), inner);
    value.clear();
    for (const int64_t d : output.dims) PutVarint(static_cast<uint64_t>(d), value);
    PutBytes(3, value, inner);
    if (output.wanted != nullptr && !output.wanted->place.region.empty()) {
      const auto add = [&](std::string_view name, std::string_view bytes) {
        std::string entry;
        PutBytes(1, name, entry);
        PutBytes(2, bytes, entry);
        PutBytes(4, entry, inner);
      };
      value.clear();
      PutBytes(3, output.wanted->place.region, value);
      add("shared_memory_region", value);
      value.clear();
      PutNumber(2, output.bytes.size(), value);
      add("shared_memory_byte_size", value);
    }
    PutBytes(5, inner, head);
  }
  bool first = true;
  for (const InferOutput& output : job.outputs) {
    if (output.wanted != nullptr && !output.wanted->place.region.empty()) continue;
    std::string tag;
    PutTag(6, WireType::kBytes, tag);
    PutVarint(output.bytes.size(), tag);
    if (first) {
      head += tag;
    } else {
      const auto owner = std::make_shared<const std::string>(std::move(tag));
      pieces.push_back({std::as_bytes(std::span<const char>(owner->data(), owner->size())), owner});
    }
    first = false;
    pieces.push_back({output.bytes, output.owner});
  }
}

}  // namespace ingot::serve
