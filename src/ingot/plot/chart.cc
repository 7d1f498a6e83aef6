// Charts on a canvas: see chart.h.
#include "ingot/plot/chart.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "ingot/plot/stroke_font.h"

namespace ingot::plot {
namespace {

constexpr double kMargin = 14;
constexpr double kTickSize = 12;
constexpr double kTitleSize = 15;
constexpr double kLegendSize = 12.5;
constexpr double kLegendLine = 22;
constexpr double kLineWidth = 1.8;

// The extent of values, as they are seen.
struct Extent {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  void Add(double value) {
    if (!std::isfinite(value)) return;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  bool empty() const { return low > high; }
};

// Many points in one column of pixels: the first, the lowest, the highest and the last of them draw
// the same line.
std::vector<Point> Thin(const std::vector<Point>& points) {
  std::vector<Point> thin;
  for (size_t begin = 0; begin < points.size();) {
    size_t end = begin + 1;
    const double column = std::floor(points[begin].x);
    while (end < points.size() && std::floor(points[end].x) == column) ++end;
    const auto first = points.begin() + static_cast<std::ptrdiff_t>(begin);
    const auto last = points.begin() + static_cast<std::ptrdiff_t>(end);
    if (end - begin <= 4) {
      thin.insert(thin.end(), first, last);
    } else {
      auto [low, high] =
          std::minmax_element(first, last, [](Point a, Point b) { return a.y < b.y; });
      if (high < low) std::swap(low, high);
      for (const auto at : {first, low, high, last - 1}) thin.push_back(*at);
    }
    begin = end;
  }
  return thin;
}

class PanelDrawing {
 public:
  PanelDrawing(const Panel& panel, const Rectangle& area, Canvas& canvas)
      : panel_(panel), canvas_(canvas) {
    const int x_ticks = std::max(2, static_cast<int>(area.width / 110));
    const int y_ticks = std::max(2, static_cast<int>(area.height / 55));
    axes_ = AxesOf(panel, x_ticks, y_ticks);
    double labels = 0;
    for (const Tick& tick : axes_.y.ticks) {
      labels = std::max(labels, TextWidth(tick.label, kTickSize));
    }
    LayOutLegend(area.width - 2 * kMargin);
    const double top = area.y + kMargin + kTitleSize + 8 + legend_lines_ * kLegendLine;
    plot_ = {area.x + kMargin + labels + 10, top, 0, 0};
    plot_.width = area.right() - kMargin - 12 - plot_.x;
    plot_.height = area.bottom() - 42 - top;
    title_ = {area.x + kMargin, area.y + kMargin + kTitleSize - 2};
  }

  void Draw() {
    canvas_.Text(title_, panel_.title, {.size = kTitleSize, .bold = true});
    DrawAxes();
    DrawLegend();
    for (const Series& series : panel_.series) {
      if (!series.raw.empty()) DrawCurve(series, series.raw, 0.25, 1);
    }
    for (const Series& series : panel_.series) DrawCurve(series, series.points, 1, kLineWidth);
  }

 private:
  void DrawAxes() {
    const TextStyle label = {.size = kTickSize, .colour = kGrey, .anchor = Anchor::kEnd};
    for (const Tick& tick : axes_.y.ticks) {
      const double y = plot_.bottom() - plot_.height * axes_.y.Position(tick.value);
      DrawLine({plot_.x, y}, {plot_.right(), y}, kLightGrey);
      canvas_.Text({plot_.x - 8, y + kTickSize * 0.36}, tick.label, label);
    }
    TextStyle below = label;
    below.anchor = Anchor::kMiddle;
    for (const Tick& tick : axes_.x.ticks) {
      const double x = plot_.x + plot_.width * axes_.x.Position(tick.value);
      DrawLine({x, plot_.bottom()}, {x, plot_.bottom() + 4}, kGrey);
      canvas_.Text({x, plot_.bottom() + 18}, tick.label, below);
    }
    DrawLine({plot_.x, plot_.bottom()}, {plot_.right(), plot_.bottom()}, kGrey);
    canvas_.Text({plot_.x + plot_.width / 2, plot_.bottom() + 34}, panel_.x_title, below);
  }

  static double NameOffset(const Series& series) { return series.mark == Mark::kDot ? 16 : 34; }

