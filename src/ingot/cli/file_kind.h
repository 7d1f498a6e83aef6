// Telling files apart by their first bytes.
#pragma once

#include <string>

#include "ingot/formats/bytes.h"
#include "ingot/tensor/tensor.h"

namespace ingot::cli {

enum class FileKind { kPicture, kIdx, kNpy, kText, kOther };

// Gzip files are told by what is in them. Throws Error(kNotFound) or Error(kIo), and kInvalidInput
// for an empty file.
FileKind KindOf(const std::string& path);

// For kOther.
[[noreturn]] void FailUnknownKind(const std::string& path);

bool IsFolder(const std::string& path);

// An IDX (plain or gzip) or npy file.
Tensor ReadTensorFile(const std::string& path, FileKind kind);

}  // namespace ingot::cli
