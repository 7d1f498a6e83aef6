// gzip and raw deflate on top of zlib; the caller's buffers are inflated into directly.
#include "ingot/formats/gzip.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include <zlib.h>

#include "ingot/base/error.h"
#include "ingot/base/text.h"
#include "ingot/formats/endian.h"

namespace ingot::formats {
namespace {

constexpr int kGzipWindow = 15 + 16;  // zlib: the largest window, gzip wrapper
constexpr int kRawWindow = -15;       // zlib: the largest window, no wrapper
constexpr size_t kMaxPiece = std::numeric_limits<uInt>::max();  // zlib counts in 32 bits

void CheckMemory(int status) {
  if (status == Z_MEM_ERROR) throw Error(ErrorCode::kOutOfMemory, "cannot allocate zlib's state");
  INGOT_ASSERT(status == Z_OK, "zlib refused its parameters: " + std::to_string(status));
}

Bytef* Pointer(const std::byte* p) {
  return const_cast<Bytef*>(reinterpret_cast<const Bytef*>(p));
}

std::string Reason(const z_stream& stream) {
  return stream.msg != nullptr ? stream.msg : "invalid data";
}

// One step of inflate over as much as zlib's counters hold; advances both spans.
int InflateStep(z_stream& stream, std::span<const std::byte>& in, std::span<std::byte>& out) {
  const size_t in_size = std::min(in.size(), kMaxPiece);
  const size_t out_size = std::min(out.size(), kMaxPiece);
  stream.next_in = Pointer(in.data());
  stream.avail_in = static_cast<uInt>(in_size);
  stream.next_out = Pointer(out.data());
  stream.avail_out = static_cast<uInt>(out_size);
  const int status = inflate(&stream, Z_NO_FLUSH);
  in = in.subspan(in_size - stream.avail_in);
  out = out.subspan(out_size - stream.avail_out);
  return status;
}

}  // namespace

bool IsGzip(std::span<const std::byte> bytes) {
  return bytes.size() >= 2 && bytes[0] == std::byte{0x1f} && bytes[1] == std::byte{0x8b};
}

struct GzipReader::State {
  explicit State(std::string file) : name(std::move(file)) {
    CheckMemory(inflateInit2(&stream, kGzipWindow));
  }
  ~State() { inflateEnd(&stream); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  z_stream stream = {};
  std::span<const std::byte> in;
  size_t total = 0;  // compressed bytes of the whole stream
  std::string name;
  bool ended = false;
};

GzipReader::GzipReader(std::span<const std::byte> compressed, std::string name) {
  if (!IsGzip(compressed)) {
    throw Error(ErrorCode::kCorrupt, name + ": not a gzip stream: it begins with '" +
                                         HexBytes(compressed, 2) + "', expected '1f 8b'");
  }
  state_ = std::make_unique<State>(std::move(name));
  state_->in = compressed;
  state_->total = compressed.size();
}

GzipReader::~GzipReader() = default;

// Behind a member stands another one, zeros that fill a block, or nothing.
void GzipReader::NextMember() {
  State& s = *state_;
  if (IsGzip(s.in)) {
    inflateReset(&s.stream);
    return;
  }
  const bool zeros =
      std::all_of(s.in.begin(), s.in.end(), [](std::byte b) { return b == std::byte{}; });
  if (!zeros) {
    throw Error(ErrorCode::kCorrupt, s.name + ": " + std::to_string(s.in.size()) +
                                         " bytes behind the end of the gzip stream are not gzip");
  }
  s.ended = true;
}

size_t GzipReader::Read(std::span<std::byte> out) {
  State& s = *state_;
  const size_t wanted = out.size();
  while (!out.empty() && !s.ended) {
    const size_t before_in = s.in.size();
    const size_t before_out = out.size();
    const int status = InflateStep(s.stream, s.in, out);
    if (status == Z_STREAM_END) {
      NextMember();
      continue;
    }
    CheckMemory(status == Z_MEM_ERROR ? status : Z_OK);
    if (status == Z_DATA_ERROR || status == Z_NEED_DICT || status == Z_STREAM_ERROR) {
      throw Error(ErrorCode::kCorrupt,
                  s.name + ": damaged gzip stream near byte " +
                      std::to_string(s.total - s.in.size()) + " of " + std::to_string(s.total) +
                      ": " + Reason(s.stream),
                  "get the file again");
    }
    if (s.in.size() == before_in && out.size() == before_out) {
      throw Error(ErrorCode::kCorrupt,
                  s.name + ": truncated gzip stream: it ends after " + std::to_string(s.total) +
                      " bytes in the middle of a member",
                  "get the file again");
    }
  }
  return wanted - out.size();
}

Blob Gunzip(std::span<const std::byte> compressed, const std::string& name, size_t max_bytes) {
  GzipReader reader(compressed, name);
  // The last four bytes are the size of the last member modulo 2^32: right for nearly every file,
  // and never believed further than deflate can shrink.
  size_t capacity =
      compressed.size() >= 18 ? LoadLittle<uint32_t>(compressed.data() + compressed.size() - 4) : 0;
  const size_t believable = compressed.size() > max_bytes / kMaxDeflateRatio
                                ? max_bytes
                                : compressed.size() * kMaxDeflateRatio;
  capacity = std::clamp(capacity, std::min<size_t>(believable, 4096), believable);
  Blob blob{AllocateBytes(capacity), 0};
  while (true) {
    blob.size += reader.Read({blob.data.get() + blob.size, capacity - blob.size});
    if (blob.size < capacity) return blob;
    std::byte one_more;
    if (reader.Read({&one_more, 1}) == 0) return blob;
    if (capacity >= max_bytes) {
      throw Error(ErrorCode::kInvalidInput,
                  name + ": inflates to more than the limit of " + HumanBytes(max_bytes));
    }
    const size_t grown = capacity > max_bytes / 2 ? max_bytes : capacity * 2;
    std::shared_ptr<std::byte> larger = AllocateBytes(grown);
    std::memcpy(larger.get(), blob.data.get(), blob.size);
    larger.get()[blob.size++] = one_more;
    blob.data = std::move(larger);
    capacity = grown;
  }
}

std::vector<std::byte> Gzip(std::span<const std::byte> bytes, int level) {
  z_stream stream = {};
  CheckMemory(deflateInit2(&stream, level, Z_DEFLATED, kGzipWindow, 8, Z_DEFAULT_STRATEGY));
  const std::unique_ptr<z_stream, void (*)(z_stream*)> guard(&stream,
                                                             [](z_stream* s) { deflateEnd(s); });
  std::vector<std::byte> out(deflateBound(&stream, bytes.size()));
  size_t written = 0;
  int status = Z_OK;
  while (status != Z_STREAM_END) {
    const size_t in_size = std::min(bytes.size(), kMaxPiece);
    const size_t out_size = std::min(out.size() - written, kMaxPiece);
    stream.next_in = Pointer(bytes.data());
    stream.avail_in = static_cast<uInt>(in_size);
    stream.next_out = Pointer(out.data() + written);
    stream.avail_out = static_cast<uInt>(out_size);
    status = deflate(&stream, in_size == bytes.size() ? Z_FINISH : Z_NO_FLUSH);
    INGOT_ASSERT(status == Z_OK || status == Z_STREAM_END, "deflate: " + std::to_string(status));
    bytes = bytes.subspan(in_size - stream.avail_in);
    written += out_size - stream.avail_out;
  }
  out.resize(written);
  return out;
}

void InflateRaw(std::span<const std::byte> compressed, std::span<std::byte> out,
                const std::string& name) {
  z_stream stream = {};
  CheckMemory(inflateInit2(&stream, kRawWindow));
  const std::unique_ptr<z_stream, void (*)(z_stream*)> guard(&stream,
                                                             [](z_stream* s) { inflateEnd(s); });
  const size_t wanted = out.size();
  std::byte spare;  // zlib wants room for a byte to see the end of a stream that is exactly full
  int status = Z_OK;
  while (status == Z_OK) {
    const size_t before = compressed.size() + out.size();
    if (out.empty()) {
      std::span<std::byte> room(&spare, 1);
      status = InflateStep(stream, compressed, room);
      if (room.empty()) {
        throw Error(ErrorCode::kCorrupt, name + ": deflate data hold more than the " +
                                             std::to_string(wanted) + " bytes that are declared");
      }
      if (status == Z_OK && compressed.empty()) status = Z_BUF_ERROR;
    } else {
      status = InflateStep(stream, compressed, out);
      if (status == Z_OK && compressed.size() + out.size() == before) status = Z_BUF_ERROR;
    }
  }
  CheckMemory(status == Z_MEM_ERROR ? status : Z_OK);
  if (status == Z_BUF_ERROR) {
    throw Error(ErrorCode::kCorrupt,
                name + ": truncated deflate data: " + std::to_string(wanted - out.size()) + " of " +
                    std::to_string(wanted) + " bytes are there");
  }
  if (status != Z_STREAM_END) {
    throw Error(ErrorCode::kCorrupt, name + ": damaged deflate data: " + Reason(stream));
  }
  if (!out.empty()) {
    throw Error(ErrorCode::kCorrupt, name + ": deflate data hold " +
                                         std::to_string(wanted - out.size()) + " bytes, " +
                                         std::to_string(wanted) + " are declared");
  }
}

}  // namespace ingot::formats
