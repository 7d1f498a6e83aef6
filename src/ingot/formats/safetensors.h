// safetensors: named tensors in one file (github.com/huggingface/safetensors, "Format").
//
// Eight bytes: N, the length of the header, little endian; N bytes of JSON
// {"__metadata__": {name: text}, NAME: {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}};
// then the bytes of the tensors, little endian, row-major, without holes.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ingot/formats/bytes.h"
#include "ingot/tensor/tensor.h"

namespace ingot::formats {

// The header may be no longer than this, as in the reference implementation.
inline constexpr uint64_t kMaxSafetensorsHeader = 100'000'000;

struct SafetensorsEntry {
  std::string name;
  DType dtype = DType::kUndefined;
  Shape shape;
  uint64_t offset = 0;  // of the tensor's first byte, from the begin of the file
  uint64_t bytes = 0;
};

// A file whose header has been checked as a whole: length, JSON without duplicate keys, known
// element types, shapes that agree with the offsets, offsets that cover the data without hole or
// overlap. Immutable: may be read from several threads. Copies share the bytes.
class SafetensorsFile {
 public:
  // Maps the file. Throws Error: kNotFound or kIo from the file, kCorrupt for damage,
  // kUnsupported for an element type that Ingot does not have.
  static SafetensorsFile Open(const std::string& path);
  // The same from bytes; `name` is what messages call them.
  static SafetensorsFile Parse(Blob blob, std::string name);

  // In the order of their bytes in the file.
  const std::vector<SafetensorsEntry>& entries() const { return entries_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  bool Contains(std::string_view name) const;

  // A view of the mapped file where the place is aligned for the type (the writer below sees to
  // that), else a copy; keeps the mapping alive and must not be written to. Throws Error(kNotFound)
  // with the nearest name, Error(kCorrupt) for a bool that is neither 0 nor 1.
  Tensor Get(std::string_view name) const;

 private:
  Blob blob_;
  std::string name_;
  std::vector<SafetensorsEntry> entries_;
  std::map<std::string, size_t, std::less<>> index_;
  std::map<std::string, std::string> metadata_;
};

// Writes a file into the sink: header first, then each tensor in one piece.
//
// The order is that of the reference implementation, whatever the order of `tensors`: wider types
// first, then by name; equal tensors give equal bytes. The header is padded with spaces to a
// multiple of 8, so that every tensor is aligned to its type. Throws Error(kInvalidInput) for two
// tensors of one name, the name __metadata__, text that is not UTF-8, or a type that the format
// does not have.
void WriteSafetensors(std::span<const NamedTensor> tensors,
                      const std::map<std::string, std::string>& metadata, const ByteSink& sink);

// The same into memory.
std::vector<std::byte> EncodeSafetensors(std::span<const NamedTensor> tensors,
                                         const std::map<std::string, std::string>& metadata = {});

}  // namespace ingot::formats
