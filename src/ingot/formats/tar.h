// tar archives (POSIX ustar, with the long names of GNU tar and of pax): the plain files inside, as
// views.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace ingot::formats {

struct TarEntry {
  std::string name;
  std::span<const std::byte> bytes;  // lies in the archive
  size_t at = 0;                     // where its headers begin in the archive, extended ones too
};

// The plain files of an archive in its order; folders and links are passed over. Of the extended
// headers, GNU tar's long names (type L) and pax's path and size of the next file (type x) are
// followed; what a pax header says of all files (type g) is not. Throws Error(kCorrupt) for a
// header with a wrong checksum or size, a damaged pax record and for truncation; `name` is what
// messages call the archive.
std::vector<TarEntry> ParseTar(std::span<const std::byte> bytes, const std::string& name);

// An archive of plain files without times or owners, so that equal input gives equal bytes. Throws
// Error(kInvalidInput) for a name longer than 100 bytes.
std::vector<std::byte> EncodeTar(
    std::span<const std::pair<std::string, std::span<const std::byte>>> files);

}  // namespace ingot::formats
