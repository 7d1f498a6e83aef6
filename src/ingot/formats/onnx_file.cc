// Reading and writing of ONNX's messages and tensors.
#include "ingot/formats/onnx_file.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <optional>
#include <system_error>

#include "onnx_proto/onnx_model.pb.h"

#include "ingot/base/error.h"
#include "ingot/base/file.h"
#include "ingot/base/text.h"
#include "ingot/formats/onnx_wire.h"

namespace ingot::formats {
namespace {

using onnx_proto::TensorProto;

// A sparse tensor may become so large, whatever the file's size; beyond it 256 times the file.
constexpr uint64_t kLargestDense = uint64_t{64} << 20;
// Bytes from which a copy of weights is worth sparing.
constexpr size_t kLargeWeights = size_t{16} << 10;

[[noreturn]] void CorruptOnnx(const std::string& what, const std::string& problem) {
  throw Error(ErrorCode::kCorrupt, what + " " + problem, "the file is damaged or was cut short");
}

std::string Describe(const std::string& file, const std::string& tensor) {
  return file + ": tensor '" + tensor + "'";
}

// Bytes of `count` elements as files pack them.
uint64_t PackedBytes(DType dtype, int64_t count) {
  const auto bits = static_cast<uint64_t>(BitWidth(dtype));
  const auto n = static_cast<uint64_t>(count);
  return bits >= 8 ? n * (bits / 8) : (n * bits + 7) / 8;
}

// Elements of less than a byte, one a byte: i4 and i2 with their sign.
void Unpack(const std::byte* packed, DType dtype, std::byte* out, int64_t count) {
  const int bits = BitWidth(dtype);
  const int per_byte = 8 / bits;
  const int mask = (1 << bits) - 1;
  const bool is_signed = dtype == DType::kI4 || dtype == DType::kI2;
  for (int64_t i = 0; i < count; ++i) {
    int value = std::to_integer<int>(packed[i / per_byte]) >> (i % per_byte * bits) & mask;
    if (is_signed && value > mask / 2) value -= mask + 1;
    out[i] = static_cast<std::byte>(value & 0xff);
  }
}

std::string Pack(const Tensor& tensor) {
  const int bits = BitWidth(tensor.dtype());
  const int per_byte = 8 / bits;
  std::string packed(PackedBytes(tensor.dtype(), tensor.size()), '\0');
  for (int64_t i = 0; i < tensor.size(); ++i) {
    const int value = std::to_integer<int>(tensor.raw()[i]) & ((1 << bits) - 1);
    auto& byte = packed[static_cast<size_t>(i / per_byte)];
    byte = static_cast<char>(byte | (value << (i % per_byte * bits)));
  }
  return packed;
}

// Copies what stands in one of the typed lists; `Stored` is what one entry holds of an element.
template <typename Stored, typename List>
Tensor FromList(const List& list, DType dtype, const Shape& shape, const std::string& what) {
  const auto count = static_cast<uint64_t>(list.size());
  const uint64_t expected = PackedBytes(dtype, shape.size()) / sizeof(Stored);
  if (count != expected) {
    CorruptOnnx(what, "has " + std::to_string(count) + " values, but " + std::string(Name(dtype)) +
                          shape.ToString() + " needs " + std::to_string(expected));
  }
  Tensor tensor(dtype, shape);
  std::vector<Stored> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<Stored>(list.Get(static_cast<int>(i)));
  }
  const auto* bytes = reinterpret_cast<const std::byte*>(values.data());
  if (BitWidth(dtype) < 8) {
    Unpack(bytes, dtype, tensor.raw(), tensor.size());
  } else if (!values.empty()) {
    std::memcpy(tensor.raw(), bytes, tensor.bytes());
  }
  if (dtype == DType::kBool) {
    for (size_t i = 0; i < tensor.bytes(); ++i) {
      tensor.raw()[i] = static_cast<std::byte>(tensor.raw()[i] != std::byte{0});
    }
  }
  return tensor;
}

// From the typed lists: which one holds a type is laid down by ONNX.
Tensor FromLists(const TensorProto& proto, DType dtype, const Shape& shape,
                 const std::string& what) {
  switch (dtype) {
    case DType::kF32:
    case DType::kComplex64:
      return FromList<float>(proto.float_data(), dtype, shape, what);
    case DType::kF64:
    case DType::kComplex128:
      return FromList<double>(proto.double_data(), dtype, shape, what);
    case DType::kI64:
      return FromList<int64_t>(proto.int64_data(), dtype, shape, what);
    case DType::kU32:
      return FromList<uint32_t>(proto.uint64_data(), dtype, shape, what);
    case DType::kU64:
      return FromList<uint64_t>(proto.uint64_data(), dtype, shape, what);
    case DType::kI32:
      return FromList<int32_t>(proto.int32_data(), dtype, shape, what);
    case DType::kU16:
    case DType::kI16:
    case DType::kF16:
    case DType::kBf16:
      return FromList<uint16_t>(proto.int32_data(), dtype, shape, what);
    default:
      return FromList<uint8_t>(proto.int32_data(), dtype, shape, what);
  }
}

Tensor StringTensor(const TensorProto& proto, const Shape& shape, const std::string& what) {
  if (proto.string_data_size() != shape.size()) {
    CorruptOnnx(what, "has " + std::to_string(proto.string_data_size()) +
                          " strings, but its shape is " + shape.ToString());
  }
  return Tensor::OfStrings(shape, {proto.string_data().begin(), proto.string_data().end()});
}

DType CheckedDType(const TensorProto& proto, const std::string& what) {
  const DType dtype = OnnxDType(proto.data_type());
  if (dtype != DType::kUndefined) return dtype;
  throw Error(ErrorCode::kUnsupported, what + " has the element type number " +
                                           std::to_string(proto.data_type()) +
                                           ", which Ingot does not have");
}

template <typename Dims>
Shape CheckedShape(const Dims& dims, DType dtype, const std::string& what) {
  const std::vector<int64_t> extents(dims.begin(), dims.end());
  const bool negative = std::any_of(extents.begin(), extents.end(), [](auto d) { return d < 0; });
  // Bytes in memory, which are no fewer than those in the file.
  int64_t bytes = static_cast<int64_t>(ItemSize(dtype));
  bool overflows = false;
  for (const int64_t d : extents) overflows = overflows || __builtin_mul_overflow(bytes, d, &bytes);
  if (negative || overflows) {
    CorruptOnnx(what, "has the shape " + Shape(extents).ToString() + ", which no memory holds");
  }
  return Shape(extents);
}

std::string External(const TensorProto& proto, std::string_view key) {
  for (const auto& entry : proto.external_data()) {
    if (entry.key() == key) return entry.value();
  }
  return "";
}

// A number of bytes written in decimal; nullopt where there is none.
std::optional<uint64_t> ParseBytes(const std::string& text, const std::string& what) {
  if (text.empty()) return std::nullopt;
  const bool digits =
      std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!digits || text.size() > 18) {
    CorruptOnnx(what, "says that its bytes stand at '" + text + "', expected a number");
  }
  return std::stoull(text);
}

}  // namespace

