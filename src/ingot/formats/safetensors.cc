// The safetensors reader and writer. The header's JSON is read as a stream of events, so that a
// hostile header costs no more memory than the tensors that it names.
#include "ingot/formats/safetensors.h"

#include <algorithm>
#include <array>
#include <limits>
#include <set>

#include <nlohmann/json.hpp>

#include "ingot/base/error.h"
#include "ingot/base/text.h"
#include "ingot/formats/endian.h"

namespace ingot::formats {
namespace {

using Json = nlohmann::json;

constexpr size_t kLengthBytes = 8;
constexpr std::string_view kMetadataKey = "__metadata__";

struct TypeName {
  std::string_view name;
  DType dtype;
};
// In the order in which the reference implementation sorts types; it writes the last ones first.
constexpr std::array<TypeName, 16> kTypeNames = {{
    {"BOOL", DType::kBool},
    {"U8", DType::kU8},
    {"I8", DType::kI8},
    {"F8_E5M2", DType::kF8E5M2},
    {"F8_E4M3", DType::kF8E4M3FN},
    {"I16", DType::kI16},
    {"U16", DType::kU16},
    {"F16", DType::kF16},
    {"BF16", DType::kBf16},
    {"I32", DType::kI32},
    {"U32", DType::kU32},
    {"F32", DType::kF32},
    {"C64", DType::kComplex64},
    {"F64", DType::kF64},
    {"I64", DType::kI64},
    {"U64", DType::kU64},
}};

int TypeRank(DType dtype) {
  for (size_t i = 0; i < kTypeNames.size(); ++i) {
    if (kTypeNames[i].dtype == dtype) return static_cast<int>(i);
  }
  return -1;
}

// Takes the JSON events of a header; every event that the format does not have is an error.
class HeaderReader : public nlohmann::json_sax<Json> {
 public:
  explicit HeaderReader(std::string file) : file_(std::move(file)) {}

  std::vector<SafetensorsEntry> entries;  // offset and bytes relative to the data
  std::map<std::string, std::string> metadata;

  bool start_object(std::size_t) override {
    switch (place_) {
      case Place::kBegin:
        return Go(Place::kRoot);
      case Place::kRoot:
        if (key_ == kMetadataKey) return Go(Place::kMetadata);
        entry_ = {};
        entry_.name = key_;
        dims_.clear();
        offsets_.clear();
        seen_ = 0;
        return Go(Place::kTensor);
      default:
        return Unexpected("an object");
    }
  }

  bool key(string_t& text) override {
    if (place_ == Place::kRoot && !names_.insert(text).second) Duplicate(text);
    if (place_ == Place::kMetadata && metadata.contains(text)) Duplicate(text);
    if (place_ == Place::kTensor) {
      const int bit = text == "dtype" ? kDType : text == "shape" ? kShape : kOffsets;
      if (bit == kOffsets && text != "data_offsets") {
        Corrupt(file_, Where() + " has the unknown key '" + text +
                           "', expected dtype, shape and data_offsets");
      }
      if ((seen_ & bit) != 0) Duplicate(text);
      seen_ |= bit;
    }
    (place_ == Place::kRoot ? key_ : field_) = text;
    return true;
  }

  bool end_object() override {
    if (place_ == Place::kTensor) FinishTensor();
    return Go(place_ == Place::kRoot ? Place::kEnd : Place::kRoot);
  }

  bool start_array(std::size_t) override {
    if (place_ != Place::kTensor || field_ == "dtype") return Unexpected("a list");
    return Go(Place::kArray);
  }

  bool end_array() override { return Go(Place::kTensor); }

  bool number_unsigned(number_unsigned_t value) override {
    if (place_ != Place::kArray) return Unexpected("the number " + std::to_string(value));
    if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      return Unexpected("the number " + std::to_string(value));
    }
    (field_ == "shape" ? dims_ : offsets_).push_back(static_cast<int64_t>(value));
    return true;
  }

