// Zip archives (PKWARE APPNOTE 6.3): the entries that are stored or deflated, zip64 included.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "ingot/formats/bytes.h"

namespace ingot::formats {

struct ZipEntry {
  std::string name;
  uint16_t method = 0;  // 0 stored, 8 deflated
  uint32_t crc32 = 0;
  uint64_t compressed_bytes = 0;
  uint64_t bytes = 0;
  uint64_t local_offset = 0;  // of its local header, from the begin of the file
};

// The central directory of an archive. Immutable: may be read from several threads.
class ZipFile {
 public:
  // Maps the file. Throws Error: kNotFound or kIo from the file, kCorrupt for a directory that is
  // missing, damaged or has a name twice, kUnsupported for archives in several parts.
  static ZipFile Open(const std::string& path);
  // The same from bytes; `name` is what messages call them.
  static ZipFile Parse(Blob blob, std::string name);

  const std::string& name() const { return name_; }
  const std::vector<ZipEntry>& entries() const { return entries_; }

  // The bytes of an entry: a view of the archive where it is stored, else inflated; the checksum is
  // verified. Throws Error: kCorrupt for damage, kUnsupported for encryption and other methods.
  Blob Read(const ZipEntry& entry) const;

 private:
  Blob blob_;
  std::string name_;
  std::vector<ZipEntry> entries_;
};

// Writes stored entries in the order given, dated 1980-01-01, so that equal input gives equal
// bytes. Throws Error(kInvalidInput) where a name appears twice or is too long, or the archive
// would exceed 4 GiB or 65,535 entries.
using NamedBytes = std::pair<std::string, std::vector<std::byte>>;
void WriteZip(std::span<const NamedBytes> files, const ByteSink& sink);

}  // namespace ingot::formats
