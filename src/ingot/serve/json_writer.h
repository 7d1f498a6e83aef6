// Appending JSON to text, without a tree.
#pragma once

#include <charconv>
#include <cmath>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

namespace ingot::serve {

void AppendJsonString(std::string_view text, std::string& out);

// Shortest digits that give the same number again; null for what JSON cannot say (NaN, infinities).
template <typename T>
void AppendJsonNumber(T value, std::string& out) {
  if constexpr (std::is_floating_point_v<T>) {
    if (!std::isfinite(value)) {
      out += "null";
      return;
    }
  }
  char text[32];
  const auto result = std::to_chars(text, text + sizeof text, value);
  out.append(text, static_cast<size_t>(result.ptr - text));
}

inline void AppendJsonInts(std::span<const int64_t> values, std::string& out) {
  out += '[';
  for (size_t i = 0; i < values.size(); ++i) {
    if (i > 0) out += ',';
    AppendJsonNumber(values[i], out);
  }
  out += ']';
}

}  // namespace ingot::serve