  bool string(string_t& text) override {
    if (place_ == Place::kMetadata) {
      metadata.emplace(field_, text);
      return true;
    }
    if (place_ != Place::kTensor || field_ != "dtype") return Unexpected("the text '" + text + "'");
    for (const TypeName& type : kTypeNames) {
      if (type.name == text) entry_.dtype = type.dtype;
    }
    if (entry_.dtype == DType::kUndefined) {
      std::vector<std::string> names;
      for (const TypeName& type : kTypeNames) names.emplace_back(type.name);
      throw Error(ErrorCode::kUnsupported,
                  file_ + ": " + Where() + " has the unknown dtype '" + text + "'",
                  DidYouMean(text, names));
    }
    return true;
  }

  bool null() override { return Unexpected("null"); }
  bool boolean(bool value) override { return Unexpected(value ? "true" : "false"); }
  bool number_integer(number_integer_t value) override {
    return Unexpected("the number " + std::to_string(value));
  }
  bool number_float(number_float_t, const string_t& text) override {
    return Unexpected("the number " + text);
  }
  bool binary(binary_t&) override { return Unexpected("binary data"); }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception& error) override {
    Corrupt(file_, "the header is not valid JSON near byte " +
                       std::to_string(kLengthBytes + position) + ": " + Cause(error.what()));
  }

 private:
  enum class Place { kBegin, kRoot, kMetadata, kTensor, kArray, kEnd };
  enum { kDType = 1, kShape = 2, kOffsets = 4 };

  bool Go(Place place) {
    place_ = place;
    return true;
  }

  // The library's message without its own numbers and positions in front.
  static std::string Cause(std::string_view what) {
    const size_t at = what.find(" - ");
    return std::string(at == std::string_view::npos ? what : what.substr(at + 3));
  }

  std::string Where() const {
    switch (place_) {
      case Place::kMetadata:
        return "__metadata__";
      case Place::kTensor:
      case Place::kArray:
        return "tensor '" + entry_.name + "'";
      default:
        return "the header";
    }
  }

  [[noreturn]] void Duplicate(const std::string& text) const {
    Corrupt(file_, Where() + " has the key '" + text + "' twice");
  }

  [[noreturn]] bool Unexpected(const std::string& what) const {
    const std::string key = place_ == Place::kBegin ? "" : place_ == Place::kRoot ? key_ : field_;
    std::string expected = "an object";
    if (place_ == Place::kMetadata) expected = "text";
    if (place_ == Place::kTensor) expected = field_ == "dtype" ? "text" : "a list of whole numbers";
    if (place_ == Place::kArray) expected = "whole numbers from 0";
    Corrupt(file_, Where() + " holds " + what + (key.empty() ? "" : " at '" + key + "'") +
                       ", expected " + expected);
  }

  void FinishTensor() {
    if (seen_ != (kDType | kShape | kOffsets)) {
      Corrupt(file_, Where() + " lacks " +
                         ((seen_ & kDType) == 0   ? "dtype"
                          : (seen_ & kShape) == 0 ? "shape"
                                                  : "data_offsets"));
    }
    if (offsets_.size() != 2 || offsets_[0] > offsets_[1]) {
      Corrupt(file_, Where() + " has data_offsets " + Shape(offsets_).ToString() +
                         ", expected [begin, end]");
    }
    entry_.shape = Shape(dims_);
    entry_.offset = static_cast<uint64_t>(offsets_[0]);
    entry_.bytes = static_cast<uint64_t>(offsets_[1]) - entry_.offset;
    uint64_t wanted = 0;
    const bool fits = StoredBytes(entry_.dtype, dims_, &wanted);
    if (!fits || wanted != entry_.bytes) {
      Corrupt(file_, Where() + " is " + std::string(Name(entry_.dtype)) + entry_.shape.ToString() +
                         ", " + (fits ? std::to_string(wanted) + " bytes" : "too large") +
                         "; its data_offsets hold " + std::to_string(entry_.bytes));
    }
    entries.push_back(std::move(entry_));
  }

  std::string file_;
  Place place_ = Place::kBegin;
  std::string key_;    // of the root
  std::string field_;  // of a tensor or the metadata
  int seen_ = 0;
  SafetensorsEntry entry_;
  std::vector<int64_t> dims_;
  std::vector<int64_t> offsets_;
  std::set<std::string> names_;
};

