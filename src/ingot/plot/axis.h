// Axis: a range of values with round ticks, linear or logarithmic.
#pragma once

#include <string>
#include <vector>

namespace ingot::plot {

struct Tick {
  double value = 0;
  std::string label;
};

struct Axis {
  double low = 0;
  double high = 1;
  bool logarithmic = false;
  std::vector<Tick> ticks;  // within [low, high], ascending

  // 0 at low, 1 at high; NaN for a value that a logarithmic axis cannot show.
  double Position(double value) const;
};

// At most `most_ticks` (2 or more) ticks at multiples of 1, 2 or 5 times a power of ten; on a
// logarithmic axis at powers of ten and, where there are few, at 2 and 5 times those. `low` and
// `high` are ordered; where they are equal, the axis is widened around them. A logarithmic axis
// needs low > 0, else it becomes a linear one.
Axis MakeAxis(double low, double high, int most_ticks, bool logarithmic = false);

}  // namespace ingot::plot