  void LayOutLegend(double width) {
    double x = 0;
    double line = 0;
    for (const Series& series : panel_.series) {
      const double needs = NameOffset(series) + TextWidth(series.name, kLegendSize) + 22;
      if (x > 0 && x + needs > width) {
        x = 0;
        ++line;
      }
      entries_.push_back({x, line * kLegendLine});
      x += needs;
    }
    legend_lines_ = line + 1;
  }

  void DrawLegend() {
    for (size_t i = 0; i < entries_.size(); ++i) {
      const Series& series = panel_.series[i];
      const double x = title_.x + entries_[i].x;
      const double y = title_.y + 20 + entries_[i].y;
      const Colour colour = SeriesColour(series.colour);
      if (series.mark == Mark::kDot) {
        canvas_.Disc({x + 4, y - 4}, 4, colour);
      } else {
        const Point ends[] = {{x, y - 4}, {x + 26, y - 4}};
        canvas_.Line(ends, StrokeOf(series, 1, kLineWidth + 0.4));
      }
      canvas_.Text({x + NameOffset(series), y}, series.name, {.size = kLegendSize});
    }
  }

  void DrawCurve(const Series& series, const std::vector<Point>& values, double opacity,
                 double width) {
    std::vector<Point> line;
    const auto flush = [&] {
      if (!line.empty()) canvas_.Line(Thin(line), StrokeOf(series, opacity, width));
      line.clear();
    };
    for (const Point& value : values) {
      const double x = axes_.x.Position(value.x);
      const double y = axes_.y.Position(value.y);
      if (!std::isfinite(y) || !std::isfinite(x)) {
        flush();
        continue;
      }
      const Point at = {plot_.x + plot_.width * x, plot_.bottom() - plot_.height * y};
      if (series.mark == Mark::kDot) {
        canvas_.Disc(at, 4, SeriesColour(series.colour));
      } else {
        line.push_back(at);
      }
    }
    flush();
  }

  Stroke StrokeOf(const Series& series, double opacity, double width) const {
    return {.colour = SeriesColour(series.colour),
            .width = width,
            .opacity = opacity,
            .dash = series.mark == Mark::kDashed ? 5.0 : 0.0};
  }

  void DrawLine(Point from, Point to, Colour colour) {
    const Point ends[] = {from, to};
    canvas_.Line(ends, {.colour = colour, .width = 1});
  }

  const Panel& panel_;
  Canvas& canvas_;
  PanelAxes axes_;
  Rectangle plot_;
  Point title_;
  std::vector<Point> entries_;
  double legend_lines_ = 1;
};

}  // namespace

PanelAxes AxesOf(const Panel& panel, int most_x_ticks, int most_y_ticks) {
  Extent x, y;
  for (const Series& series : panel.series) {
    for (const auto* points : {&series.points, &series.raw}) {
      for (const Point& point : *points) {
        if (!std::isfinite(point.y) || (panel.logarithmic && !(point.y > 0))) continue;
        x.Add(point.x);
        y.Add(point.y);
      }
    }
  }
  if (x.empty()) x = {0, 1};
  if (y.empty()) y = {0, 1};
  // What begins near 0 is shown from 0 on: the distance to it says something.
  if (x.low > 0 && x.low < 0.25 * x.high) x.low = 0;
  if (!panel.logarithmic && y.low > 0 && y.low < 0.25 * y.high) y.low = 0;
  if (panel.logarithmic) {
    const double margin = std::pow(y.high / y.low, 0.04);
    y = {y.low / margin, y.high * margin};
  } else {
    const double margin = 0.04 * (y.high - y.low);
    y = {y.low == 0 ? 0 : y.low - margin, y.high + margin};
  }
  return {MakeAxis(x.low, x.high, most_x_ticks),
          MakeAxis(y.low, y.high, most_y_ticks, panel.logarithmic)};
}

std::vector<Point> Smooth(const std::vector<Point>& points, double w) {
  std::vector<Point> smooth = points;
  double sum = 0;
  double weight = 0;
  for (Point& point : smooth) {
    if (!std::isfinite(point.y)) continue;
    sum = w * sum + point.y;
    weight = w * weight + 1;
    point.y = sum / weight;
  }
  return smooth;
}

void DrawPanels(const std::vector<Panel>& panels, const Rectangle& area, Canvas& canvas) {
  const double height = area.height / static_cast<double>(panels.size());
  for (size_t i = 0; i < panels.size(); ++i) {
    const Rectangle part = {area.x, area.y + height * static_cast<double>(i), area.width, height};
    PanelDrawing(panels[i], part, canvas).Draw();
  }
}

}  // namespace ingot::plot
