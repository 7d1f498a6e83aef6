// The zip reader and writer. Sizes and places come from the central directory; of a local header
// only the length matters.
#include "ingot/formats/zip.h"

#include <algorithm>
#include <limits>
#include <set>

#include "ingot/base/crc32.h"
#include "ingot/base/error.h"
#include "ingot/base/text.h"
#include "ingot/formats/endian.h"
#include "ingot/formats/gzip.h"

namespace ingot::formats {
namespace {

constexpr uint32_t kLocalMagic = 0x04034b50;
constexpr uint32_t kCentralMagic = 0x02014b50;
constexpr uint32_t kEndMagic = 0x06054b50;
constexpr uint32_t kEnd64Magic = 0x06064b50;
constexpr uint32_t kLocator64Magic = 0x07064b50;
constexpr size_t kLocalBytes = 30;
constexpr size_t kCentralBytes = 46;
constexpr size_t kEndBytes = 22;
constexpr size_t kEnd64Bytes = 56;
constexpr size_t kLocator64Bytes = 20;
constexpr uint32_t kIn64 = 0xffffffff;  // "see the zip64 field"
constexpr uint16_t kStored = 0;
constexpr uint16_t kDeflated = 8;
constexpr uint16_t kEncrypted = 1;

// Reads fields at places that have been checked to lie inside.
class ZipFields {
 public:
  ZipFields(std::span<const std::byte> bytes, size_t at) : p_(bytes.data() + at) {}
  uint16_t U16(size_t offset) const { return LoadLittle<uint16_t>(p_ + offset); }
  uint32_t U32(size_t offset) const { return LoadLittle<uint32_t>(p_ + offset); }
  uint64_t U64(size_t offset) const { return LoadLittle<uint64_t>(p_ + offset); }

