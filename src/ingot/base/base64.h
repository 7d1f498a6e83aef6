// Base64, in which bytes travel in JSON.
#pragma once

#include <string>

namespace ingot {

std::string Base64Encode(const std::string& bytes);

// Throws Error(kInvalidInput), with `what` in front, for anything but base64.
std::string Base64Decode(const std::string& text, const std::string& what);

}  // namespace ingot
