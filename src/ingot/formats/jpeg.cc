// JPEG through libjpeg-turbo's TurboJPEG interface, which needs no setjmp in our code.
#include "ingot/formats/jpeg.h"

#include <array>
#include <memory>
#include <type_traits>

#include <turbojpeg.h>

#include "ingot/base/error.h"

namespace ingot::formats {
namespace {

// A picture of more scans than this is made to cost time.
constexpr int kFlags = TJFLAG_ACCURATEDCT | TJFLAG_LIMITSCANS;

struct Closer {
  void operator()(void* handle) const { tjDestroy(handle); }
};
using Handle = std::unique_ptr<std::remove_pointer_t<tjhandle>, Closer>;

[[noreturn]] void Damaged(const std::string& name, tjhandle handle) {
  const std::string reason = tjGetErrorStr2(handle);
  if (reason.find("nsupported") != std::string::npos) {
    throw Error(ErrorCode::kUnsupported, name + ": a kind of JPEG that is not read: " + reason,
                "convert it to baseline JPEG or PNG");
  }
  throw Error(ErrorCode::kCorrupt, name + ": damaged JPEG image: " + reason);
}

// Bytes between the parts of a picture harm nothing and are common.
bool IsHarmless(tjhandle handle) {
  const std::string_view reason = tjGetErrorStr2(handle);
  return tjGetErrorCode(handle) == TJERR_WARNING &&
         reason.find("extraneous bytes") != std::string_view::npos;
}

Handle OpenDecoder(const Blob& blob, const std::string& name) {
  if (!IsJpeg(blob.bytes())) {
    throw Error(ErrorCode::kCorrupt, name + ": not a JPEG image: it begins with '" +
                                         HexBytes(blob.bytes(), 3) + "', expected 'ff d8 ff'");
  }
  Handle handle(tjInitDecompress());
  if (handle == nullptr) throw Error(ErrorCode::kOutOfMemory, name + ": no memory to decode it");
  return handle;
}

struct Header {
  int width = 0;
  int height = 0;
  int subsampling = 0;
  int colours = 0;
};

Header ReadHeader(const Blob& blob, const std::string& name, const ImageLimits& limits,
                  tjhandle handle) {
  Header header;
  const auto* bytes = reinterpret_cast<const unsigned char*>(blob.data.get());
  if (tjDecompressHeader3(handle, bytes, blob.size, &header.width, &header.height,
                          &header.subsampling, &header.colours) != 0 &&
      !IsHarmless(handle)) {
    Damaged(name, handle);
  }
  if (header.width <= 0 || header.height <= 0) {
    throw Error(ErrorCode::kCorrupt, name + ": damaged JPEG image: its header says " +
                                         std::to_string(header.width) + " x " +
                                         std::to_string(header.height) + " pixels");
  }
  CheckPixels(name, {header.height, header.width}, limits);
  return header;
}

// The least of the scales that are quick to decode.
tjscalingfactor ScaleFor(const Header& header, ImageSize enough) {
  for (const int denominator : {8, 4, 2}) {
    const tjscalingfactor scale = {1, denominator};
    if (enough.height > 0 && enough.width > 0 && TJSCALED(header.height, scale) >= enough.height &&
        TJSCALED(header.width, scale) >= enough.width) {
      return scale;
    }
  }
  return {1, 1};
}

// Ink is stored inverted: 255 is none of it.
Tensor FromInk(const Tensor& ink) {
  Tensor image(DType::kU8, Shape{ink.shape()[0], ink.shape()[1], 3});
  const std::span<const uint8_t> from = ink.data<uint8_t>();
  const std::span<uint8_t> to = image.data<uint8_t>();
  for (size_t pixel = 0; pixel < from.size() / 4; ++pixel) {
    const int black = from[4 * pixel + 3];
    for (size_t c = 0; c < 3; ++c) {
      to[3 * pixel + c] = static_cast<uint8_t>((from[4 * pixel + c] * black + 127) / 255);
    }
  }
  return image;
}

}  // namespace

bool IsJpeg(std::span<const std::byte> bytes) {
  return AsText(bytes).starts_with("\xff\xd8\xff");
}

Tensor ParseJpeg(const Blob& blob, const std::string& name, const ImageLimits& limits,
                 ImageSize enough) {
  const Handle handle = OpenDecoder(blob, name);
  const Header header = ReadHeader(blob, name, limits, handle.get());
  const tjscalingfactor scale = ScaleFor(header, enough);
  const int width = TJSCALED(header.width, scale);
  const int height = TJSCALED(header.height, scale);
  const bool grey = header.colours == TJCS_GRAY;
  const bool ink = header.colours == TJCS_CMYK || header.colours == TJCS_YCCK;
  const int channels = grey ? 1 : ink ? 4 : 3;
  Tensor image(DType::kU8, Shape{height, width, channels});
  const auto* bytes = reinterpret_cast<const unsigned char*>(blob.data.get());
  auto* pixels = reinterpret_cast<unsigned char*>(image.raw());
  if (tjDecompress2(handle.get(), bytes, blob.size, pixels, width, 0, height,
                    grey  ? TJPF_GRAY
                    : ink ? TJPF_CMYK
                          : TJPF_RGB,
                    kFlags) != 0 &&
      !IsHarmless(handle.get())) {
    Damaged(name, handle.get());
  }
  return ink ? FromInk(image) : image;
}

ImageSize ParseJpegSize(const Blob& blob, const std::string& name, const ImageLimits& limits) {
  const Handle handle = OpenDecoder(blob, name);
  const Header header = ReadHeader(blob, name, limits, handle.get());
  return {header.height, header.width};
}

}  // namespace ingot::formats
