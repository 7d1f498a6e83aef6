// Text bar charts, measured in display columns.
#include "ingot/base/bars.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/core.h>

namespace ingot {
namespace {

// U+258F (an eighth of a block) to U+2588 (a whole one).
constexpr std::array<const char*, 9> kEighths = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"};

// A bar of `fraction` (0 to 1) of `width` columns; anything above 0 shows at least a trace.
std::string DrawBar(double fraction, int width, bool unicode) {
  if (!(fraction > 0)) return "";
  const int parts = unicode ? 8 : 1;
  const int whole =
      std::max(1, static_cast<int>(std::lround(std::min(fraction, 1.0) * width * parts)));
  std::string bar;
  for (int i = 0; i < whole / parts; ++i) bar += unicode ? kEighths[8] : "#";
  if (unicode) bar += kEighths[static_cast<size_t>(whole % parts)];
  return bar;
}

}  // namespace

size_t DisplayWidth(const std::string& text) {
  size_t width = 0;
  for (const char c : text) width += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  return width;
}

std::string BarChart(std::span<const Bar> bars, const BarStyle& style) {
  size_t label_width = 0;
  double full = style.full_value;
  for (const Bar& bar : bars) {
    label_width = std::max(label_width, DisplayWidth(bar.label));
    if (style.full_value <= 0 && std::isfinite(bar.value)) full = std::max(full, bar.value);
  }
  std::string chart;
  for (const Bar& bar : bars) {
    chart += bar.label + std::string(label_width - DisplayWidth(bar.label) + 2, ' ');
    const std::string drawn = full > 0 ? DrawBar(bar.value / full, style.width, style.unicode) : "";
    chart += drawn;
    if (!drawn.empty()) chart += "  ";
    chart += (bar.text.empty() ? fmt::format("{:.3g}", bar.value) : bar.text) + "\n";
  }
  return chart;
}

}  // namespace ingot
