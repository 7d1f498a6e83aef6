// Contact sheets: see contact_sheet.h.
#include "ingot/plot/contact_sheet.h"

#include <algorithm>
#include <cmath>

#include "ingot/base/error.h"
#include "ingot/formats/image.h"
#include "ingot/plot/raster_canvas.h"
#include "ingot/plot/stroke_font.h"

namespace ingot::plot {
namespace {

constexpr double kPicture = 120;
constexpr double kGap = 16;
constexpr double kTitle = 34;
constexpr double kCaption = 11.5;
constexpr double kCaptionLine = 16;
constexpr double kScale = 2;

// The largest whole enlargement that fits, so that pixels stay squares of one size.
double Enlargement(const Tensor& image) {
  const double side = static_cast<double>(std::max(image.shape()[0], image.shape()[1]));
  const double factor = kPicture * kScale / side;
  return (factor >= 1 ? std::floor(factor) : factor) / kScale;
}

std::vector<uint8_t> Bytes(const Tensor& data) {
  std::vector<uint8_t> bytes(static_cast<size_t>(data.size()));
  if (data.dtype() == DType::kU8) {
    std::copy_n(reinterpret_cast<const uint8_t*>(data.raw()), bytes.size(), bytes.begin());
    return bytes;
  }
  const std::vector<double> values = data.ToDoubles();
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  const double range = *high > *low ? *high - *low : 1;
  for (size_t i = 0; i < bytes.size(); ++i) {
    const double share = (values[i] - *low) / range;
    bytes[i] = std::isfinite(share) ? static_cast<uint8_t>(std::lround(255 * share)) : 0;
  }
  return bytes;
}

bool IsChannels(int64_t extent) {
  return extent == 1 || extent == 3;
}

}  // namespace

std::string DrawContactSheet(const std::string& title, const std::vector<SheetPicture>& pictures,
                             int columns) {
  if (pictures.empty()) {
    throw Error(ErrorCode::kInvalidInput, "there is no picture to be drawn on the sheet");
  }
  columns = std::min(columns, static_cast<int>(pictures.size()));
  size_t lines = 0;
  double cell = kPicture;
  for (const SheetPicture& picture : pictures) {
    lines = std::max(lines, picture.captions.size());
    for (const std::string& caption : picture.captions) {
      cell = std::max(cell, std::min(TextWidth(caption, kCaption), 2 * kPicture));
    }
  }
  const int rows = (static_cast<int>(pictures.size()) + columns - 1) / columns;
  const double height = kPicture + 8 + kCaptionLine * static_cast<double>(lines) + kGap;
  const double width = std::max(kGap + columns * (cell + kGap), TextWidth(title, 15) + 3 * kGap);
  RasterCanvas canvas(width, kTitle + kGap + rows * height, kScale);
  canvas.Text({kGap, kTitle - 8}, title, {.size = 15, .bold = true});
  for (size_t i = 0; i < pictures.size(); ++i) {
    const double x = kGap + static_cast<double>(i % static_cast<size_t>(columns)) * (cell + kGap);
    const double y = kTitle + 6 + static_cast<double>(i / static_cast<size_t>(columns)) * height;
    const Tensor& image = pictures[i].image;
    const double factor = Enlargement(image);
    const Rectangle area = {x, y, factor * static_cast<double>(image.shape()[1]),
                            factor * static_cast<double>(image.shape()[0])};
    canvas.Fill({area.x - 1, area.y - 1, area.width + 2, area.height + 2}, kLightGrey, 1);
    canvas.Picture(area, image);
    double line = y + kPicture + 4 + kCaption;
    for (const std::string& caption : pictures[i].captions) {
      canvas.Text({x, line}, caption, {.size = kCaption});
      line += kCaptionLine;
    }
  }
  const std::vector<std::byte> png = formats::EncodePng(canvas.Pixels());
  return {reinterpret_cast<const char*>(png.data()), png.size()};
}

std::optional<Tensor> AsPicture(const Tensor& data) {
  const Shape& shape = data.shape();
  const bool planes = shape.rank() == 3 && IsChannels(shape[0]) && !IsChannels(shape[2]);
  const bool pixels = shape.rank() == 3 && IsChannels(shape[2]);
  if (data.size() == 0 || !(shape.rank() == 2 || planes || pixels)) return std::nullopt;
  const int64_t height = planes ? shape[1] : shape[0];
  const int64_t width = planes ? shape[2] : shape[1];
  const int64_t channels = shape.rank() == 2 ? 1 : planes ? shape[0] : shape[2];
  const std::vector<uint8_t> bytes = Bytes(data);
  Tensor picture(DType::kU8, Shape{height, width, channels});
  auto* out = reinterpret_cast<uint8_t*>(picture.raw());
  for (int64_t i = 0; i < height * width; ++i) {
    for (int64_t c = 0; c < channels; ++c) {
      const int64_t from = planes ? c * height * width + i : i * channels + c;
      *out++ = bytes[static_cast<size_t>(from)];
    }
  }
  return picture;
}

}  // namespace ingot::plot
