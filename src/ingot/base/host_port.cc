// Hosts and ports.
#include "ingot/base/host_port.h"

#include "ingot/base/text.h"

namespace ingot {

HostPort SplitHostPort(std::string_view text) {
  size_t end = text.rfind(':');
  std::string_view host = text.substr(0, end);
  const size_t bracket = text.find(']');
  if (text.starts_with('[') && bracket != std::string_view::npos) {
    end = bracket + 1 < text.size() ? bracket + 1 : std::string_view::npos;
    host = text.substr(1, bracket - 1);
    // "[::1]x" is no address: all of it is taken for a name, which nobody finds.
    if (end != std::string_view::npos && text[end] != ':') return {std::string(text), std::nullopt};
  }
  if (end == std::string_view::npos) return {std::string(host), std::nullopt};
  return {std::string(host), std::string(text.substr(end + 1))};
}

std::optional<int> ParsePort(std::string_view text) {
  const std::optional<int> port = ParseWhole<int>(text);
  return port && *port > 0 && *port < 65536 ? port : std::nullopt;
}

}  // namespace ingot
