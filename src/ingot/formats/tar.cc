// The tar reader and writer.
#include "ingot/formats/tar.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string_view>

#include "ingot/base/error.h"
#include "ingot/base/text.h"
#include "ingot/formats/bytes.h"

namespace ingot::formats {
namespace {

constexpr size_t kBlock = 512;

// Where the fields of a header lie.
constexpr size_t kNameBytes = 100;
constexpr size_t kSizeAt = 124;
constexpr size_t kSizeBytes = 12;
constexpr size_t kChecksumAt = 148;
constexpr size_t kChecksumBytes = 8;
constexpr size_t kTypeAt = 156;
constexpr size_t kMagicAt = 257;
constexpr size_t kPrefixAt = 345;
constexpr size_t kPrefixBytes = 155;

// Text up to the first zero byte.
std::string_view TextField(std::string_view header, size_t at, size_t size) {
  const std::string_view field = header.substr(at, size);
  return field.substr(0, field.find('\0'));
}

uint64_t OctalField(std::string_view header, size_t at, size_t size, const std::string& name) {
  uint64_t value = 0;
  bool any = false;
  for (const char c : header.substr(at, size)) {
    if (c == ' ' && !any) continue;
    if (c == ' ' || c == '\0') break;
    if (c < '0' || c > '7') Corrupt(name, "damaged tar archive: a number that is not octal");
    value = value * 8 + static_cast<uint64_t>(c - '0');
    any = true;
  }
  return value;
}

// The sum of the header's bytes with the checksum's own taken as spaces.
uint64_t Checksum(std::string_view header) {
  uint64_t sum = 0;
  for (size_t i = 0; i < kBlock; ++i) {
    const bool own = i >= kChecksumAt && i < kChecksumAt + kChecksumBytes;
    sum += own ? ' ' : static_cast<unsigned char>(header[i]);
  }
  return sum;
}

size_t RoundedUp(size_t size) {
  return (size + kBlock - 1) / kBlock * kBlock;
}

// What extended headers say of the next file.
struct Extension {
  std::string path;
  std::optional<uint64_t> size;
};

// The records of a pax header: "LENGTH KEY=VALUE\n", LENGTH being that of the whole record.
void ReadPax(std::string_view records, const std::string& name, Extension& extension) {
  while (!records.empty()) {
    const size_t space = records.find(' ');
    const auto length = ParseWhole<uint64_t>(records.substr(0, space));
    const size_t equals = records.find('=');
    if (!length || *length > records.size() || *length <= equals || equals <= space ||
        records[*length - 1] != '\n') {
      Corrupt(name, "damaged tar archive: a pax header with a record that is none");
    }
    const std::string_view key = records.substr(space + 1, equals - space - 1);
    const std::string_view value = records.substr(equals + 1, *length - equals - 2);
    if (key == "path") extension.path = value;
    if (key == "size") {
      extension.size = ParseWhole<uint64_t>(value);
      if (!extension.size) Corrupt(name, "damaged tar archive: a pax size that is no number");
    }
    records.remove_prefix(*length);
  }
}

// The name that the header itself has.
std::string NameOf(std::string_view header) {
  std::string name;
  if (header.substr(kMagicAt, 5) == "ustar") name = TextField(header, kPrefixAt, kPrefixBytes);
  if (!name.empty()) name += '/';
  name += TextField(header, 0, kNameBytes);
  return name;
}

}  // namespace

std::vector<TarEntry> ParseTar(std::span<const std::byte> bytes, const std::string& name) {
  std::vector<TarEntry> entries;
  Extension extension;
  size_t at = 0;
  size_t begin = 0;  // of the entry: before its extended headers
  while (at < bytes.size()) {
    if (bytes.size() - at < kBlock) Corrupt(name, "truncated tar archive: it ends inside a header");
    const std::string_view header = AsText(bytes.subspan(at, kBlock));
    at += kBlock;
    if (header.find_first_not_of('\0') == std::string_view::npos) break;  // the end of the archive
    if (OctalField(header, kChecksumAt, kChecksumBytes, name) != Checksum(header)) {
      Corrupt(name, "damaged tar archive: wrong checksum of the header at byte " +
                        std::to_string(at - kBlock));
    }
    const char type = header[kTypeAt];
    // K: the name that a link leads to.
    const bool is_extension = type == 'L' || type == 'K' || type == 'x' || type == 'g';
    uint64_t size = OctalField(header, kSizeAt, kSizeBytes, name);
    if (!is_extension) size = extension.size.value_or(size);
    if (size > bytes.size() - at) {
      Corrupt(name, "truncated tar archive: '" + std::string(TextField(header, 0, kNameBytes)) +
                        "' has " + std::to_string(size) + " bytes, " +
                        std::to_string(bytes.size() - at) + " are there");
    }
    const std::span<const std::byte> content = bytes.subspan(at, size);
    if (type == 'L') extension.path = TextField(AsText(content), 0, size);
    if (type == 'x') ReadPax(AsText(content), name, extension);
    if (type == '0' || type == '\0') {
      entries.push_back(
          {extension.path.empty() ? NameOf(header) : std::move(extension.path), content, begin});
    }
    at += std::min(RoundedUp(size), bytes.size() - at);
    if (is_extension) continue;
    extension = {};
    begin = at;
  }
  return entries;
}

std::vector<std::byte> EncodeTar(
    std::span<const std::pair<std::string, std::span<const std::byte>>> files) {
  std::vector<std::byte> out;
  for (const auto& [name, bytes] : files) {
    if (name.size() > kNameBytes) {
      throw Error(ErrorCode::kInvalidInput, "tar: the name '" + name + "' is too long");
    }
    std::array<char, kBlock> header = {};
    std::memcpy(header.data(), name.data(), name.size());
    std::memcpy(&header[100], "0000644", 8);
    std::memcpy(&header[108], "0000000", 8);
    std::memcpy(&header[116], "0000000", 8);
    std::snprintf(&header[kSizeAt], kSizeBytes, "%011zo", bytes.size());
    std::memcpy(&header[136], "00000000000", 12);
    header[kTypeAt] = '0';
    std::memcpy(&header[kMagicAt], "ustar\00000", 8);
    const auto sum = static_cast<unsigned>(Checksum({header.data(), header.size()}));
    std::snprintf(&header[kChecksumAt], kChecksumBytes, "%06o", sum);
    header[kChecksumAt + 7] = ' ';
    const ByteSink append = AppendTo(out);
    append(AsBytes({header.data(), header.size()}));
    append(bytes);
    out.resize(RoundedUp(out.size()));
  }
  out.resize(out.size() + 2 * kBlock);
  return out;
}

}  // namespace ingot::formats
