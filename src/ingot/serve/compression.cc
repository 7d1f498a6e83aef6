// zlib around bodies.
#include "ingot/serve/compression.h"

#include <algorithm>

#include <zlib.h>

#include "ingot/base/error.h"

namespace ingot::serve {
namespace {

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

}  // namespace

Encoding ParseEncoding(std::string_view name) {
  name = Trim(name);
  if (name.empty() || name == "identity") return Encoding::kNone;
  if (name == "gzip" || name == "x-gzip") return Encoding::kGzip;
  if (name == "deflate") return Encoding::kDeflate;
  throw Error(ErrorCode::kInvalidInput,
              "content encoding '" + std::string(name) + "': expected identity, gzip or deflate");
}

Encoding ChooseEncoding(std::string_view accept) {
  while (!accept.empty()) {
    const size_t end = std::min(accept.find(','), accept.size());
    std::string_view item = accept.substr(0, end);
    accept.remove_prefix(std::min(end + 1, accept.size()));
    const size_t semicolon = std::min(item.find(';'), item.size());
    std::string_view weight = Trim(item.substr(std::min(semicolon + 1, item.size())));
    item = Trim(item.substr(0, semicolon));
    const bool refused =
        weight.starts_with("q=0") && weight.find_first_of("123456789") == std::string_view::npos;
    if (refused) continue;
    if (item == "gzip") return Encoding::kGzip;
    if (item == "deflate") return Encoding::kDeflate;
  }
  return Encoding::kNone;
}

std::string_view EncodingName(Encoding encoding) {
  switch (encoding) {
    case Encoding::kGzip:
      return "gzip";
    case Encoding::kDeflate:
      return "deflate";
    case Encoding::kNone:
      break;
  }
  return "identity";
}

std::string Decompress(std::string_view bytes, Encoding encoding, size_t limit) {
  const std::string name(EncodingName(encoding));
  z_stream stream{};
  if (inflateInit2(&stream, encoding == Encoding::kGzip ? 15 + 16 : 15) != Z_OK) {
    throw Error(ErrorCode::kOutOfMemory, "no memory to decompress a body");
  }
  std::string out;
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  int result = Z_OK;
  while (result == Z_OK) {
    if (out.size() > limit) break;
    const size_t have = out.size();
    out.resize(have + std::clamp<size_t>(have, 16 << 10, 4 << 20));
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + have);
    stream.avail_out = static_cast<uInt>(out.size() - have);
    result = inflate(&stream, Z_NO_FLUSH);
    out.erase(out.size() - stream.avail_out);
    if (result == Z_BUF_ERROR || (result == Z_OK && stream.avail_in == 0 && stream.avail_out > 0)) {
      result = Z_DATA_ERROR;  // cut short
    }
  }
  const bool whole = result == Z_STREAM_END && stream.avail_in == 0;
  inflateEnd(&stream);
  if (out.size() > limit) {
    throw Error(ErrorCode::kInvalidInput,
                "the " + name + " body holds more than " + std::to_string(limit) + " bytes");
  }
  if (!whole) throw Error(ErrorCode::kInvalidInput, "the body is not valid " + name);
  return out;
}

std::string Compress(std::string_view bytes, Encoding encoding) {
  z_stream stream{};
  if (deflateInit2(&stream, 1, Z_DEFLATED, encoding == Encoding::kGzip ? 15 + 16 : 15, 8,
                   Z_DEFAULT_STRATEGY) != Z_OK) {
    throw Error(ErrorCode::kOutOfMemory, "no memory to compress a body");
  }
  std::string out(deflateBound(&stream, static_cast<uLong>(bytes.size())), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.erase(out.size() - stream.avail_out);
  deflateEnd(&stream);
  return out;
}

}  // namespace ingot::serve
