// Addresses as people write them: a host, and what stands behind its colon.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace ingot {

struct HostPort {
  std::string host;                 // an IPv6 address without its brackets
  std::optional<std::string> port;  // as written; nullopt without a colon
};

// "10.0.0.1:8000", "name", "[::1]:8000", "[::1]". What stands between brackets is never looked
// into; without them the last colon counts.
HostPort SplitHostPort(std::string_view text);

// A port of TCP, 1 to 65535; nullopt where the whole text is none.
std::optional<int> ParsePort(std::string_view text);

}  // namespace ingot