 private:
  const std::byte* p_;
};

bool Fits(std::span<const std::byte> bytes, uint64_t at, uint64_t count) {
  return at <= bytes.size() && count <= bytes.size() - at;
}

struct Directory {
  uint64_t offset = 0;
  uint64_t bytes = 0;
  uint64_t count = 0;
};

// The record at the end of the file, which a comment of up to 65,535 bytes may follow.
size_t FindEnd(std::span<const std::byte> bytes, const std::string& name) {
  constexpr size_t kMaxComment = 65535;
  if (bytes.size() >= kEndBytes) {
    const size_t last = bytes.size() - kEndBytes;
    const size_t first = last > kMaxComment ? last - kMaxComment : 0;
    for (size_t at = last + 1; at-- > first;) {
      const ZipFields end(bytes, at);
      if (end.U32(0) == kEndMagic && end.U16(20) == last - at) return at;
    }
  }
  Corrupt(name, "not a zip archive, or a truncated one: it has no end of central directory");
}

Directory ReadEnd(std::span<const std::byte> bytes, const std::string& name) {
  const size_t at = FindEnd(bytes, name);
  const ZipFields end(bytes, at);
  if (end.U16(4) != end.U16(6) || (end.U16(4) != 0 && end.U16(4) != 0xffff)) {
    throw Error(ErrorCode::kUnsupported, name + ": a zip archive in several parts");
  }
  Directory directory{end.U32(16), end.U32(12), end.U16(10)};
  const bool is64 =
      directory.offset == kIn64 || directory.bytes == kIn64 || directory.count == 0xffff;
  if (is64 && at >= kLocator64Bytes) {
    const ZipFields locator(bytes, at - kLocator64Bytes);
    if (locator.U32(0) == kLocator64Magic) {
      const uint64_t end64_at = locator.U64(8);
      if (!Fits(bytes, end64_at, kEnd64Bytes) || ZipFields(bytes, end64_at).U32(0) != kEnd64Magic) {
        Corrupt(name, "the zip64 end of central directory is not where its locator says");
      }
      const ZipFields end64(bytes, end64_at);
      directory = {end64.U64(48), end64.U64(40), end64.U64(32)};
    }
  }
  if (!Fits(bytes, directory.offset, directory.bytes) ||
      directory.count > directory.bytes / kCentralBytes) {
    Corrupt(name, "the zip directory of " + std::to_string(directory.count) + " entries and " +
                      std::to_string(directory.bytes) + " bytes at byte " +
                      std::to_string(directory.offset) + " does not fit into " +
                      std::to_string(bytes.size()) + " bytes");
  }
  return directory;
}

// Replaces the fields that say "see the zip64 field" by that field's, in the standard's order.
void ReadExtra64(std::span<const std::byte> extra, ZipEntry& entry, const std::string& name) {
  size_t at = 0;
  while (Fits(extra, at, 4)) {
    const ZipFields field(extra, at);
    const size_t size = field.U16(2);
    if (!Fits(extra, at + 4, size)) break;
    if (field.U16(0) == 1) {
      size_t used = 4;
      for (uint64_t* value : {&entry.bytes, &entry.compressed_bytes, &entry.local_offset}) {
        if (*value != kIn64) continue;
        if (used + 8 > size + 4)
          Corrupt(name, "the zip64 field of '" + entry.name + "' is too short");
        *value = field.U64(used);
        used += 8;
      }
      return;
    }
    at += 4 + size;
  }
}

}  // namespace

ZipFile ZipFile::Open(const std::string& path) {
  return Parse(MapBlob(path), path);
}

ZipFile ZipFile::Parse(Blob blob, std::string name) {
  const std::span<const std::byte> bytes = blob.bytes();
  const Directory directory = ReadEnd(bytes, name);
  ZipFile zip;
  std::set<std::string> names;
  uint64_t at = directory.offset;
  const uint64_t end = directory.offset + directory.bytes;
  for (uint64_t i = 0; i < directory.count; ++i) {
    if (end - at < kCentralBytes || ZipFields(bytes, at).U32(0) != kCentralMagic) {
      Corrupt(name, "damaged zip directory at entry " + std::to_string(i));
    }
    const ZipFields fields(bytes, at);
    const size_t name_bytes = fields.U16(28);
    const size_t extra_bytes = fields.U16(30);
    const size_t entry_bytes = kCentralBytes + name_bytes + extra_bytes + fields.U16(32);
    if (end - at < entry_bytes)
      Corrupt(name, "damaged zip directory at entry " + std::to_string(i));
    ZipEntry entry;
    entry.name = AsText(bytes.subspan(at + kCentralBytes, name_bytes));
    entry.method = fields.U16(10);
    entry.crc32 = fields.U32(16);
    entry.compressed_bytes = fields.U32(20);
    entry.bytes = fields.U32(24);
    entry.local_offset = fields.U32(42);
    ReadExtra64(bytes.subspan(at + kCentralBytes + name_bytes, extra_bytes), entry, name);
    if (!names.insert(entry.name).second)
      Corrupt(name, "two entries are called '" + entry.name + "'");
    zip.entries_.push_back(std::move(entry));
    at += entry_bytes;
  }
  zip.blob_ = std::move(blob);
  zip.name_ = std::move(name);
  return zip;
}

Blob ZipFile::Read(const ZipEntry& entry) const {
  const std::span<const std::byte> bytes = blob_.bytes();
  const std::string where = name_ + ": entry '" + entry.name + "'";
  if (!Fits(bytes, entry.local_offset, kLocalBytes) ||
      ZipFields(bytes, entry.local_offset).U32(0) != kLocalMagic) {
    Corrupt(where, "no local header at byte " + std::to_string(entry.local_offset));
  }
  const ZipFields local(bytes, entry.local_offset);
  if ((local.U16(6) & kEncrypted) != 0)
    throw Error(ErrorCode::kUnsupported, where + " is encrypted");
  const uint64_t begin = entry.local_offset + kLocalBytes + local.U16(26) + local.U16(28);
  if (!Fits(bytes, begin, entry.compressed_bytes)) {
    Corrupt(where, "truncated: " + std::to_string(entry.compressed_bytes) + " bytes from byte " +
                       std::to_string(begin) + " are stated, the archive has " +
                       std::to_string(bytes.size()));
  }
  const auto compressed = bytes.subspan(begin, entry.compressed_bytes);
  Blob blob;
  if (entry.method == kStored) {
    if (entry.bytes != entry.compressed_bytes) {
      Corrupt(where, "stored, yet of two sizes: " + std::to_string(entry.compressed_bytes) +
                         " and " + std::to_string(entry.bytes));
    }
    blob = {std::shared_ptr<std::byte>(blob_.data, blob_.data.get() + begin), compressed.size()};
  } else if (entry.method == kDeflated) {
    if (entry.bytes / kMaxDeflateRatio > compressed.size()) {
      Corrupt(where, std::to_string(entry.bytes) + " bytes are stated, more than " +
                         std::to_string(compressed.size()) + " bytes of deflate can hold");
    }
    blob = {AllocateBytes(entry.bytes), entry.bytes};
    InflateRaw(compressed, {blob.data.get(), blob.size}, where);
  } else {
    throw Error(ErrorCode::kUnsupported, where + " is compressed by method " +
                                             std::to_string(entry.method) +
                                             ", expected 0 (stored) or 8 (deflated)");
  }
  if (Crc32(blob.bytes()) != entry.crc32)
    Corrupt(where, "wrong checksum: the contents are damaged");
  return blob;
}

namespace {

struct Written {
  const NamedBytes* file;
  uint32_t crc32;
  uint32_t offset;
};

// What local and central headers share: version, flags, method, time, date, checksum, sizes, name.
void AppendCommon(std::vector<std::byte>& out, const Written& entry) {
  constexpr uint16_t kVersion = 20;
  constexpr uint16_t kUtf8 = 1 << 11;
  constexpr uint16_t kDate = (1 << 5) | 1;  // 1980-01-01, the first that zip knows
  const auto bytes = static_cast<uint32_t>(entry.file->second.size());
  for (const uint16_t field : {kVersion, kUtf8, kStored, uint16_t{0}, kDate})
    AppendLittle(out, field);
  for (const uint32_t field : {entry.crc32, bytes, bytes}) AppendLittle(out, field);
  AppendLittle(out, static_cast<uint16_t>(entry.file->first.size()));
  AppendLittle(out, uint16_t{0});  // extra
}

void CheckWritable(std::span<const NamedBytes> files) {
  std::set<std::string> names;
  uint64_t total = kEndBytes;
  for (const auto& [name, bytes] : files) {
    if (name.size() > 0xffff) throw Error(ErrorCode::kInvalidInput, "zip: a name is too long");
    if (!names.insert(name).second) {
      throw Error(ErrorCode::kInvalidInput, "zip: two entries are called '" + name + "'");
    }
    total += kLocalBytes + kCentralBytes + 2 * name.size() + bytes.size();
  }
  if (files.size() >= 0xffff || total >= kIn64) {
    throw Error(ErrorCode::kInvalidInput, "zip: " + std::to_string(files.size()) + " entries of " +
                                              HumanBytes(total) + " are more than 65,534 or 4 GiB");
  }
}

}  // namespace

void WriteZip(std::span<const NamedBytes> files, const ByteSink& sink) {
  CheckWritable(files);
  std::vector<Written> written;
  uint32_t offset = 0;
  for (const NamedBytes& file : files) {
    written.push_back({&file, Crc32(std::span<const std::byte>(file.second)), offset});
    std::vector<std::byte> header;
    AppendLittle(header, kLocalMagic);
    AppendCommon(header, written.back());
    AppendTo(header)(AsBytes(file.first));
    sink(header);
    sink(file.second);
    offset += static_cast<uint32_t>(header.size() + file.second.size());
  }
  std::vector<std::byte> tail;
  for (const Written& entry : written) {
    AppendLittle(tail, kCentralMagic);
    AppendLittle(tail, uint16_t{20});  // made by version 2.0, as everything here
    AppendCommon(tail, entry);
    for (int i = 0; i < 3; ++i) AppendLittle(tail, uint16_t{0});  // comment, disk, internal
    AppendLittle(tail, uint32_t{0});                              // external attributes
    AppendLittle(tail, entry.offset);
    AppendTo(tail)(AsBytes(entry.file->first));
  }
  const auto directory_bytes = static_cast<uint32_t>(tail.size());
  AppendLittle(tail, kEndMagic);
  AppendLittle(tail, uint32_t{0});  // disks
  for (int i = 0; i < 2; ++i) AppendLittle(tail, static_cast<uint16_t>(files.size()));
  AppendLittle(tail, directory_bytes);
  AppendLittle(tail, offset);
  AppendLittle(tail, uint16_t{0});  // comment
  sink(tail);
}

}  // namespace ingot::formats