// The length that the first eight bytes state, checked against the file.
size_t HeaderBytes(std::span<const std::byte> bytes, const std::string& name) {
  if (bytes.size() < kLengthBytes) {
    Corrupt(name, "truncated safetensors file: it has " + std::to_string(bytes.size()) +
                      " bytes, the length of the header alone takes 8");
  }
  const uint64_t length = LoadLittle<uint64_t>(bytes.data());
  if (length > kMaxSafetensorsHeader) {
    Corrupt(name, "not a safetensors file: its first 8 bytes state a header of " +
                      std::to_string(length) + " bytes, at most " +
                      std::to_string(kMaxSafetensorsHeader) + " are allowed");
  }
  if (length > bytes.size() - kLengthBytes) {
    Corrupt(name, "truncated safetensors file: a header of " + std::to_string(length) +
                      " bytes is stated, " + std::to_string(bytes.size() - kLengthBytes) +
                      " are there");
  }
  if (length == 0 || bytes[kLengthBytes] != std::byte{'{'}) {
    Corrupt(name, "not a safetensors file: the header does not begin with '{'");
  }
  return static_cast<size_t>(length);
}

// The entries in the order of their bytes must cover the data from begin to end.
void CheckCover(const std::vector<SafetensorsEntry>& entries, uint64_t data_bytes,
                const std::string& name) {
  uint64_t end = 0;
  for (const SafetensorsEntry& entry : entries) {
    if (entry.offset != end) {
      Corrupt(name, "tensor '" + entry.name + "' begins at byte " + std::to_string(entry.offset) +
                        " of the data, " + (entry.offset < end ? "inside" : "behind a hole after") +
                        " the tensor that ends at " + std::to_string(end));
    }
    end += entry.bytes;
  }
  if (end > data_bytes) {
    Corrupt(name, "truncated safetensors file: the tensors take " + std::to_string(end) +
                      " bytes, " + std::to_string(data_bytes) + " are there");
  }
  if (end < data_bytes) {
    Corrupt(name, "trailing bytes: the tensors take " + std::to_string(end) + " bytes, " +
                      std::to_string(data_bytes) + " are there");
  }
}

}  // namespace

SafetensorsFile SafetensorsFile::Open(const std::string& path) {
  return Parse(MapBlob(path), path);
}

SafetensorsFile SafetensorsFile::Parse(Blob blob, std::string name) {
  const size_t header_bytes = HeaderBytes(blob.bytes(), name);
  HeaderReader reader(name);
  Json::sax_parse(AsText(blob.bytes().subspan(kLengthBytes, header_bytes)), &reader);

  SafetensorsFile file;
  file.entries_ = std::move(reader.entries);
  file.metadata_ = std::move(reader.metadata);
  std::stable_sort(file.entries_.begin(), file.entries_.end(), [](const auto& a, const auto& b) {
    return a.offset != b.offset ? a.offset < b.offset : a.bytes < b.bytes;
  });
  CheckCover(file.entries_, blob.size - kLengthBytes - header_bytes, name);
  for (size_t i = 0; i < file.entries_.size(); ++i) {
    file.entries_[i].offset += kLengthBytes + header_bytes;
    file.index_.emplace(file.entries_[i].name, i);
  }
  file.blob_ = std::move(blob);
  file.name_ = std::move(name);
  return file;
}

bool SafetensorsFile::Contains(std::string_view name) const {
  return index_.contains(name);
}

Tensor SafetensorsFile::Get(std::string_view name) const {
  const auto found = index_.find(name);
  if (found == index_.end()) {
    std::vector<std::string> names;
    for (const SafetensorsEntry& entry : entries_) names.push_back(entry.name);
    const std::string nearest = Nearest(name, names);
    throw Error(ErrorCode::kNotFound,
                name_ + ": no tensor '" + std::string(name) + "' among its " +
                    std::to_string(entries_.size()),
                nearest.empty() ? "" : "did you mean '" + nearest + "'?");
  }
  const SafetensorsEntry& entry = entries_[found->second];
  return TensorAt(blob_, entry.offset, entry.dtype, entry.shape,
                  name_ + ": tensor '" + entry.name + "'");
}

