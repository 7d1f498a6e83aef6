// Charts as text: see chart.h.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include <fmt/format.h>

#include "ingot/base/bars.h"
#include "ingot/plot/chart.h"

namespace ingot::plot {
namespace {

constexpr std::array<const char*, 6> kMarks = {"o", "x", "+", "*", "#", "@"};
// The bits of the dots of a Braille character (U+2800 onwards), [row][column].
constexpr uint8_t kDots[4][2] = {{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};
constexpr std::array<int, 6> kAnsiColours = {34, 31, 32, 35, 33, 36};

struct Cell {
  uint8_t dots = 0;
  int series = -1;  // the last that drew here
};

class Grid {
 public:
  Grid(int columns, int rows, const PanelAxes& axes)
      : columns_(columns), rows_(rows), axes_(axes), cells_(static_cast<size_t>(columns * rows)) {}

  void Draw(const Series& series, int number) {
    bool has_last = false;
    double last_x = 0, last_y = 0;
    for (const Point& point : series.points) {
      const double x = axes_.x.Position(point.x) * (2 * columns_ - 1);
      const double y = (1 - axes_.y.Position(point.y)) * (4 * rows_ - 1);
      if (!std::isfinite(x) || !std::isfinite(y)) {
        has_last = false;
        continue;
      }
      const bool joined = has_last && series.mark != Mark::kDot;
      const double length = joined ? std::max(std::fabs(x - last_x), std::fabs(y - last_y)) : 0;
      const int steps = std::max(1, static_cast<int>(std::ceil(length)));
      for (int i = joined ? 1 : steps; i <= steps; ++i) {
        const double t = static_cast<double>(i) / steps;
        Dot(joined ? last_x + t * (x - last_x) : x, joined ? last_y + t * (y - last_y) : y, number);
      }
      has_last = true;
      last_x = x;
      last_y = y;
    }
  }

  std::string Row(int row, bool colours, bool marks) const {
    std::string text;
    for (int column = 0; column < columns_; ++column) {
      const Cell& cell = cells_[static_cast<size_t>(row * columns_ + column)];
      if (cell.series < 0) {
        text += " ";
        continue;
      }
      const auto series = static_cast<size_t>(cell.series);
      std::string drawn;
      if (marks) {
        drawn = kMarks[series % kMarks.size()];
      } else {
        drawn = {'\xE2', static_cast<char>(0xA0 | cell.dots >> 6),
                 static_cast<char>(0x80 | (cell.dots & 0x3F))};
      }
      text += colours ? fmt::format("\x1b[{}m{}\x1b[0m", kAnsiColours[series % kAnsiColours.size()],
                                    drawn)
                      : drawn;
    }
    if (!colours) text.erase(text.find_last_not_of(' ') + 1);
    return text;
  }

 private:
  void Dot(double x, double y, int number) {
    const int dot_x = std::clamp(static_cast<int>(std::lround(x)), 0, 2 * columns_ - 1);
    const int dot_y = std::clamp(static_cast<int>(std::lround(y)), 0, 4 * rows_ - 1);
    Cell& cell = cells_[static_cast<size_t>(dot_y / 4 * columns_ + dot_x / 2)];
    cell.dots |= kDots[dot_y % 4][dot_x % 2];
    cell.series = number;
  }

  int columns_;
  int rows_;
  const PanelAxes& axes_;
  std::vector<Cell> cells_;
};

std::string Legend(const Panel& panel, bool colours, bool marks) {
  std::string text;
  for (size_t i = 0; i < panel.series.size(); ++i) {
    const std::string mark = marks ? kMarks[i % kMarks.size()] : "\u2015\u2015";
    text += "  ";
    text += colours ? fmt::format("\x1b[{}m{}\x1b[0m", kAnsiColours[i % kAnsiColours.size()], mark)
                    : mark;
    text += " " + panel.series[i].name;
  }
  return text;
}

// Labels below the axis, each in the middle below its tick, as far as they do not touch.
std::string TickLine(const Axis& axis, size_t margin, int columns) {
  std::string line(margin, ' ');
  for (const Tick& tick : axis.ticks) {
    const auto at = static_cast<int>(std::lround(axis.Position(tick.value) * (columns - 1)));
    const int begin = std::min(at - static_cast<int>(tick.label.size()) / 2,
                               columns - static_cast<int>(tick.label.size()));
    const int wanted = static_cast<int>(margin) + std::max(begin, 0);
    const int free = static_cast<int>(line.size()) + (line.size() > margin ? 1 : 0);
    if (wanted < free) continue;
    line += std::string(static_cast<size_t>(wanted) - line.size(), ' ') + tick.label;
  }
  return line;
}

}  // namespace

std::string TextChart(const Panel& panel, const TextChartStyle& style) {
  const PanelAxes axes =
      AxesOf(panel, std::max(2, style.columns / 14), std::max(2, style.rows / 3));
  size_t labels = 0;
  for (const Tick& tick : axes.y.ticks) labels = std::max(labels, tick.label.size());
  const size_t margin = labels + 3;
  const int columns = std::max(8, style.columns - static_cast<int>(margin));
  const int rows = std::max(3, style.rows);
  Grid grid(columns, rows, axes);
  for (size_t i = 0; i < panel.series.size(); ++i) grid.Draw(panel.series[i], static_cast<int>(i));
  const bool marks = panel.series.size() > 1 && !style.colours;
  std::string text = panel.title + Legend(panel, style.colours, marks) + "\n";
  for (int row = 0; row < rows; ++row) {
    std::string label;
    for (const Tick& tick : axes.y.ticks) {
      const double y = (1 - axes.y.Position(tick.value)) * (4 * rows - 1);
      if (static_cast<int>(std::lround(y)) / 4 == row) label = tick.label;
    }
    text += fmt::format(" {:>{}} {}", label, labels, label.empty() ? "\u2502" : "\u2524");
    text += grid.Row(row, style.colours, marks) + "\n";
  }
  text += std::string(labels + 2, ' ') + "\u2514";
  for (int i = 0; i < columns; ++i) text += "\u2500";
  text += "\n" + TickLine(axes.x, margin, columns) + "\n";
  const size_t title =
      margin + (static_cast<size_t>(columns) -
                std::min<size_t>(static_cast<size_t>(columns), panel.x_title.size())) /
                   2;
  return text + std::string(title, ' ') + panel.x_title + "\n";
}

}  // namespace ingot::plot
