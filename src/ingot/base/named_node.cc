// Reading names with options.
#include "ingot/base/named_node.h"

#include "ingot/base/text.h"

namespace ingot {

NamedNode ReadNamed(const ConfigNode& node, std::string_view what) {
  if (node.is_scalar()) return {node.scalar(), ConfigNode()};
  const bool has_short_form = node.Find(ConfigNode::kShortForm) != nullptr;
  if (node.is_map() && node.entries().size() == 1) {
    // `flatten`, and its layer's name beside it, which has been taken out.
    if (has_short_form) return ReadNamed(node.entries()[0].second, what);
    return {node.entries()[0].first, node.entries()[0].second};
  }
  const std::string seen = node.is_null()   ? "nothing"
                           : node.is_list() ? "a list"
                           : has_short_form
                               ? node.Describe()
                               : "a map of " + std::to_string(node.entries().size()) + " entries";
  node.Fail("expected the name of " + std::string(what) + ", got " + seen,
            "write NAME, or NAME: {option: value} for one with options");
}

void FailUnknownName(const ConfigNode& node, std::string_view what, const std::string& name,
                     std::span<const std::string> names) {
  node.Fail("unknown " + std::string(what) + " '" + name + "'", DidYouMean(name, names));
}

Error AtNode(const ConfigNode& node, const Error& error) {
  if (!node.file().empty() && error.message().starts_with(node.file())) return error;
  if (!node.has_place()) return error;
  return error.In(node.Where());
}

}  // namespace ingot
