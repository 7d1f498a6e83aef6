// Axis: see axis.h.
#include "ingot/plot/axis.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "ingot/base/text.h"

namespace ingot::plot {
namespace {

constexpr double kSlack = 1e-9;  // of a step: a tick at the very end belongs to the axis

// The smallest of 1, 2, 5 times a power of ten that is at least `least`.
double RoundStep(double least) {
  const double power = std::pow(10.0, std::floor(std::log10(least)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= least * (1 - kSlack)) return factor * power;
  }
  return 10 * power;
}

// With as many digits as the step needs; thousands are set apart, millions named.
std::string Label(double value, double step, double largest) {
  if (value == 0) return "0";
  if (largest >= 1e9 || largest < 1e-3) return fmt::format("{:.3g}", value);
  if (largest >= 1e6) return fmt::format("{:g}M", std::round(value / step) * step / 1e6);
  const int digits = std::max(0, static_cast<int>(-std::floor(std::log10(step) + kSlack)));
  if (digits == 0) return WithThousands(std::llround(value));
  return fmt::format("{:.{}f}", value, digits);
}

void AddLinearTicks(Axis& axis, int most_ticks) {
  const double range = axis.high - axis.low;
  double step = RoundStep(range / most_ticks);
  const auto count = [&] {
    return std::floor(axis.high / step + kSlack) - std::ceil(axis.low / step - kSlack) + 1;
  };
  while (count() > most_ticks) step = RoundStep(step * 1.5);
  const double largest = std::max(std::fabs(axis.low), std::fabs(axis.high));
  const double first = std::ceil(axis.low / step - kSlack);
  for (int i = 0; i < static_cast<int>(count()); ++i) {
    const double value = (first + i) * step;
    axis.ticks.push_back({value, Label(value, step, largest)});
  }
}

void AddLogarithmicTicks(Axis& axis, int most_ticks) {
  const int first = static_cast<int>(std::floor(std::log10(axis.low) - kSlack));
  const int last = static_cast<int>(std::ceil(std::log10(axis.high) + kSlack));
  const double decades = std::log10(axis.high / axis.low);
  const int every = std::max(1, static_cast<int>(std::ceil(decades / most_ticks)));
  std::vector<double> factors = {1};
  if (decades * 3 <= most_ticks) factors = {1, 2, 5};
  for (int exponent = first; exponent <= last; ++exponent) {
    if ((exponent - first) % every != 0) continue;
    for (const double factor : factors) {
      const double value = factor * std::pow(10.0, exponent);
      if (value < axis.low * (1 - kSlack) || value > axis.high * (1 + kSlack)) continue;
      const bool plain = exponent >= -4 && exponent < 5;
      axis.ticks.push_back(
          {value, plain ? fmt::format("{:g}", value) : fmt::format("{:g}e{}", factor, exponent)});
    }
  }
}

}  // namespace

double Axis::Position(double value) const {
  if (!logarithmic) return (value - low) / (high - low);
  if (!(value > 0)) return std::numeric_limits<double>::quiet_NaN();
  return std::log(value / low) / std::log(high / low);
}

Axis MakeAxis(double low, double high, int most_ticks, bool logarithmic) {
  if (!std::isfinite(high - low)) {  // nothing to show, or more than numbers can hold
    low = 0;
    high = 1;
  }
  Axis axis;
  axis.low = low;
  axis.high = high;
  axis.logarithmic = logarithmic && low > 0;
  if (!(high > low)) {
    const double around = low == 0 ? 1 : std::fabs(low) / 2;
    axis.low = low - around;
    axis.high = high + around;
  }
  if (axis.logarithmic) AddLogarithmicTicks(axis, most_ticks);
  if (axis.ticks.size() < 2) {
    axis.ticks.clear();
    AddLinearTicks(axis, most_ticks);
  }
  return axis;
}

}  // namespace ingot::plot
