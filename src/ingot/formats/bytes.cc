// Blobs and the small helpers that every format shares.
#include "ingot/formats/bytes.h"

#include <algorithm>
#include <cstring>

#include "ingot/base/error.h"
#include "ingot/base/file.h"

namespace ingot::formats {

Blob MapBlob(const std::string& path) {
  auto file = std::make_shared<MappedFile>(path);
  const size_t size = file->size();
  // The aliasing owner keeps the mapping; the pages stay read-only whatever the pointer's type
  // says.
  auto* begin = const_cast<std::byte*>(file->bytes().data());
  return {std::shared_ptr<std::byte>(std::move(file), begin), size};
}

Blob CopyBlob(std::span<const std::byte> bytes) {
  Blob blob{AllocateBytes(bytes.size()), bytes.size()};
  if (!bytes.empty()) std::memcpy(blob.data.get(), bytes.data(), bytes.size());
  return blob;
}

Tensor TensorAt(const Blob& blob, size_t offset, DType dtype, const Shape& shape,
                const std::string& name) {
  Tensor tensor;
  const auto address = reinterpret_cast<uintptr_t>(blob.data.get()) + offset;
  if (address % std::max<size_t>(1, ItemSize(dtype)) == 0) {
    tensor = Tensor(dtype, shape, blob.data, offset);
  } else {
    tensor = Tensor(dtype, shape);
    std::memcpy(tensor.raw(), blob.data.get() + offset, tensor.bytes());
  }
  if (dtype == DType::kBool) {
    for (size_t i = 0; i < tensor.bytes(); ++i) {
      const int value = std::to_integer<int>(tensor.raw()[i]);
      if (value > 1) {
        throw Error(ErrorCode::kCorrupt, name + ": bool element " + std::to_string(i) +
                                             " is the byte " + std::to_string(value) +
                                             ", expected 0 or 1");
      }
    }
  }
  return tensor;
}

bool StoredBytes(DType dtype, std::span<const int64_t> dims, uint64_t* bytes) {
  const size_t item = ItemSize(dtype);
  if (item == 0 || BitWidth(dtype) != static_cast<int>(item) * 8) return false;
  // A zero extent makes the product zero, yet the others must still be sane: Shape::size multiplies
  // them in order and would throw on an overflow before the zero.
  int64_t product = 1;
  for (const int64_t dim : dims) {
    if (dim < 0 || __builtin_mul_overflow(product, dim, &product)) return false;
  }
  return !__builtin_mul_overflow(static_cast<uint64_t>(product), item, bytes) &&
         *bytes <= static_cast<uint64_t>(INT64_MAX);
}

ByteSink AppendTo(std::vector<std::byte>& out) {
  return [&out](std::span<const std::byte> bytes) {
    out.insert(out.end(), bytes.begin(), bytes.end());
  };
}

void Corrupt(const std::string& name, const std::string& message, const std::string& hint) {
  throw Error(ErrorCode::kCorrupt, name + ": " + message, hint);
}

std::string HexBytes(std::span<const std::byte> bytes, size_t count) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (size_t i = 0; i < std::min(count, bytes.size()); ++i) {
    const int value = std::to_integer<int>(bytes[i]);
    if (i > 0) text += ' ';
    text += kDigits[value >> 4];
    text += kDigits[value & 15];
  }
  return text;
}

}  // namespace ingot::formats