OnnxFile::~OnnxFile() = default;
OnnxFile::OnnxFile(OnnxFile&&) noexcept = default;

OnnxFile OnnxFile::Open(const std::string& path) {
  OnnxFile file = Parse(MapBlob(path), path, ParentDirectory(path));
  file.is_mapped_ = true;
  return file;
}

OnnxFile OnnxFile::Parse(Blob blob, std::string name, std::string folder) {
  OnnxFile file;
  file.blob_ = std::move(blob);
  file.name_ = std::move(name);
  file.folder_ = std::move(folder);
  file.model_ = std::make_unique<onnx_proto::ModelProto>();
  const LeanModel lean = LeaveOutWeights(file.blob_.bytes());
  const std::span<const std::byte> bytes = lean.is_lean ? AsBytes(lean.bytes) : file.blob_.bytes();
  if (bytes.size() > static_cast<size_t>(INT32_MAX)) {
    throw Error(ErrorCode::kUnsupported,
                "'" + file.name_ + "' holds " + HumanBytes(bytes.size()) +
                    " beside its weights; 2 GiB is the most of the format");
  }
  if (bytes.empty() || !file.model_->ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) ||
      !file.model_->has_graph()) {
    throw Error(ErrorCode::kCorrupt, "'" + file.name_ + "' is no whole ONNX model",
                "it is damaged, cut short, nested more than 100 deep, or of another format");
  }
  if (lean.is_lean) {
    auto& initializers = file.model_->graph().initializer();
    for (size_t i = 0; i < lean.weights.size(); ++i) {
      const LeanModel::Range& range = lean.weights[i];
      if (!range.is_left_out) continue;
      file.raw_[&initializers.Get(static_cast<int>(i))] = {range.offset, range.size};
    }
  }
  return file;
}

