// SvgCanvas: a drawing as SVG 1.1 text, which every browser and most editors show.
#pragma once

#include <string>

#include "ingot/plot/canvas.h"

namespace ingot::plot {

class SvgCanvas : public Canvas {
 public:
  SvgCanvas(double width, double height);

  double width() const override { return width_; }
  double height() const override { return height_; }
  void Line(std::span<const Point> points, const Stroke& stroke) override;
  void Fill(const Rectangle& area, Colour colour, double opacity) override;
  void Disc(Point centre, double radius, Colour colour) override;
  void Text(Point at, std::string_view text, const TextStyle& style) override;

  // The whole document, UTF-8. What was drawn is the same to the byte for the same calls.
  std::string Document() const;

 private:
  double width_;
  double height_;
  std::string body_;
};

}  // namespace ingot::plot
