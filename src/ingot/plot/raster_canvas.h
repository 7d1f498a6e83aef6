// RasterCanvas: a drawing as pixels, for PNG files.
#pragma once

#include <vector>

#include "ingot/plot/canvas.h"
#include "ingot/tensor/tensor.h"

namespace ingot::plot {

// Lines are anti-aliased by the distance of a pixel's centre to the line: the coverage falls from 1
// to 0 over one pixel at the line's edge, and overlapping parts of one line do not add up. Colours
// are mixed in sRGB. The pixels are a function of the calls alone.
class RasterCanvas : public Canvas {
 public:
  // `scale`: pixels to a unit. Throws Error(kInvalidInput) for a picture without pixels or of more
  // than 64 million.
  RasterCanvas(double width, double height, double scale = 1);

  double width() const override { return width_; }
  double height() const override { return height_; }
  void Line(std::span<const Point> points, const Stroke& stroke) override;
  void Fill(const Rectangle& area, Colour colour, double opacity) override;
  void Disc(Point centre, double radius, Colour colour) override;
  void Text(Point at, std::string_view text, const TextStyle& style) override;
  // `image`, u8 [h, w, 1 or 3], enlarged or reduced to `area` by its nearest pixels.
  void Picture(const Rectangle& area, const Tensor& image);

  Tensor Pixels() const;  // u8 [height * scale, width * scale, 3]

 private:
  struct Box;
  void Cover(Point from, Point to, double radius, Box& box);
  void Blend(const Box& box, Colour colour, double opacity);
  void Mix(int64_t pixel, Colour colour, double opacity);

  double width_;
  double height_;
  double scale_;
  int64_t columns_;
  int64_t rows_;
  std::vector<uint8_t> pixels_;  // [rows, columns, 3]
  std::vector<float> coverage_;  // [rows, columns], of the line at hand; else 0
};

}  // namespace ingot::plot
