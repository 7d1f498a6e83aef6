// Files that are part of the program.
#pragma once

#include <string_view>

namespace ingot::serve {

// The bytes of a file of serve/web; empty where
// there is none.
std::string_view EmbeddedFile(std::string_view name);

}  // namespace ingot::serve
