// Tokens, by which the workers of a job know each other.
#pragma once

#include <string>

namespace ingot::cli {

// 128 random bits as text.
std::string RandomToken();

}  // namespace ingot::cli
