// Heat maps: see heat_map.h.
#include "ingot/plot/heat_map.h"

#include <algorithm>

#include "ingot/base/text.h"
#include "ingot/plot/stroke_font.h"

namespace ingot::plot {
namespace {

constexpr size_t kMostCounts = 24;
constexpr size_t kMostNames = 60;
constexpr size_t kLongestName = 18;
constexpr double kMapMargin = 16;
constexpr double kTop = 56;  // title and the name of the columns
constexpr Colour kFull = {0, 84, 140};

double CellSize(size_t n) {
  if (n <= kMostCounts) return std::clamp(900.0 / static_cast<double>(n), 38.0, 64.0);
  return n <= kMostNames ? 15 : std::max(2.0, 900.0 / static_cast<double>(n));
}

// At most kLongestName characters.
std::string Short(const std::string& name) {
  size_t characters = 0;
  for (size_t i = 0; i < name.size(); ++i) {
    if ((static_cast<unsigned char>(name[i]) & 0xC0) == 0x80) continue;
    if (++characters > kLongestName) return name.substr(0, i) + "..";
  }
  return name;
}

struct Layout {
  explicit Layout(const HeatMap& map) : n(map.names.size()), cell(CellSize(n)) {
    font = n <= kMostCounts ? 12 : 10;
    if (n <= kMostNames) {
      for (const std::string& name : map.names) {
        names = std::max(names, TextWidth(Short(name), font));
      }
    }
    turned = names > cell - 6;
    left = kMapMargin + 22 + names + 8;
    top = kTop + (n > kMostNames ? 0 : turned ? names + 10 : font + 10);
  }
  size_t n;
  double cell;
  double font;
  double names = 0;     // width of the longest
  bool turned = false;  // the names of the columns are written upwards
  double left;
  double top;
};

}  // namespace

Rectangle SizeOf(const HeatMap& map) {
  const Layout layout(map);
  const double side = layout.cell * static_cast<double>(layout.n);
  const double title = TextWidth(map.title, 16) + 2 * kMapMargin;
  return {0, 0, std::max(layout.left + side + kMapMargin, title), layout.top + side + kMapMargin};
}

void DrawHeatMap(const HeatMap& map, Canvas& canvas) {
  const Layout layout(map);
  const auto at = [&](size_t i) { return layout.cell * static_cast<double>(i); };
  const double middle = at(layout.n) / 2;
  canvas.Text({kMapMargin, kMapMargin + 12}, map.title, {.size = 15, .bold = true});
  const TextStyle title = {.size = 13, .colour = kGrey, .anchor = Anchor::kMiddle};
  canvas.Text({layout.left + middle, kTop - 8}, map.column_title, title);
  TextStyle upwards = title;
  upwards.upwards = true;
  canvas.Text({kMapMargin + 12, layout.top + middle}, map.row_title, upwards);
  for (size_t row = 0; row < layout.n; ++row) {
    const int64_t* counts = map.counts.data() + row * layout.n;
    int64_t sum = 0;
    for (size_t column = 0; column < layout.n; ++column) sum += counts[column];
    for (size_t column = 0; column < layout.n; ++column) {
      const double share =
          sum == 0 ? 0 : static_cast<double>(counts[column]) / static_cast<double>(sum);
      // What is seldom is what one looks for: it gets some colour at once.
      const double depth = counts[column] == 0 ? 0.03 : 0.08 + 0.92 * share;
      const Rectangle area = {layout.left + at(column), layout.top + at(row), layout.cell,
                              layout.cell};
      canvas.Fill(area, Mix(kPaper, kFull, depth));
      if (layout.n > kMostCounts || counts[column] == 0) continue;
      canvas.Text({area.x + layout.cell / 2, area.y + layout.cell / 2 + 4.5},
                  WithThousands(counts[column]),
                  {.size = 12, .colour = depth > 0.5 ? kPaper : kInk, .anchor = Anchor::kMiddle});
    }
  }
  if (layout.n > kMostNames) return;
  for (size_t i = 0; i < layout.n; ++i) {
    const std::string name = Short(map.names[i]);
    const double centre = at(i) + layout.cell / 2 + layout.font * 0.36;
    canvas.Text({layout.left - 8, layout.top + centre}, name,
                {.size = layout.font, .anchor = Anchor::kEnd});
    if (layout.turned) {
      canvas.Text({layout.left + centre, layout.top - 8}, name,
                  {.size = layout.font, .upwards = true});
    } else {
      canvas.Text({layout.left + at(i) + layout.cell / 2, layout.top - 8}, name,
                  {.size = layout.font, .anchor = Anchor::kMiddle});
    }
  }
}

}  // namespace ingot::plot
