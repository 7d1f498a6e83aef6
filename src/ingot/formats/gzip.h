// gzip streams (RFC 1952, several members allowed) and raw deflate (RFC 1951) through zlib.
//
// `name` is the file that messages name. All functions are deterministic; distinct readers may be
// used from distinct threads. Damage throws Error(kCorrupt): wrong magic, truncation, invalid
// blocks, checksum or length that does not match, bytes behind the stream.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ingot/formats/bytes.h"

namespace ingot::formats {

// Deflate cannot shrink bytes by more than this factor; what claims more is not to be believed.
inline constexpr size_t kMaxDeflateRatio = 1032;

// Whether the bytes begin as every gzip stream does: 1f 8b.
bool IsGzip(std::span<const std::byte> bytes);

// Inflates piece by piece into the caller's buffers. The compressed bytes must outlive the reader.
class GzipReader {
 public:
  GzipReader(std::span<const std::byte> compressed, std::string name);
  ~GzipReader();
  GzipReader(const GzipReader&) = delete;
  GzipReader& operator=(const GzipReader&) = delete;

  // Fills `out` and returns its size; returns less only where the stream ends, 0 from then on.
  // The checksum of a member is verified when its end is reached.
  size_t Read(std::span<std::byte> out);

 private:
  struct State;
  void NextMember();

  std::unique_ptr<State> state_;
};

// Inflates the whole stream; throws Error(kInvalidInput) where it holds more than `max_bytes`.
Blob Gunzip(std::span<const std::byte> compressed, const std::string& name, size_t max_bytes);

// Level 0 (stored) to 9 (smallest). The header holds no time and no name, so that equal bytes give
// equal files.
std::vector<std::byte> Gzip(std::span<const std::byte> bytes, int level = 6);

// Raw deflate data that must inflate to exactly out.size() bytes, as in a zip entry.
void InflateRaw(std::span<const std::byte> compressed, std::span<std::byte> out,
                const std::string& name);

}  // namespace ingot::formats
