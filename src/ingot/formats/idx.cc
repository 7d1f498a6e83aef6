// The IDX reader and writer.
#include "ingot/formats/idx.h"

#include <array>
#include <cstring>
#include <limits>

#include "ingot/base/error.h"
#include "ingot/base/text.h"
#include "ingot/formats/endian.h"
#include "ingot/formats/gzip.h"

namespace ingot::formats {
namespace {

constexpr size_t kMagicBytes = 4;
constexpr int kMaxRank = 8;

struct ElementCode {
  uint8_t code;
  DType dtype;
};
constexpr std::array<ElementCode, 6> kElementCodes = {{
    {0x08, DType::kU8},
    {0x09, DType::kI8},
    {0x0b, DType::kI16},
    {0x0c, DType::kI32},
    {0x0d, DType::kF32},
    {0x0e, DType::kF64},
}};

DType FromCode(std::byte code) {
  for (const ElementCode& entry : kElementCodes) {
    if (std::byte{entry.code} == code) return entry.dtype;
  }
  return DType::kUndefined;
}

struct IdxHeader {
  DType dtype = DType::kUndefined;
  Shape shape;
  size_t header_bytes = 0;
  uint64_t element_bytes = 0;

  std::string Describe() const { return std::string(Name(dtype)) + shape.ToString(); }
};

std::string Bytes(uint64_t count) {
  return WithThousands(static_cast<int64_t>(count)) + " bytes";
}

// The rank that the magic number declares.
int CheckIdxMagic(std::span<const std::byte> bytes, const std::string& name) {
  if (bytes.size() < kMagicBytes) {
    Corrupt(name, "truncated IDX file: it has " + Bytes(bytes.size()) +
                      ", the header alone needs at least " + Bytes(kMagicBytes + 4));
  }
  if (!IsIdx(bytes)) {
    Corrupt(name,
            "not an IDX file: it begins with '" + HexBytes(bytes, kMagicBytes) +
                "', expected '00 00', an element type (08, 09, 0b, 0c, 0d or 0e) and a rank from "
                "01 to 08",
            "images begin with '00 00 08 03', labels with '00 00 08 01'");
  }
  return std::to_integer<int>(bytes[3]);
}

// `bytes` begins with the whole header.
IdxHeader ParseHeader(std::span<const std::byte> bytes, const std::string& name) {
  IdxHeader header;
  const int rank = CheckIdxMagic(bytes, name);
  header.dtype = FromCode(bytes[2]);
  header.header_bytes = kMagicBytes + 4 * static_cast<size_t>(rank);
  if (bytes.size() < header.header_bytes) {
    Corrupt(name, "truncated IDX file: it has " + Bytes(bytes.size()) + ", the header of rank " +
                      std::to_string(rank) + " needs " + Bytes(header.header_bytes));
  }
  std::vector<int64_t> dims;
  for (int axis = 0; axis < rank; ++axis) {
    dims.push_back(LoadBig<uint32_t>(bytes.data() + kMagicBytes + 4 * static_cast<size_t>(axis)));
  }
  header.shape = Shape(dims);
  if (!StoredBytes(header.dtype, dims, &header.element_bytes)) {
    Corrupt(name, "oversized header: " + header.Describe() + " is more than any file can hold");
  }
  return header;
}

Tensor ParsePlain(const Blob& blob, const std::string& name) {
  const IdxHeader header = ParseHeader(blob.bytes(), name);
  const uint64_t there = blob.size - header.header_bytes;
  if (there != header.element_bytes) {
    const std::string counts = "the header says " + header.Describe() + ", " +
                               Bytes(header.element_bytes) + " behind the header; " + Bytes(there) +
                               " are there";
    if (there > header.element_bytes) {
      Corrupt(name, "trailing bytes: " + counts + ", " + Bytes(there - header.element_bytes) +
                        " too many");
    }
    Corrupt(name, "truncated IDX file: " + counts, "get the file again");
  }
  if (ItemSize(header.dtype) == 1) {
    return TensorAt(blob, header.header_bytes, header.dtype, header.shape, name);
  }
  Tensor tensor(header.dtype, header.shape);
  if (there > 0) std::memcpy(tensor.raw(), blob.data.get() + header.header_bytes, there);
  ReverseItems({tensor.raw(), tensor.bytes()}, ItemSize(header.dtype));
  return tensor;
}

Tensor ParseGzip(const Blob& blob, const std::string& name) {
  GzipReader reader(blob.bytes(), name);
  std::array<std::byte, kMagicBytes + 4 * kMaxRank> start;
  size_t have = reader.Read({start.data(), kMagicBytes});
  const int rank = CheckIdxMagic({start.data(), have}, name);
  have += reader.Read({start.data() + have, 4 * static_cast<size_t>(rank)});
  const IdxHeader header = ParseHeader({start.data(), have}, name);
  if (header.element_bytes / kMaxDeflateRatio > blob.size) {
    Corrupt(name, "oversized header: " + header.Describe() + " is " + Bytes(header.element_bytes) +
                      ", more than " + Bytes(blob.size) + " of gzip can hold");
  }
  Tensor tensor(header.dtype, header.shape);
  const size_t there = reader.Read({tensor.raw(), tensor.bytes()});
  if (there < tensor.bytes()) {
    Corrupt(name,
            "truncated IDX file: the header says " + header.Describe() + ", " +
                Bytes(header.element_bytes) + " behind the header; " + Bytes(there) +
                " are there (inflated)",
            "get the file again");
  }
  std::byte extra;
  if (reader.Read({&extra, 1}) != 0) {
    Corrupt(name, "trailing bytes: the header says " + header.Describe() + ", " +
                      Bytes(header.element_bytes) + " behind the header, and more follow");
  }
  ReverseItems({tensor.raw(), tensor.bytes()}, ItemSize(header.dtype));
  return tensor;
}

}  // namespace

bool IsIdx(std::span<const std::byte> bytes) {
  if (bytes.size() < kMagicBytes) return false;
  const int rank = std::to_integer<int>(bytes[3]);
  return bytes[0] == std::byte{} && bytes[1] == std::byte{} &&
         FromCode(bytes[2]) != DType::kUndefined && rank >= 1 && rank <= kMaxRank;
}

Tensor ParseIdx(const Blob& blob, const std::string& name) {
  return IsGzip(blob.bytes()) ? ParseGzip(blob, name) : ParsePlain(blob, name);
}

Tensor ReadIdx(const std::string& path) {
  return ParseIdx(MapBlob(path), path);
}

std::vector<std::byte> EncodeIdx(const Tensor& tensor) {
  uint8_t code = 0;
  for (const ElementCode& entry : kElementCodes) {
    if (entry.dtype == tensor.dtype()) code = entry.code;
  }
  const std::vector<int64_t>& dims = tensor.shape().dims();
  if (code == 0 || dims.empty() || dims.size() > kMaxRank) {
    throw Error(ErrorCode::kInvalidInput,
                "IDX cannot hold " + tensor.Describe() +
                    ": expected u8, i8, i16, i32, f32 or f64 of rank 1 to 8");
  }
  std::vector<std::byte> out = {std::byte{}, std::byte{}, std::byte{code},
                                static_cast<std::byte>(dims.size())};
  for (const int64_t dim : dims) {
    if (dim > std::numeric_limits<uint32_t>::max()) {
      throw Error(ErrorCode::kInvalidInput,
                  "IDX cannot hold " + tensor.Describe() + ": an extent is above 4,294,967,295");
    }
    AppendBig(out, static_cast<uint32_t>(dim));
  }
  const size_t header_bytes = out.size();
  out.insert(out.end(), tensor.raw(), tensor.raw() + tensor.bytes());
  ReverseItems(std::span(out).subspan(header_bytes), ItemSize(tensor.dtype()));
  return out;
}

}  // namespace ingot::formats
