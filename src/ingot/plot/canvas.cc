// Colours: see canvas.h.
#include "ingot/plot/canvas.h"

#include <array>
#include <cmath>

#include <fmt/format.h>

namespace ingot::plot {

std::string Hex(Colour colour) {
  return fmt::format("#{:02x}{:02x}{:02x}", colour.red, colour.green, colour.blue);
}

Colour SeriesColour(size_t index) {
  // Blue first; black and yellow, which do badly as lines on white, are a grey and an ochre.
  static constexpr std::array<Colour, 8> kColours = {{{0, 114, 178},
                                                      {213, 94, 0},
                                                      {0, 158, 115},
                                                      {204, 121, 167},
                                                      {230, 159, 0},
                                                      {86, 180, 233},
                                                      {110, 110, 110},
                                                      {160, 130, 0}}};
  return kColours[index % kColours.size()];
}

Colour Mix(Colour from, Colour to, double share) {
  const auto mix = [share](uint8_t a, uint8_t b) {
    return static_cast<uint8_t>(std::lround(a + share * (static_cast<double>(b) - a)));
  };
  return {mix(from.red, to.red), mix(from.green, to.green), mix(from.blue, to.blue)};
}

}  // namespace ingot::plot
