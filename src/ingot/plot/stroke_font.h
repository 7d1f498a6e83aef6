// A font drawn from strokes: the printable ASCII characters as lines and curves, so that pictures
// can carry text without a font file. Anything else is an empty box.
#pragma once

#include <string_view>
#include <vector>

#include "ingot/plot/canvas.h"

namespace ingot::plot {

// The advance of the whole text, in units of the drawing, at a font of `size`.
double TextWidth(std::string_view text, double size);

// The strokes of a line of text whose baseline begins at (0, 0), y downwards. A stroke of one point
// is a dot. `text` is UTF-8.
std::vector<std::vector<Point>> TextStrokes(std::string_view text, double size);

}  // namespace ingot::plot
