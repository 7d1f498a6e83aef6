// What readers take and writers give: bytes with an owner, named tensors, and sinks.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ingot/tensor/tensor.h"

namespace ingot::formats {

// Bytes that stay where they are while `data` or a copy of it lives: a mapped file or a buffer.
// A mapped file is read-only: tensors that view it must not be written to (Clone first).
struct Blob {
  std::shared_ptr<std::byte> data;
  size_t size = 0;

  std::span<const std::byte> bytes() const { return {data.get(), size}; }
};

// Maps a whole file. Throws Error(kNotFound) or Error(kIo).
Blob MapBlob(const std::string& path);

// A copy in memory, aligned to kAlignment.
Blob CopyBlob(std::span<const std::byte> bytes);

// The tensor whose bytes begin at `offset` of the blob: a view where the place is aligned for the
// type, else a copy. The caller has checked that the bytes are there. Throws Error(kCorrupt) for a
// bool that is neither 0 nor 1; `name` says whose it is.
Tensor TensorAt(const Blob& blob, size_t offset, DType dtype, const Shape& shape,
                const std::string& name);

// The bytes of shape's elements; false where that overflows, or an extent is negative, or the type
// is not stored one element after another. Never throws, so that readers can say it their own way.
bool StoredBytes(DType dtype, std::span<const int64_t> dims, uint64_t* bytes);

struct NamedTensor {
  std::string name;
  Tensor tensor;
};

// Takes the bytes of a file from its first to its last, in pieces; may throw to stop the writer.
using ByteSink = std::function<void(std::span<const std::byte>)>;

// A sink that appends to `out`, which must outlive it.
ByteSink AppendTo(std::vector<std::byte>& out);

inline std::span<const std::byte> AsBytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}
inline std::string_view AsText(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Throws Error(kCorrupt): "NAME: MESSAGE". What every reader says of a damaged file.
[[noreturn]] void Corrupt(const std::string& name, const std::string& message,
                          const std::string& hint = "");

// "1f 8b 08": the first `count` bytes as people read them in a message.
std::string HexBytes(std::span<const std::byte> bytes, size_t count);

}  // namespace ingot::formats