Tensor OnnxFile::FromPackedBytes(const Blob& blob, Range range, DType dtype, const Shape& shape,
                                 const std::string& what, bool may_be_unaligned) const {
  const uint64_t expected = PackedBytes(dtype, shape.size());
  if (range.size != expected) {
    CorruptOnnx(what, "has " + std::to_string(range.size) + " bytes, but " +
                          std::string(Name(dtype)) + shape.ToString() + " needs " +
                          std::to_string(expected));
  }
  if (may_be_unaligned && dtype == DType::kF32 && range.size >= kLargeWeights) {
    return Tensor(dtype, shape, blob.data, range.offset);
  }
  if (BitWidth(dtype) >= 8) return TensorAt(blob, range.offset, dtype, shape, what);
  Tensor tensor(dtype, shape);
  Unpack(blob.data.get() + range.offset, dtype, tensor.raw(), tensor.size());
  return tensor;
}

Tensor OnnxFile::TensorOf(const TensorProto& proto) {
  return ReadTensor(proto, false);
}

Tensor OnnxFile::UnalignedTensorOf(const TensorProto& proto) {
  return ReadTensor(proto, true);
}

std::vector<Blob> OnnxFile::mapped_files() const {
  std::vector<Blob> files;
  if (is_mapped_) files.push_back(blob_);
  for (const auto& entry : external_) files.push_back(entry.second);
  return files;
}

Tensor OnnxFile::ReadTensor(const TensorProto& proto, bool may_be_unaligned) {
  const std::string what = Describe(name_, proto.name());
  const DType dtype = CheckedDType(proto, what);
  const Shape shape = CheckedShape(proto.dims(), dtype, what);
  if (proto.has_segment()) {
    throw Error(ErrorCode::kUnsupported, what + " is stored in segments, which nothing writes");
  }
  if (proto.data_location() == TensorProto::EXTERNAL) {
    return ExternalTensor(proto, dtype, shape, may_be_unaligned);
  }
  if (dtype == DType::kString) return StringTensor(proto, shape, what);
  const auto range = raw_.find(&proto);
  if (range != raw_.end()) {
    return FromPackedBytes(blob_, range->second, dtype, shape, what, may_be_unaligned);
  }
  if (!proto.has_raw_data()) return FromLists(proto, dtype, shape, what);
  const Blob raw = CopyBlob(AsBytes(proto.raw_data()));
  return FromPackedBytes(raw, {0, raw.size}, dtype, shape, what, false);
}

Tensor OnnxFile::ExternalTensor(const TensorProto& proto, DType dtype, const Shape& shape,
                                bool may_be_unaligned) {
  const std::string what = Describe(name_, proto.name());
  if (dtype == DType::kString)
    CorruptOnnx(what, "keeps strings in another file, which ONNX forbids");
  const std::string location = External(proto, "location");
  const Blob blob = ExternalFile(location, what);
  const uint64_t offset = ParseBytes(External(proto, "offset"), what).value_or(0);
  const uint64_t size = ParseBytes(External(proto, "length"), what)
                            .value_or(blob.size - std::min<uint64_t>(offset, blob.size));
  if (offset > blob.size || size > blob.size - offset) {
    CorruptOnnx(what, "needs the bytes " + std::to_string(offset) + " to " +
                          std::to_string(offset + size) + " of '" + location + "', which has " +
                          std::to_string(blob.size));
  }
  return FromPackedBytes(blob, {offset, size}, dtype, shape, what, may_be_unaligned);
}

