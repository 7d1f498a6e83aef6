// Heat maps: a matrix of counts as a picture, such as a confusion matrix.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ingot/plot/canvas.h"

namespace ingot::plot {

struct HeatMap {
  std::string title;
  std::string row_title;           // what a row is: "label"
  std::string column_title;        // "predicted"
  std::vector<std::string> names;  // of rows and columns alike, n of them
  std::vector<int64_t> counts;     // [n, n], row-major, none negative
};

// Units that a drawing of it needs; both sides are alike but for names and titles.
Rectangle SizeOf(const HeatMap& map);

// A cell is the darker, the larger its share of its row. Up to 24 rows show their counts, up to 60
// their names (those that are long are cut off).
void DrawHeatMap(const HeatMap& map, Canvas& canvas);

}  // namespace ingot::plot
