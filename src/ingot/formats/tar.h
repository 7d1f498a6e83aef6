// tar archives (POSIX ustar): the plain files inside, as views.
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
};

// The plain files of an archive in its order; folders, links and extended headers are passed over,
// so that names longer than 255 bytes come cut short. Throws Error(kCorrupt) for a header with a
// wrong checksum or size and for truncation; `name` is what messages call the archive.
std::vector<TarEntry> ParseTar(std::span<const std::byte> bytes, const std::string& name);

// An archive of plain files without times or owners, so that equal input gives equal bytes. Throws
// Error(kInvalidInput) for a name longer than 100 bytes.
std::vector<std::byte> EncodeTar(
    std::span<const std::pair<std::string, std::span<const std::byte>>> files);

}  // namespace ingot::formats
