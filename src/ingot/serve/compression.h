// Bodies compressed with gzip or deflate, which HTTP means as zlib.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace ingot::serve {

enum class Encoding { kNone, kGzip, kDeflate };

// Throws Error(kInvalidInput) for other names than identity, gzip and deflate.
Encoding ParseEncoding(std::string_view name);
// What an Accept-Encoding field allows; the first of gzip and deflate that is not refused.
Encoding ChooseEncoding(std::string_view accept);
std::string_view EncodingName(Encoding encoding);

// Throws Error(kInvalidInput) for damaged data and for more than `limit` bytes.
std::string Decompress(std::string_view bytes, Encoding encoding, size_t limit);
std::string Compress(std::string_view bytes, Encoding encoding);

}  // namespace ingot::serve
