// Tokens.
#include "ingot/cli/token.h"

#include <random>

#include <fmt/format.h>

namespace ingot::cli {

std::string RandomToken() {
  std::random_device device;
  std::string token;
  for (int i = 0; i < 4; ++i) token += fmt::format("{:08x}", device());
  return token;
}

}  // namespace ingot::cli
