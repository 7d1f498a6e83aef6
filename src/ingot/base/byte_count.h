// Amounts of memory as people write them.
#pragma once

#include <cstdint>
#include <string>

namespace ingot {

// "512MiB", "2 GB", "1073741824": bytes; 0 for "". Throws Error(kInvalidInput).
uint64_t ParseBytes(const std::string& text);

}  // namespace ingot
