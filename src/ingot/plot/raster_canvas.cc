// RasterCanvas: see raster_canvas.h.
#include "ingot/plot/raster_canvas.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include <fmt/format.h>

#include "ingot/base/error.h"
#include "ingot/plot/stroke_font.h"

namespace ingot::plot {
namespace {

constexpr double kMostPixels = 64e6;
constexpr double kFontWeight = 0.085;  // a stroke's width to the font's size
constexpr double kBoldFontWeight = 0.125;

double Distance(Point p, Point from, Point to) {
  const double dx = to.x - from.x;
  const double dy = to.y - from.y;
  const double length = dx * dx + dy * dy;
  double t = 0;
  if (length > 0) t = std::clamp(((p.x - from.x) * dx + (p.y - from.y) * dy) / length, 0.0, 1.0);
  return std::hypot(p.x - from.x - t * dx, p.y - from.y - t * dy);
}

// A line cut into dashes of that length with gaps as long.
std::vector<std::vector<Point>> Dashes(std::span<const Point> points, double dash) {
  std::vector<std::vector<Point>> dashes;
  bool is_on = true;
  double left = dash;
  dashes.push_back({points[0]});
  for (size_t i = 0; i + 1 < points.size(); ++i) {
    Point from = points[i];
    double length = std::hypot(points[i + 1].x - from.x, points[i + 1].y - from.y);
    while (length > left) {
      const double t = left / length;
      from = {from.x + t * (points[i + 1].x - from.x), from.y + t * (points[i + 1].y - from.y)};
      length -= left;
      left = dash;
      if (is_on) dashes.back().push_back(from);
      is_on = !is_on;
      if (is_on) dashes.push_back({from});
    }
    left -= length;
    if (is_on) dashes.back().push_back(points[i + 1]);
  }
  return dashes;
}

}  // namespace

// The pixels that a line may have touched, the ends excluded.
struct RasterCanvas::Box {
  int64_t left = 0, top = 0, right = 0, bottom = 0;
};

RasterCanvas::RasterCanvas(double width, double height, double scale)
    : width_(width), height_(height), scale_(scale) {
  const double columns = std::round(width * scale);
  const double rows = std::round(height * scale);
  if (!(columns >= 1) || !(rows >= 1) || columns * rows > kMostPixels) {
    throw Error(ErrorCode::kInvalidInput,
                fmt::format("a picture of {:.0f} x {:.0f} pixels cannot be drawn", columns, rows),
                "between 1 and 64 million pixels are possible");
  }
  columns_ = static_cast<int64_t>(columns);
  rows_ = static_cast<int64_t>(rows);
  pixels_.assign(static_cast<size_t>(rows_ * columns_ * 3), 255);
  coverage_.assign(static_cast<size_t>(rows_ * columns_), 0.0F);
}

void RasterCanvas::Mix(int64_t pixel, Colour colour, double opacity) {
  uint8_t* at = pixels_.data() + 3 * pixel;
  const Colour mixed = plot::Mix({at[0], at[1], at[2]}, colour, opacity);
  at[0] = mixed.red;
  at[1] = mixed.green;
  at[2] = mixed.blue;
}

// From and to in pixels. Raises the coverage of the pixels around them, and widens the box.
void RasterCanvas::Cover(Point from, Point to, double radius, Box& box) {
  const auto pixel = [](double value, int64_t end) {
    return static_cast<int64_t>(std::clamp(value, 0.0, static_cast<double>(end)));
  };
  const double reach = radius + 1;
  const int64_t left = pixel(std::floor(std::min(from.x, to.x) - reach), columns_);
  const int64_t right = pixel(std::ceil(std::max(from.x, to.x) + reach), columns_);
  const int64_t top = pixel(std::floor(std::min(from.y, to.y) - reach), rows_);
  const int64_t bottom = pixel(std::ceil(std::max(from.y, to.y) + reach), rows_);
  for (int64_t y = top; y < bottom; ++y) {
    for (int64_t x = left; x < right; ++x) {
      const Point centre = {static_cast<double>(x) + 0.5, static_cast<double>(y) + 0.5};
      const double inside = radius + 0.5 - Distance(centre, from, to);
      float& coverage = coverage_[static_cast<size_t>(y * columns_ + x)];
      coverage = std::max(coverage, static_cast<float>(std::clamp(inside, 0.0, 1.0)));
    }
  }
  if (box.right == 0) box = {columns_, rows_, 0, 0};
  box = {std::min(box.left, left), std::min(box.top, top), std::max(box.right, right),
         std::max(box.bottom, bottom)};
}

void RasterCanvas::Blend(const Box& box, Colour colour, double opacity) {
  for (int64_t y = box.top; y < box.bottom; ++y) {
    for (int64_t x = box.left; x < box.right; ++x) {
      float& coverage = coverage_[static_cast<size_t>(y * columns_ + x)];
      if (coverage > 0) Mix(y * columns_ + x, colour, opacity * static_cast<double>(coverage));
      coverage = 0;
    }
  }
}

void RasterCanvas::Line(std::span<const Point> points, const Stroke& stroke) {
  if (points.empty()) return;
  if (stroke.dash > 0 && points.size() > 1) {
    Stroke whole = stroke;
    whole.dash = 0;
    for (const auto& dash : Dashes(points, stroke.dash)) Line(dash, whole);
    return;
  }
  // A line thinner than a pixel is a fainter one of a pixel.
  const double width = stroke.width * scale_;
  const double radius = std::max(width, 1.0) / 2;
  Box box;
  const auto pixels = [this](Point p) { return Point{p.x * scale_, p.y * scale_}; };
  for (size_t i = 0; i < points.size(); ++i) {
    if (i + 1 == points.size() && i > 0) break;
    Cover(pixels(points[i]), pixels(points[std::min(i + 1, points.size() - 1)]), radius, box);
  }
  Blend(box, stroke.colour, stroke.opacity * std::min(width, 1.0));
}

void RasterCanvas::Fill(const Rectangle& area, Colour colour, double opacity) {
  // Whole pixels: areas beside each other must neither overlap nor leave a gap.
  const auto edge = [this](double value, int64_t end) {
    return std::clamp<int64_t>(std::llround(value * scale_), 0, end);
  };
  for (int64_t y = edge(area.y, rows_); y < edge(area.bottom(), rows_); ++y) {
    for (int64_t x = edge(area.x, columns_); x < edge(area.right(), columns_); ++x) {
      Mix(y * columns_ + x, colour, opacity);
    }
  }
}

void RasterCanvas::Disc(Point centre, double radius, Colour colour) {
  Line({&centre, 1}, {.colour = colour, .width = 2 * radius});
}

void RasterCanvas::Text(Point at, std::string_view text, const TextStyle& style) {
  double shift = 0;
  if (style.anchor != Anchor::kStart) shift = -TextWidth(text, style.size);
  if (style.anchor == Anchor::kMiddle) shift /= 2;
  const double weight = style.bold ? kBoldFontWeight : kFontWeight;
  for (std::vector<Point>& stroke : TextStrokes(text, style.size)) {
    for (Point& p : stroke) {
      p.x += shift;
      p = style.upwards ? Point{at.x + p.y, at.y - p.x} : Point{at.x + p.x, at.y + p.y};
    }
    Line(stroke, {.colour = style.colour, .width = weight * style.size});
  }
}

void RasterCanvas::Picture(const Rectangle& area, const Tensor& image) {
  INGOT_ASSERT(image.dtype() == DType::kU8 && image.shape().rank() == 3, "an image of bytes");
  const int64_t height = image.shape()[0];
  const int64_t width = image.shape()[1];
  const int64_t channels = image.shape()[2];
  const auto* bytes = reinterpret_cast<const uint8_t*>(image.raw());
  const int64_t top = std::max<int64_t>(std::llround(area.y * scale_), 0);
  const int64_t left = std::max<int64_t>(std::llround(area.x * scale_), 0);
  const int64_t bottom = std::min<int64_t>(std::llround(area.bottom() * scale_), rows_);
  const int64_t right = std::min<int64_t>(std::llround(area.right() * scale_), columns_);
  for (int64_t y = top; y < bottom; ++y) {
    for (int64_t x = left; x < right; ++x) {
      const int64_t from_y = (y - top) * height / (bottom - top);
      const int64_t from_x = (x - left) * width / (right - left);
      const uint8_t* from = bytes + (from_y * width + from_x) * channels;
      Mix(y * columns_ + x, {from[0], from[channels == 3 ? 1 : 0], from[channels == 3 ? 2 : 0]}, 1);
    }
  }
}

Tensor RasterCanvas::Pixels() const {
  Tensor pixels(DType::kU8, Shape{rows_, columns_, 3});
  std::memcpy(pixels.raw(), pixels_.data(), pixels_.size());
  return pixels;
}

}  // namespace ingot::plot
