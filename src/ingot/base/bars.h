// Horizontal bar charts as text.
#pragma once

#include <span>
#include <string>

namespace ingot {

struct Bar {
  std::string label;
  double value = 0;  // negative values and NaN have no bar
  std::string text;  // shown behind the bar; "" shows the value with three digits
};

struct BarStyle {
  int width = 60;         // columns of the longest bar
  double full_value = 0;  // the value of a bar of that width; 0: the largest of the values
  bool unicode = false;   // eighths of a block in place of '#'
};

// One line for each bar: "cat  ##########  0.71\n", labels and values aligned, the value of a bar
// right behind it.
std::string BarChart(std::span<const Bar> bars, const BarStyle& style = {});

// The columns that UTF-8 text takes, counting one for each character.
size_t DisplayWidth(const std::string& text);

}  // namespace ingot
