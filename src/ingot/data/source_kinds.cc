// The list of the sources by name, and opening the one that a job names.
#include <filesystem>

#include "ingot/base/error.h"
#include "ingot/base/named_node.h"
#include "ingot/data/source_kind.h"

namespace ingot::data {

const std::vector<SourceKind>& SourceKinds() {
  static const std::vector<SourceKind> kinds = {
      MnistSourceKind(),  IdxSourceKind(),  CsvSourceKind(), ImageFolderSourceKind(),
      NpySourceKind(),    NpzSourceKind(),  TarSourceKind(), SyntheticSourceKind(),
      TokensSourceKind(), TextSourceKind(),
  };
  return kinds;
}

std::string OpenContext::Resolve(const std::string& path) const {
  if (folder.empty() || path.empty() || std::filesystem::path(path).is_absolute()) return path;
  return (std::filesystem::path(folder) / path).string();
}

OpenedSource OpenNamedSource(const ConfigNode& node, const OpenContext& context) {
  const NamedNode named = ReadNamed(node, "a source of data");
  std::vector<std::string> names;
  for (const SourceKind& kind : SourceKinds()) {
    if (kind.name == named.name) {
      try {
        return kind.open(named.options, context);
      } catch (const Error& error) {
        // What is wrong inside a file says so itself.
        const bool inside = error.code() == ErrorCode::kCorrupt || error.code() == ErrorCode::kIo;
        throw inside ? error : AtNode(node, error);
      }
    }
    names.push_back(kind.name);
  }
  FailUnknownName(node, "source", named.name, names);
}

std::optional<PictureReader> PictureReaderOf(const ConfigNode& node) {
  const NamedNode named = ReadNamed(node, "a source of data");
  for (const SourceKind& kind : SourceKinds()) {
    if (kind.name == named.name && kind.pictures)
      return PictureReader(kind.pictures(named.options));
  }
  return std::nullopt;
}

}  // namespace ingot::data
