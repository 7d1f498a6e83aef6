// Paths of the REST protocol, split: by the router and by who checks access, so that both see the
// same.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ingot::serve {

// Splits at '/', several of which are one, and decodes %41. Throws Error(kInvalidInput) for a
// broken escape.
std::vector<std::string> SplitPath(std::string_view path);

}  // namespace ingot::serve