namespace {

// JSON text in quotes.
std::string Quoted(const std::string& text) {
  try {
    return Json(text).dump();
  } catch (const Json::exception&) {
    throw Error(ErrorCode::kInvalidInput, "safetensors: the name or metadata beginning '" +
                                              HexBytes(AsBytes(text), 16) +
                                              "' (hex) is not valid UTF-8");
  }
}

std::vector<const NamedTensor*> InFileOrder(std::span<const NamedTensor> tensors) {
  std::vector<const NamedTensor*> order;
  for (const NamedTensor& named : tensors) {
    if (TypeRank(named.tensor.dtype()) < 0) {
      throw Error(ErrorCode::kInvalidInput, "safetensors cannot hold tensor '" + named.name +
                                                "' of type " +
                                                std::string(Name(named.tensor.dtype())));
    }
    if (named.name == kMetadataKey) {
      throw Error(ErrorCode::kInvalidInput, "no tensor may be called '__metadata__'");
    }
    order.push_back(&named);
  }
  std::sort(order.begin(), order.end(), [](const NamedTensor* a, const NamedTensor* b) {
    const int rank_a = TypeRank(a->tensor.dtype());
    const int rank_b = TypeRank(b->tensor.dtype());
    return rank_a != rank_b ? rank_a > rank_b : a->name < b->name;
  });
  std::set<std::string_view> names;
  for (const NamedTensor* named : order) {
    if (!names.insert(named->name).second) {
      throw Error(ErrorCode::kInvalidInput, "two tensors are called '" + named->name + "'");
    }
  }
  return order;
}

std::string HeaderText(std::span<const NamedTensor* const> order,
                       const std::map<std::string, std::string>& metadata) {
  std::string text = "{";
  if (!metadata.empty()) {
    text += "\"__metadata__\":{";
    for (const auto& [key, value] : metadata) {
      if (text.back() != '{') text += ',';
      text += Quoted(key) + ":" + Quoted(value);
    }
    text += "}";
  }
  uint64_t offset = 0;
  for (const NamedTensor* named : order) {
    const Tensor& tensor = named->tensor;
    if (text.size() > 1) text += ',';
    text += Quoted(named->name) + ":{\"dtype\":\"";
    text += kTypeNames[static_cast<size_t>(TypeRank(tensor.dtype()))].name;
    text += "\",\"shape\":[";
    for (int axis = 0; axis < tensor.shape().rank(); ++axis) {
      if (axis > 0) text += ',';
      text += std::to_string(tensor.shape()[axis]);
    }
    text += "],\"data_offsets\":[" + std::to_string(offset) + ",";
    offset += tensor.bytes();
    text += std::to_string(offset) + "]}";
  }
  text += "}";
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

}  // namespace

void WriteSafetensors(std::span<const NamedTensor> tensors,
                      const std::map<std::string, std::string>& metadata, const ByteSink& sink) {
  const std::vector<const NamedTensor*> order = InFileOrder(tensors);
  const std::string header = HeaderText(order, metadata);
  if (header.size() > kMaxSafetensorsHeader) {
    throw Error(ErrorCode::kInvalidInput,
                "the safetensors header would take " + std::to_string(header.size()) +
                    " bytes, at most " + std::to_string(kMaxSafetensorsHeader) + " are allowed");
  }
  std::vector<std::byte> start;
  AppendLittle(start, static_cast<uint64_t>(header.size()));
  const std::span<const std::byte> text = AsBytes(header);
  start.insert(start.end(), text.begin(), text.end());
  sink(start);
  for (const NamedTensor* named : order) {
    if (named->tensor.bytes() > 0) sink({named->tensor.raw(), named->tensor.bytes()});
  }
}

std::vector<std::byte> EncodeSafetensors(std::span<const NamedTensor> tensors,
                                         const std::map<std::string, std::string>& metadata) {
  std::vector<std::byte> out;
  WriteSafetensors(tensors, metadata, AppendTo(out));
  return out;
}

}  // namespace ingot::formats
