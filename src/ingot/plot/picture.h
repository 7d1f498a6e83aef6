// Drawings as files: SVG or PNG, by the name.
#pragma once

#include <functional>
#include <string>

#include "ingot/plot/canvas.h"

namespace ingot::plot {

// The bytes of the file that `path` names: .svg or .png (two pixels to a unit). Throws
// Error(kInvalidInput) for another name or a size that cannot be drawn.
std::string DrawFile(const std::string& path, double width, double height,
                     const std::function<void(Canvas&)>& draw);

// Throws Error(kInvalidInput) unless the name ends in .svg or .png; `option` names who gave it.
void CheckPictureName(const std::string& option, const std::string& path);

}  // namespace ingot::plot
