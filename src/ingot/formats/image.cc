// PNG through libpng's simplified interface, which needs no setjmp in our code.
#include "ingot/formats/image.h"

#include <algorithm>
#include <array>
#include <limits>

#include <png.h>

#include "ingot/base/error.h"
#include "ingot/base/text.h"
#include "ingot/formats/endian.h"
#include "ingot/formats/gzip.h"
#include "ingot/formats/jpeg.h"

namespace ingot::formats {
namespace {

constexpr std::array<uint8_t, 8> kMagic = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
constexpr size_t kHeaderBytes = 33;  // magic and the whole IHDR chunk

// libpng's image with its memory given back at the end of the scope.
struct PngImage {
  PngImage() { image.version = PNG_IMAGE_VERSION; }
  ~PngImage() { png_image_free(&image); }
  PngImage(const PngImage&) = delete;
  PngImage& operator=(const PngImage&) = delete;

  png_image image = {};
};

struct Signature {
  std::string_view bytes;
  std::string_view format;
};
constexpr std::array<Signature, 6> kOthers = {{
    {"\xff\xd8\xff", "JPEG"},
    {"GIF8", "GIF"},
    {"BM", "BMP"},
    {"II*", "TIFF"},
    {"MM", "TIFF"},
    {"RIFF", "WebP"},
}};

bool IsPng(std::span<const std::byte> bytes) {
  const std::string_view magic(reinterpret_cast<const char*>(kMagic.data()), kMagic.size());
  return AsText(bytes).starts_with(magic);
}

// `wanted`: "a PNG image".
void NameOtherFormat(std::span<const std::byte> bytes, const std::string& name,
                     const std::string& wanted) {
  for (const Signature& other : kOthers) {
    if (!AsText(bytes).starts_with(other.bytes)) continue;
    throw Error(ErrorCode::kUnsupported,
                name + ": looks like " + std::string(other.format) + ", expected " + wanted,
                "convert it to PNG");
  }
}

[[noreturn]] void FailNoImage(std::span<const std::byte> bytes, const std::string& name) {
  NameOtherFormat(bytes, name, "a PNG or JPEG image");
  throw Error(ErrorCode::kCorrupt,
              name + ": neither a PNG nor a JPEG image: it " +
                  (bytes.empty() ? "is empty" : "begins with '" + HexBytes(bytes, 8) + "'"));
}

void CheckPngMagic(std::span<const std::byte> bytes, const std::string& name) {
  if (IsPng(bytes)) return;
  NameOtherFormat(bytes, name, "a PNG image");
  throw Error(ErrorCode::kCorrupt, name + ": not a PNG image: it begins with '" +
                                       HexBytes(bytes, 8) +
                                       "', expected '89 50 4e 47 0d 0a 1a 0a'");
}

// The stated size, compared with the limits and with what so many bytes can hold.
ImageSize ReadPngSize(std::span<const std::byte> bytes, const std::string& name,
                      const ImageLimits& limits) {
  if (bytes.size() < kHeaderBytes) {
    throw Error(ErrorCode::kCorrupt, name + ": truncated PNG image: it has " +
                                         std::to_string(bytes.size()) +
                                         " bytes, the header alone needs 33");
  }
  const uint64_t width = LoadBig<uint32_t>(bytes.data() + 16);
  const uint64_t height = LoadBig<uint32_t>(bytes.data() + 20);
  const std::string size = std::to_string(width) + " x " + std::to_string(height);
  if (width == 0 || height == 0) {
    throw Error(ErrorCode::kCorrupt, name + ": the PNG header says " + size + " pixels");
  }
  const ImageSize stated = {static_cast<int64_t>(height), static_cast<int64_t>(width)};
  CheckPixels(name, stated, limits);
  const uint64_t bits = std::to_integer<uint64_t>(bytes[24]);
  const uint64_t least_bytes = height * ((width * bits + 7) / 8);
  if (least_bytes / kMaxDeflateRatio > bytes.size()) {
    throw Error(ErrorCode::kCorrupt, name + ": the PNG header says " + size +
                                         " pixels, more than " + std::to_string(bytes.size()) +
                                         " bytes can hold");
  }
  return stated;
}

[[noreturn]] void Damaged(const std::string& name, const png_image& image) {
  throw Error(ErrorCode::kCorrupt, name + ": damaged PNG image: " + image.message,
              "open it with an image viewer, or save it again");
}

png_uint_32 FormatOf(int64_t channels) {
  constexpr std::array<png_uint_32, 4> kFormats = {PNG_FORMAT_GRAY, PNG_FORMAT_GA, PNG_FORMAT_RGB,
                                                   PNG_FORMAT_RGBA};
  return kFormats[static_cast<size_t>(channels - 1)];
}

void CheckImage(const Tensor& image) {
  const Shape& shape = image.shape();
  const bool good = image.dtype() == DType::kU8 && shape.rank() == 3 && shape[0] > 0 &&
                    shape[1] > 0 && shape[2] >= 1 && shape[2] <= 4;
  if (!good) {
    throw Error(ErrorCode::kInvalidInput,
                image.empty() ? "an empty tensor is no image" : image.Describe() + " is no image",
                "expected u8 of shape [height, width, 1 to 4]");
  }
}

// `value` with the given opacity over white, rounded.
int OverWhite(int value, int alpha) {
  return (value * alpha + 255 * (255 - alpha) + 127) / 255;
}

}  // namespace

Tensor ParseImage(const Blob& blob, const std::string& name, const ImageLimits& limits,
                  ImageSize enough) {
  if (IsJpeg(blob.bytes())) return ParseJpeg(blob, name, limits, enough);
  if (IsPng(blob.bytes())) return ParsePng(blob, name, limits);
  FailNoImage(blob.bytes(), name);
}

ImageSize ParseImageSize(const Blob& blob, const std::string& name, const ImageLimits& limits) {
  if (IsJpeg(blob.bytes())) return ParseJpegSize(blob, name, limits);
  if (IsPng(blob.bytes())) return ReadPngSize(blob.bytes(), name, limits);
  FailNoImage(blob.bytes(), name);
}

void CheckPixels(const std::string& name, ImageSize size, const ImageLimits& limits) {
  if (size.width <= limits.pixels / size.height) return;
  throw Error(ErrorCode::kUnsupported,
              name + ": " + std::to_string(size.width) + " x " + std::to_string(size.height) +
                  " pixels are more than the limit of " + WithThousands(limits.pixels),
              "make the image smaller");
}

Tensor ReadImage(const std::string& path, const ImageLimits& limits) {
  return ParseImage(MapBlob(path), path, limits);
}

Tensor ReadPng(const std::string& path, const ImageLimits& limits) {
  return ParsePng(MapBlob(path), path, limits);
}

Tensor ParsePng(const Blob& blob, const std::string& name, const ImageLimits& limits) {
  CheckPngMagic(blob.bytes(), name);
  ReadPngSize(blob.bytes(), name, limits);
  PngImage png;
  if (png_image_begin_read_from_memory(&png.image, blob.data.get(), blob.size) == 0) {
    Damaged(name, png.image);
  }
  // 16-bit samples are taken as the same curve as 8-bit ones, as image programs write them.
  png.image.flags |= PNG_IMAGE_FLAG_16BIT_sRGB;
  const bool colour = (png.image.format & PNG_FORMAT_FLAG_COLOR) != 0;
  const bool alpha = (png.image.format & PNG_FORMAT_FLAG_ALPHA) != 0;
  const int64_t channels = (colour ? 3 : 1) + (alpha ? 1 : 0);
  png.image.format = FormatOf(channels);
  Tensor image(DType::kU8, Shape{png.image.height, png.image.width, channels});
  if (png_image_finish_read(&png.image, nullptr, image.raw(), 0, nullptr) == 0) {
    Damaged(name, png.image);
  }
  return image;
}

Tensor ConvertImage(const Tensor& image, int channels) {
  CheckImage(image);
  if (channels != 1 && channels != 3) {
    throw Error(ErrorCode::kInvalidInput, "an image of " + std::to_string(channels) +
                                              " channels was asked for, expected 1 or 3");
  }
  const int64_t had = image.shape()[2];
  if (had == channels) return image;
  Tensor result(DType::kU8, Shape{image.shape()[0], image.shape()[1], channels});
  const std::span<const uint8_t> from = image.data<uint8_t>();
  const std::span<uint8_t> to = result.data<uint8_t>();
  const bool colour = had >= 3;
  const bool alpha = had % 2 == 0;
  for (size_t pixel = 0; pixel < from.size() / static_cast<size_t>(had); ++pixel) {
    const uint8_t* source = from.data() + pixel * static_cast<size_t>(had);
    std::array<int, 3> rgb = {source[0], colour ? source[1] : source[0],
                              colour ? source[2] : source[0]};
    if (alpha) {
      for (int& value : rgb) value = OverWhite(value, source[had - 1]);
    }
    uint8_t* target = to.data() + pixel * static_cast<size_t>(channels);
    if (channels == 1) {
      target[0] = static_cast<uint8_t>((299 * rgb[0] + 587 * rgb[1] + 114 * rgb[2] + 500) / 1000);
    } else {
      for (size_t c = 0; c < 3; ++c) target[c] = static_cast<uint8_t>(rgb[c]);
    }
  }
  return result;
}

std::vector<std::byte> EncodePng(const Tensor& image) {
  CheckImage(image);
  if (image.shape()[0] > PNG_USER_HEIGHT_MAX || image.shape()[1] > PNG_USER_WIDTH_MAX) {
    throw Error(ErrorCode::kInvalidInput, image.Describe() + " is too large for a PNG image");
  }
  PngImage png;
  png.image.height = static_cast<png_uint_32>(image.shape()[0]);
  png.image.width = static_cast<png_uint_32>(image.shape()[1]);
  png.image.format = FormatOf(image.shape()[2]);
  std::vector<std::byte> out(PNG_IMAGE_PNG_SIZE_MAX(png.image));
  png_alloc_size_t size = out.size();
  if (png_image_write_to_memory(&png.image, out.data(), &size, 0, image.raw(), 0, nullptr) == 0) {
    throw Error(ErrorCode::kInternal,
                std::string("libpng cannot write an image: ") + png.image.message);
  }
  out.resize(size);
  return out;
}

}  // namespace ingot::formats
