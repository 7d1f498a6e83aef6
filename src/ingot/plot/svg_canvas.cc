// SvgCanvas: see svg_canvas.h.
#include "ingot/plot/svg_canvas.h"

#include <cmath>

#include <fmt/format.h>

namespace ingot::plot {
namespace {

// Hundredths of a pixel are enough, and keep the file small.
std::string Coordinate(double value) {
  std::string text = fmt::format("{:.2f}", value);
  while (text.back() == '0') text.pop_back();
  if (text.back() == '.') text.pop_back();
  return text == "-0" ? "0" : text;
}

std::string Escape(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '&') {
      escaped += "&amp;";
    } else if (c == '<') {
      escaped += "&lt;";
    } else if (c == '>') {
      escaped += "&gt;";
    } else if (static_cast<unsigned char>(c) < ' ') {
      escaped += ' ';  // control characters are not allowed in XML
    } else {
      escaped += c;
    }
  }
  return escaped;
}

std::string Opacity(const char* name, double value) {
  return value >= 1 ? "" : fmt::format(" {}=\"{}\"", name, Coordinate(value));
}

}  // namespace

SvgCanvas::SvgCanvas(double width, double height) : width_(width), height_(height) {}

void SvgCanvas::Line(std::span<const Point> points, const Stroke& stroke) {
  if (points.empty()) return;
  if (points.size() == 1) return Disc(points[0], stroke.width / 2, stroke.colour);
  std::string path;
  for (const Point& point : points) {
    path +=
        fmt::format("{}{} {}", path.empty() ? "M" : "L", Coordinate(point.x), Coordinate(point.y));
  }
  body_ += fmt::format(
      "<path d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{}\" stroke-linecap=\"round\" "
      "stroke-linejoin=\"round\"{}{}/>\n",
      path, Hex(stroke.colour), Coordinate(stroke.width), Opacity("stroke-opacity", stroke.opacity),
      stroke.dash > 0 ? fmt::format(" stroke-dasharray=\"{}\"", Coordinate(stroke.dash)) : "");
}

void SvgCanvas::Fill(const Rectangle& area, Colour colour, double opacity) {
  body_ += fmt::format("<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{}\"{}/>\n",
                       Coordinate(area.x), Coordinate(area.y), Coordinate(area.width),
                       Coordinate(area.height), Hex(colour), Opacity("fill-opacity", opacity));
}

void SvgCanvas::Disc(Point centre, double radius, Colour colour) {
  body_ += fmt::format("<circle cx=\"{}\" cy=\"{}\" r=\"{}\" fill=\"{}\"/>\n", Coordinate(centre.x),
                       Coordinate(centre.y), Coordinate(radius), Hex(colour));
}

void SvgCanvas::Text(Point at, std::string_view text, const TextStyle& style) {
  constexpr const char* kAnchors[] = {"start", "middle", "end"};
  body_ += fmt::format(
      "<text x=\"{0}\" y=\"{1}\" font-size=\"{2}\" fill=\"{3}\" text-anchor=\"{4}\"{5}{6}>{7}"
      "</text>\n",
      Coordinate(at.x), Coordinate(at.y), Coordinate(style.size), Hex(style.colour),
      kAnchors[static_cast<size_t>(style.anchor)], style.bold ? " font-weight=\"bold\"" : "",
      style.upwards
          ? fmt::format(" transform=\"rotate(-90 {} {})\"", Coordinate(at.x), Coordinate(at.y))
          : "",
      Escape(text));
}

std::string SvgCanvas::Document() const {
  return fmt::format(
             "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 "
             "{0} {1}\" font-family=\"Helvetica, Arial, sans-serif\">\n"
             "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
             Coordinate(width_), Coordinate(height_)) +
         body_ + "</svg>\n";
}

}  // namespace ingot::plot
