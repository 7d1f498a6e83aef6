// Named things with options in a job file: `- flatten`, `- dense: 64`, `optimizer: {adam: {...}}`.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "ingot/base/config.h"
#include "ingot/base/error.h"

namespace ingot {

struct NamedNode {
  std::string name;
  ConfigNode options;  // null where there are none
};

// Reads a bare name or a map of one entry; `what` says what it names ("a layer"). Throws
// Error(kInvalidInput) at the node's place.
NamedNode ReadNamed(const ConfigNode& node, std::string_view what);

// Throws Error(kInvalidInput) at the node's place: "unknown layer 'dens'", with the nearest name.
[[noreturn]] void FailUnknownName(const ConfigNode& node, std::string_view what,
                                  const std::string& name, std::span<const std::string> names);

// The error with the node's place before its message, unless it begins with a place of that file,
// or a program made the node.
Error AtNode(const ConfigNode& node, const Error& error);

}  // namespace ingot
