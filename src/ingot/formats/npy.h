// npy: one NumPy array in a file (NEP 1, versions 1.0, 2.0 and 3.0); npz: several of them in a zip.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ingot/formats/bytes.h"
#include "ingot/formats/zip.h"
#include "ingot/tensor/tensor.h"

namespace ingot::formats {

// Reads bool, integers and floats of 8 to 64 bits, float16 and complex numbers, of either byte
// order, in C or Fortran order, of any rank; and texts (NumPy's str_, as UTF-8) in C order.
//
// Little endian arrays in C order are not copied: the tensor views the mapped file, keeps the
// mapping alive and must not be written to. Others become row-major copies. Throws Error: kNotFound
// or kIo from the file, kCorrupt for damage (magic, header, size), kUnsupported for objects, bytes,
// records and other types that no tensor has.
Tensor ReadNpy(const std::string& path);

// The same from bytes; `name` is what messages call them.
Tensor ParseNpy(const Blob& blob, const std::string& name);

// Throws Error(kUnsupported), which calls the tensor `name`, where it holds complex numbers or
// texts.
void RequireRealNumbers(const Tensor& tensor, const std::string& name);

// Whether the bytes begin as every npy file does.
bool IsNpy(std::span<const std::byte> bytes);

// Version 1.0 (2.0 where the header is long), C order, little endian, with the header that NumPy
// itself writes. Throws Error(kInvalidInput) for types that NumPy does not have (bf16, 8-bit
// floats).
std::vector<std::byte> EncodeNpy(const Tensor& tensor);

// The arrays of an npz file by name (the names in the zip without ".npy"), read on demand.
class NpzFile {
 public:
  // Throws as ZipFile does.
  static NpzFile Open(const std::string& path);
  static NpzFile Parse(Blob blob, std::string name);

  const std::vector<std::string>& names() const { return names_; }
  // Throws Error(kNotFound) with the nearest name, and as ParseNpy and ZipFile::Read do.
  Tensor Get(std::string_view name) const;

 private:
  explicit NpzFile(ZipFile zip);

  ZipFile zip_;
  std::vector<std::string> names_;
};

// Stored, as np.savez does. Throws Error(kInvalidInput) as EncodeNpy and WriteZip do.
void WriteNpz(std::span<const NamedTensor> arrays, const ByteSink& sink);

}  // namespace ingot::formats
