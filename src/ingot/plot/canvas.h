// Canvas: what charts are drawn on. The same drawing becomes SVG (svg_canvas.h) or pixels
// (raster_canvas.h).
//
// Coordinates are in units of the drawing, y downwards from the upper left corner; a unit is one
// pixel at scale 1. Nothing here is safe for use by several threads at once.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace ingot::plot {

struct Point {
  double x = 0;
  double y = 0;
  bool operator==(const Point&) const = default;
};

struct Rectangle {
  double x = 0;
  double y = 0;
  double width = 0;
  double height = 0;
  double right() const { return x + width; }
  double bottom() const { return y + height; }
};

struct Colour {
  uint8_t red = 0;
  uint8_t green = 0;
  uint8_t blue = 0;
  bool operator==(const Colour&) const = default;
};

inline constexpr Colour kInk = {38, 43, 51};
inline constexpr Colour kGrey = {105, 113, 125};
inline constexpr Colour kLightGrey = {222, 225, 230};
inline constexpr Colour kPaper = {255, 255, 255};

// "#0072b2".
std::string Hex(Colour colour);
// A colour of its own for each of the first eight indices, then the same again: those of Okabe and
// Ito, "Color Universal Design" (2008), which people with any kind of colour vision tell apart.
Colour SeriesColour(size_t index);
// `share` of `to` and the rest of `from`; share in [0, 1].
Colour Mix(Colour from, Colour to, double share);

struct Stroke {
  Colour colour = kInk;
  double width = 1;
  double opacity = 1;
  double dash = 0;  // length of dashes and of what is between them; 0: a whole line
};

enum class Anchor { kStart, kMiddle, kEnd };

struct TextStyle {
  double size = 12;  // of the font, as CSS means it
  Colour colour = kInk;
  Anchor anchor = Anchor::kStart;
  bool upwards = false;  // turned by a quarter, to be read from below
  bool bold = false;
};

class Canvas {
 public:
  virtual ~Canvas() = default;
  virtual double width() const = 0;
  virtual double height() const = 0;
  // Lines from each point to the next, round at ends and corners; one point is a dot.
  virtual void Line(std::span<const Point> points, const Stroke& stroke) = 0;
  virtual void Fill(const Rectangle& area, Colour colour, double opacity = 1) = 0;
  virtual void Disc(Point centre, double radius, Colour colour) = 0;
  // `at`: where the text's baseline begins, has its middle or ends.
  virtual void Text(Point at, std::string_view text, const TextStyle& style) = 0;
};

}  // namespace ingot::plot
