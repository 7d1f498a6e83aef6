// Scaling in two passes of whole numbers, the crop, and from pixels to planes.
#include "ingot/data/picture.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "ingot/base/error.h"
#include "ingot/formats/image.h"

namespace ingot::data {

namespace {

constexpr int kWeightBits = 22;

// What one output pixel takes: `count` input pixels from `first`, with weights that sum to 2^22 but
// for rounding.
struct Taps {
  int64_t first = 0;
  std::vector<int32_t> weights;
};

// For `count` of the `to` output pixels, from `first`.
std::vector<Taps> TriangleTaps(int64_t from, int64_t to, int64_t first, int64_t count) {
  const double scale = static_cast<double>(from) / static_cast<double>(to);
  const double reach = std::max(scale, 1.0);
  std::vector<Taps> all(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    Taps& taps = all[static_cast<size_t>(i)];
    const double centre = (static_cast<double>(first + i) + 0.5) * scale;
    taps.first = std::max<int64_t>(0, static_cast<int64_t>(centre - reach + 0.5));
    const int64_t end = std::min(from, static_cast<int64_t>(centre + reach + 0.5));
    std::vector<double> weights;
    double sum = 0;
    for (int64_t x = taps.first; x < end; ++x) {
      const double distance = std::fabs((static_cast<double>(x) + 0.5 - centre) / reach);
      weights.push_back(std::max(0.0, 1 - distance));
      sum += weights.back();
    }
    for (const double weight : weights) {
      taps.weights.push_back(
          static_cast<int32_t>(std::floor(weight / sum * (1 << kWeightBits) + 0.5)));
    }
  }
  return all;
}

uint8_t ToByte(int32_t sum) {
  return static_cast<uint8_t>(std::clamp(sum >> kWeightBits, 0, 255));
}

// [rows, from, channels] -> [rows, taps, channels].
void ResizeRows(const uint8_t* in, int64_t rows, int64_t from, int64_t channels,
                const std::vector<Taps>& all, uint8_t* out) {
  for (int64_t row = 0; row < rows; ++row, in += from * channels) {
    for (const Taps& taps : all) {
      for (int64_t c = 0; c < channels; ++c) {
        int32_t sum = 1 << (kWeightBits - 1);
        const uint8_t* pixel = in + taps.first * channels + c;
        for (const int32_t weight : taps.weights) {
          sum += weight * *pixel;
          pixel += channels;
        }
        *out++ = ToByte(sum);
      }
    }
  }
}

// The least of what all of them take.
struct Range {
  int64_t first = 0;
  int64_t end = 0;
};
Range TakenBy(const std::vector<Taps>& all) {
  Range range{all[0].first, 0};
  for (const Taps& taps : all) {
    range.first = std::min(range.first, taps.first);
    range.end = std::max(range.end, taps.first + static_cast<int64_t>(taps.weights.size()));
  }
  return range;
}

// [from, width] -> [taps, width], whole rows at a time.
void ResizeColumns(const uint8_t* in, int64_t width, const std::vector<Taps>& all, uint8_t* out) {
  std::vector<int32_t> sums(static_cast<size_t>(width));
  for (const Taps& taps : all) {
    std::fill(sums.begin(), sums.end(), 1 << (kWeightBits - 1));
    const uint8_t* row = in + taps.first * width;
    for (const int32_t weight : taps.weights) {
      for (int64_t x = 0; x < width; ++x) sums[static_cast<size_t>(x)] += weight * row[x];
      row += width;
    }
    for (const int32_t sum : sums) *out++ = ToByte(sum);
  }
}

formats::ImageSize SizeOf(const Tensor& picture) {
  return {picture.shape()[0], picture.shape()[1]};
}

std::string SizeText(formats::ImageSize size) {
  return std::to_string(size.height) + " x " + std::to_string(size.width) + " (height x width)";
}

formats::ImageSize ReadSize(const ConfigNode& node) {
  std::vector<int64_t> sides;
  if (node.is_list()) {
    for (const ConfigNode& item : node.items()) sides.push_back(ReadScalar<int64_t>(item));
  } else {
    sides.assign(2, ReadScalar<int64_t>(node));
  }
  constexpr int64_t kMost = 1 << 14;
  const bool good = sides.size() == 2 && std::all_of(sides.begin(), sides.end(), [](int64_t side) {
                      return side >= 1 && side <= kMost;
                    });
  if (!good) {
    node.Fail("size is [height, width] or one number for both, from 1 to " + std::to_string(kMost),
              "write size: 64, or size: [48, 64]");
  }
  return {sides[0], sides[1]};
}

}  // namespace

Tensor ResizePicture(const Tensor& picture, formats::ImageSize size, const PictureWindow& window) {
  const formats::ImageSize from = SizeOf(picture);
  const int64_t channels = picture.shape()[2];
  const int64_t width = window.size.width * channels;  // bytes
  const bool scales_columns = from.height != size.height;
  std::vector<Taps> rows;
  Range taken{window.top, window.top + window.size.height};
  if (scales_columns) {
    rows = TriangleTaps(from.height, size.height, window.top, window.size.height);
    taken = TakenBy(rows);
  }
  Tensor narrow(DType::kU8, Shape{taken.end - taken.first, window.size.width, channels});
  const uint8_t* in = picture.data<uint8_t>().data() + taken.first * from.width * channels;
  uint8_t* out = narrow.data<uint8_t>().data();
  if (from.width != size.width) {
    ResizeRows(in, taken.end - taken.first, from.width, channels,
               TriangleTaps(from.width, size.width, window.left, window.size.width), out);
  } else {
    in += window.left * channels;
    for (int64_t row = taken.first; row < taken.end; ++row, in += from.width * channels) {
      out = std::copy(in, in + width, out);
    }
  }
  if (!scales_columns) return narrow;
  for (Taps& taps : rows) taps.first -= taken.first;
  Tensor resized(DType::kU8, Shape{window.size.height, window.size.width, channels});
  ResizeColumns(narrow.data<uint8_t>().data(), width, rows, resized.data<uint8_t>().data());
  return resized;
}

Tensor ResizePicture(const Tensor& picture, formats::ImageSize size) {
  return ResizePicture(picture, size, {0, 0, size});
}

bool IsPictureEnding(std::string_view ending) {
  return ending == "jpg" || ending == "jpeg" || ending == "png";
}

PictureReader::PictureReader(const PictureOptions& options) : options_(options) {
  scales_ = !options.size.is_null();
  if (scales_) size_ = ReadSize(options.size);
  if (!options.resize) return;
  const int64_t longer = std::max(size_.height, size_.width);
  if (!scales_ || options.fit != "crop" || *options.resize < longer) {
    throw Error(ErrorCode::kInvalidInput,
                "resize: " + std::to_string(*options.resize) +
                    (!scales_                ? " without size"
                     : options.fit != "crop" ? " with fit: " + options.fit
                                             : " is less than size, " + SizeText(size_)),
                "resize is what the shorter side is scaled to before size is cut out");
  }
}

void PictureReader::SetSizeOf(const formats::Blob& blob, const std::string& name) {
  SetSize(formats::ParseImageSize(blob, name));
}

formats::ImageSize PictureReader::ScaledSize(formats::ImageSize from) const {
  if (options_.fit == "stretch") return size_;
  if (options_.resize) {
    const int64_t side = *options_.resize;
    return from.height < from.width ? formats::ImageSize{side, side * from.width / from.height}
                                    : formats::ImageSize{side * from.height / from.width, side};
  }
  if (from.height * size_.width >= from.width * size_.height) {
    return {std::max(size_.height, from.height * size_.width / from.width), size_.width};
  }
  return {size_.height, std::max(size_.width, from.width * size_.height / from.height)};
}

void PictureReader::Read(const formats::Blob& blob, const std::string& name, uint8_t* out) const {
  formats::ImageSize enough;
  if (scales_) enough = size_;
  if (options_.resize) enough = {*options_.resize, *options_.resize};
  Tensor picture = formats::ParseImage(blob, name, {}, enough);
  const formats::ImageSize from = SizeOf(picture);
  if (!scales_ && (from.height != size_.height || from.width != size_.width)) {
    throw Error(
        ErrorCode::kInvalidInput,
        name + ": a picture of " + SizeText(from) + ", but the others are " + SizeText(size_),
        "give the source a size, which all pictures are brought to");
  }
  const int64_t channels = options_.channels();
  picture = formats::ConvertImage(picture, static_cast<int>(channels));
  if (scales_) {
    const formats::ImageSize scaled = ScaledSize(from);
    picture = ResizePicture(
        picture, scaled,
        {(scaled.height - size_.height) / 2, (scaled.width - size_.width) / 2, size_});
  }
  const uint8_t* pixels = picture.data<uint8_t>().data();
  const int64_t count = size_.height * size_.width;
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t i = 0; i < count; ++i) *out++ = pixels[i * channels + c];
  }
}

}  // namespace ingot::data
