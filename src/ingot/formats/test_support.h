// Helpers of the formats' tests: bytes from text and numbers, scratch folders.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "ingot/base/file.h"
#include "ingot/base/test_error.h"
#include "ingot/formats/bytes.h"

namespace ingot::formats {

inline Blob BlobOf(std::string_view text) {
  return CopyBlob(AsBytes(text));
}
inline Blob BlobOf(const std::vector<std::byte>& bytes) {
  return CopyBlob(bytes);
}

inline std::vector<std::byte> BytesOf(std::initializer_list<int> values) {
  std::vector<std::byte> bytes;
  for (const int value : values) bytes.push_back(static_cast<std::byte>(value));
  return bytes;
}

inline std::string TextOf(const std::vector<std::byte>& bytes) {
  return std::string(AsText(bytes));
}

// A folder that goes with the object.
class ScratchFolder {
 public:
  ScratchFolder() {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "ingot-formats-XXXXXX").string();
    if (::mkdtemp(pattern.data()) != nullptr) path_ = pattern;
  }
  ~ScratchFolder() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  std::string Path(const std::string& name) const { return path_ + "/" + name; }
  std::string Write(const std::string& name, std::string_view text) const {
    const std::string path = Path(name);
    const auto file = RealFileSystem().OpenForWrite(path);
    file->Write(text);
    file->Close();
    return path;
  }

 private:
  std::string path_;
};

}  // namespace ingot::formats
