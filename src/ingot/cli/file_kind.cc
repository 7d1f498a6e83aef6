// The magic numbers of the formats that predictions and `ingot data info` read.
#include "ingot/cli/file_kind.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <string_view>
#include <system_error>

#include "ingot/base/error.h"
#include "ingot/formats/gzip.h"
#include "ingot/formats/idx.h"
#include "ingot/formats/jpeg.h"
#include "ingot/formats/npy.h"

namespace ingot::cli {
namespace {

constexpr std::string_view kPngMagic = "\x89PNG";

// Text has no control characters but white space.
bool IsText(std::string_view bytes) {
  return std::none_of(bytes.begin(), bytes.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\r' && c != '\t';
  });
}

FileKind KindOfBytes(std::span<const std::byte> bytes) {
  const std::string_view text = formats::AsText(bytes);
  if (text.starts_with(kPngMagic) || formats::IsJpeg(bytes)) return FileKind::kPicture;
  if (formats::IsNpy(bytes)) return FileKind::kNpy;
  if (formats::IsIdx(bytes)) return FileKind::kIdx;
  return IsText(text.substr(0, 4096)) ? FileKind::kText : FileKind::kOther;
}

}  // namespace

bool IsFolder(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::is_directory(path, ignored);
}

FileKind KindOf(const std::string& path) {
  if (IsFolder(path)) {
    throw Error(ErrorCode::kInvalidInput, "'" + path + "' is a folder, expected a file");
  }
  const formats::Blob blob = formats::MapBlob(path);
  if (blob.size == 0) throw Error(ErrorCode::kInvalidInput, "'" + path + "' is empty");
  if (!formats::IsGzip(blob.bytes())) return KindOfBytes(blob.bytes());
  std::array<std::byte, 64> beginning = {};
  formats::GzipReader reader(blob.bytes(), path);
  const size_t size = reader.Read(beginning);
  const FileKind kind = KindOfBytes(std::span<const std::byte>(beginning).first(size));
  // The other readers take plain files only.
  return kind == FileKind::kIdx ? kind : FileKind::kOther;
}

void FailUnknownKind(const std::string& path) {
  throw Error(ErrorCode::kUnsupported, "'" + path + "' is no PNG, JPEG, IDX, npy or CSV file",
              "other pictures can be converted to PNG");
}

Tensor ReadTensorFile(const std::string& path, FileKind kind) {
  INGOT_ASSERT(kind == FileKind::kIdx || kind == FileKind::kNpy, "a file of one tensor");
  Tensor tensor = kind == FileKind::kIdx ? formats::ReadIdx(path) : formats::ReadNpy(path);
  formats::RequireRealNumbers(tensor, path);
  return tensor;
}

}  // namespace ingot::cli