Blob OnnxFile::ExternalFile(const std::string& location, const std::string& what) {
  namespace fs = std::filesystem;
  const auto known = external_.find(location);
  if (known != external_.end()) return known->second;
  const auto refuse = [&](const std::string& problem) {
    throw Error(ErrorCode::kInvalidInput,
                what + " is kept in the file '" + location + "', which is refused: " + problem,
                "external data lie in the model's folder or below it");
  };
  if (folder_.empty()) refuse("the model was not read from a folder");
  const fs::path relative(location);
  if (location.empty() || location.find('\0') != std::string::npos) refuse("that is no name");
  if (relative.is_absolute()) refuse("the path is absolute");
  for (const fs::path& part : relative) {
    if (part == "..") refuse("it leaves the model's folder");
  }
  const fs::path path = fs::path(folder_) / relative;
  std::error_code failed;
  const fs::path real = fs::canonical(path, failed);
  if (failed) {
    throw Error(ErrorCode::kNotFound,
                what + " is kept in the file '" + path.string() +
                    "', which cannot be read: " + failed.message(),
                "put it beside the model");
  }
  // A link may lead elsewhere.
  const fs::path root = fs::canonical(folder_, failed);
  const auto end = std::mismatch(root.begin(), root.end(), real.begin(), real.end()).first;
  if (failed || end != root.end()) refuse("it leaves the model's folder by a link");
  if (!fs::is_regular_file(real, failed)) refuse("it is no regular file");
  return external_.emplace(location, MapBlob(real.string())).first->second;
}

Tensor OnnxFile::DenseTensorOf(const onnx_proto::SparseTensorProto& proto) {
  const std::string what = Describe(name_, proto.values().name());
  const Tensor values = TensorOf(proto.values());
  const Tensor indices = TensorOf(proto.indices());
  const Shape shape = CheckedShape(proto.dims(), values.dtype(), what);
  const auto bytes = static_cast<uint64_t>(shape.size()) * ItemSize(values.dtype());
  if (bytes > std::max<uint64_t>(kLargestDense, 256 * blob_.size)) {
    throw Error(ErrorCode::kUnsupported,
                what + " is sparse and would take " + HumanBytes(bytes) + " with its zeros");
  }
  const bool linear = indices.shape().rank() == 1;
  const int64_t width = linear ? 1 : shape.rank();
  if (values.shape().rank() != 1 || values.dtype() == DType::kString ||
      indices.dtype() != DType::kI64 || indices.size() != values.size() * width) {
    CorruptOnnx(what, "is sparse with values " + values.Describe() + " and indices " +
                          indices.Describe() + ", which do not fit");
  }
  Tensor dense(values.dtype(), shape);
  const std::vector<int64_t> strides = Strides(shape.dims());
  const size_t item = ItemSize(values.dtype());
  for (int64_t i = 0; i < values.size(); ++i) {
    int64_t place = 0;
    bool inside = true;
    for (int64_t axis = 0; axis < width; ++axis) {
      const int64_t index = indices.data<int64_t>()[static_cast<size_t>(i * width + axis)];
      const int64_t extent = linear ? shape.size() : shape[static_cast<int>(axis)];
      inside = inside && index >= 0 && index < extent;
      place += inside ? index * (linear ? 1 : strides[static_cast<size_t>(axis)]) : 0;
    }
    if (!inside) CorruptOnnx(what, "is sparse with an index outside of " + shape.ToString());
    std::memcpy(dense.raw() + static_cast<size_t>(place) * item,
                values.raw() + static_cast<size_t>(i) * item, item);
  }
  return dense;
}

DType OnnxDType(int64_t number) {
  const bool known = number > 0 && number <= static_cast<int64_t>(DType::kI2);
  return known ? static_cast<DType>(number) : DType::kUndefined;
}

void SetOnnxTensor(const Tensor& tensor, onnx_proto::TensorProto& proto) {
  proto.set_data_type(static_cast<int>(tensor.dtype()));
  for (const int64_t d : tensor.shape().dims()) proto.add_dims(d);
  if (tensor.dtype() == DType::kString) {
    for (std::string& text : tensor.ToStrings()) proto.add_string_data(std::move(text));
  } else if (BitWidth(tensor.dtype()) < 8) {
    proto.set_raw_data(Pack(tensor));
  } else {
    proto.set_raw_data(tensor.raw(), tensor.bytes());
  }
}

std::string EncodeOnnx(const onnx_proto::ModelProto& model) {
  if (model.ByteSizeLong() > static_cast<size_t>(INT32_MAX)) {
    throw Error(ErrorCode::kUnsupported,
                "the model takes " + HumanBytes(model.ByteSizeLong()) +
                    ", and an ONNX file holds at most 2 GiB",
                "keep its weights in a file of their own");
  }
  return model.SerializeAsString();
}

}  // namespace ingot::formats
