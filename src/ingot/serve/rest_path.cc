// Splitting and decoding of paths.
#include "ingot/serve/rest_path.h"

#include <charconv>

#include "ingot/base/error.h"

namespace ingot::serve {

std::vector<std::string> SplitPath(std::string_view path) {
  std::vector<std::string> parts;
  std::string part;
  const auto finish = [&] {
    if (!part.empty()) parts.push_back(std::move(part));
    part.clear();
  };
  for (size_t i = 0; i < path.size(); ++i) {
    if (path[i] == '/') {
      finish();
    } else if (path[i] == '%') {
      unsigned value = 0;
      const char* digits = path.data() + i + 1;
      if (i + 2 >= path.size() ||
          std::from_chars(digits, digits + 2, value, 16).ptr != digits + 2) {
        throw Error(ErrorCode::kInvalidInput, "the path has a '%' without two hexadecimal digits");
      }
      part += static_cast<char>(value);
      i += 2;
    } else {
      part += path[i];
    }
  }
  finish();
  return parts;
}

}  // namespace ingot::serve
