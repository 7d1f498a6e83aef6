// Base64, in which files travel in JSON.
#pragma once

#include <string>

namespace ingot::serve {

// Throws Error(kInvalidInput), with `what` in front, for anything but base64.
std::string Base64Decode(const std::string& text, const std::string& what);

}  // namespace ingot::serve
