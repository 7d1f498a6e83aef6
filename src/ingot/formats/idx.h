// IDX: the format of MNIST and its relatives (yann.lecun.com/exdb/mnist, "the IDX file format").
//
// Two zero bytes, an element type, a rank (1 to 8 here), one big endian 32-bit extent for each
// axis, then the elements, big endian, outermost axis first. A file may be wrapped in gzip as a
// whole.
#pragma once

#include <string>
#include <vector>

#include "ingot/formats/bytes.h"
#include "ingot/tensor/tensor.h"

namespace ingot::formats {

// Reads u8, i8, i16, i32, f32 or f64 of rank 1 to 8, plain or gzip (told by the first two bytes).
//
// A plain file of one-byte elements is not copied: the tensor views the mapped file, keeps the
// mapping alive and must not be written to. Everything else is in memory of its own, in the byte
// order of the machine. Nothing is allocated before the header has been compared with the size of
// the file. Throws Error: kNotFound or kIo from the file; kCorrupt for a wrong magic number, an
// impossible header, a truncated file, trailing bytes or a damaged gzip stream. Messages name the
// file, what was seen and what was expected.
Tensor ReadIdx(const std::string& path);

// The same from bytes; `name` is what messages call them.
Tensor ParseIdx(const Blob& blob, const std::string& name);

// Whether the bytes begin like an IDX file: 00 00, a known element type, a rank from 1 to 8.
bool IsIdx(std::span<const std::byte> bytes);

// Throws Error(kInvalidInput) for a type, rank or extent that IDX does not have.
std::vector<std::byte> EncodeIdx(const Tensor& tensor);

}  // namespace ingot::formats
