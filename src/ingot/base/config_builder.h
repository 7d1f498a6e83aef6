// What the parts of the YAML reader share: changing nodes in ways that their public interface does
// not offer, and the messages' form. Included by config*.cc only.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "ingot/base/config.h"

namespace ingot {

struct ConfigBuilder {
  static constexpr size_t kMaxDepth = 64;
  static constexpr size_t kMaxKeyBytes = 256;  // YAML allows 1024 for a key that is not explicit
  static constexpr size_t kMaxPathBytes = 1024;

  // Gives `node` and everything below it the paths that follow from `path`, or everything but what
  // has a place. Throws Error(kInvalidInput) where one becomes too long.
  enum class Paths { kAll, kOfNoPlace };
  static void SetPaths(ConfigNode& node, const std::string& path, Paths which = Paths::kAll);
  // Marks `node` and everything below it as standing in `file` at no line.
  static void SetFile(ConfigNode& node, const std::string& file);

  static void MakeEmptyMap(ConfigNode& node) { node.kind_ = ConfigNode::Kind::kMap; }
  // Makes a scalar or list a map that holds it as a short form, at the same place.
  static void MakeShortFormMap(ConfigNode& node);
  static std::vector<ConfigNode>& Items(ConfigNode& node) { return node.items_; }
  static std::vector<ConfigNode::Entry>& Entries(ConfigNode& node) { return node.entries_; }

  // Throws Error(kInvalidInput) "file:line:column: message".
  [[noreturn]] static void FailAt(const std::string& file, int line, int column,
                                  const std::string& message, const std::string& hint = "");
  // The text in quotes, shortened where it is long, without control characters.
  static std::string InQuotes(const std::string& text);

  // Builds the tree from yaml-cpp's events (config_parse.cc).
  class Handler;
};

}  // namespace ingot
