// Drawings as files: see picture.h.
#include "ingot/plot/picture.h"

#include <vector>

#include "ingot/base/error.h"
#include "ingot/formats/image.h"
#include "ingot/plot/raster_canvas.h"
#include "ingot/plot/svg_canvas.h"

namespace ingot::plot {
namespace {

constexpr double kPixelsToAUnit = 2;

}  // namespace

void CheckPictureName(const std::string& option, const std::string& path) {
  if (path.ends_with(".svg") || path.ends_with(".png")) return;
  throw Error(ErrorCode::kInvalidInput,
              option + ": '" + path + "' is neither an .svg nor a .png file",
              "the end of the name says what is drawn: curves.svg or curves.png");
}

std::string DrawFile(const std::string& path, double width, double height,
                     const std::function<void(Canvas&)>& draw) {
  CheckPictureName("the picture", path);
  if (path.ends_with(".svg")) {
    SvgCanvas canvas(width, height);
    draw(canvas);
    return canvas.Document();
  }
  RasterCanvas canvas(width, height, kPixelsToAUnit);
  draw(canvas);
  const std::vector<std::byte> bytes = formats::EncodePng(canvas.Pixels());
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace ingot::plot
