// Charts of curves: one panel below the other, each with its axes and legend, drawn on a canvas or
// as text. Drawing is a function of the chart alone.
#pragma once

#include <string>
#include <vector>

#include "ingot/plot/axis.h"
#include "ingot/plot/canvas.h"

namespace ingot::plot {

enum class Mark {
  kLine,
  kDashed,
  kDot,  // a dot at each point, without lines: a single measurement
};

struct Series {
  std::string name;   // in the legend
  size_t colour = 0;  // SeriesColour
  Mark mark = Mark::kLine;
  std::vector<Point> points;  // x ascending; a y that is NaN breaks the line
  // The values before smoothing, drawn faintly behind; may be empty.
  std::vector<Point> raw;
};

struct Panel {
  std::string title;
  std::string x_title;
  bool logarithmic = false;  // the y axis
  std::vector<Series> series;
};

// What a panel's axes reach over: all finite points, a little more in y. Without any: [0, 1].
struct PanelAxes {
  Axis x;
  Axis y;
};
PanelAxes AxesOf(const Panel& panel, int most_x_ticks, int most_y_ticks);

// Exponential smoothing with the bias of its beginning removed, as TensorBoard does it:
//   s_i = (sum over j <= i of w^(i - j) y_j) / (sum over j <= i of w^(i - j)), w in [0, 1)
// NaN is passed over.
std::vector<Point> Smooth(const std::vector<Point>& points, double w);

// Panels below each other in a drawing of `width` units; `height` is that of one panel.
void DrawPanels(const std::vector<Panel>& panels, const Rectangle& area, Canvas& canvas);

struct TextChartStyle {
  int columns = 80;      // of the whole, axis included
  int rows = 16;         // of the plot itself
  bool colours = false;  // ANSI colours; else several curves are told apart by their marks
};

// UTF-8, lines of at most that many columns. One curve (or several in colour) is drawn in Braille
// dots, 2 x 4 to a character; several without colours each by a mark of its own.
std::string TextChart(const Panel& panel, const TextChartStyle& style = {});

}  // namespace ingot::plot
