// SourceKind: a source of data by the name that a job gives it: `data.source: NAME` or
// `data.source: {NAME: {options}}`.
//
// Each kind stands in the file of its source and is listed in source_kinds.cc.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ingot/base/config.h"
#include "ingot/base/options.h"
#include "ingot/data/picture.h"
#include "ingot/data/selection.h"
#include "ingot/data/source.h"

namespace ingot::data {

// What a source needs to know to find its files.
struct OpenContext {
  // Relative names in a job's source are relative to this; "" is the working directory.
  std::string folder;
  // Where the MNIST files are when the job does not say; called only then. Null: AcquireMnist with
  // what the environment says (mnist_download.h), which may download them.
  std::function<std::string()> find_mnist;

  // A name of the job as a path: under `folder` where it is relative. "" stays "".
  std::string Resolve(const std::string& path) const;
};

struct OpenedSource {
  std::shared_ptr<const Source> train;
  std::shared_ptr<const Source> test;    // null: none
  std::vector<std::string> class_names;  // by class number; empty where the data do not name them
  // What a model needs to know of its data when they are not at hand; stored with the model.
  std::map<std::string, std::string> stored;
  // What is wrong with each record that was left out, as the job allowed: "cats/3.jpg: damaged
  // ...".
  std::vector<std::string> skipped;
  // Where `train` and `test` are not complete before it is known which records of `train` are
  // trained on: takes what depends on them (means, vocabularies) from those. Returns more to be
  // stored.
  std::function<std::map<std::string, std::string>(const Selection& training)> fit = nullptr;
};

struct SourceKind {
  std::string name;
  std::string summary;
  std::function<std::vector<OptionHelp>()> help;
  // Reads the options strictly and opens the files.
  std::function<OpenedSource(const ConfigNode& options, const OpenContext& context)> open;
  // Of sources of pictures: how these become samples. Null for others.
  std::function<PictureOptions(const ConfigNode& options)> pictures = nullptr;
};

// A kind from the table of its options (which must live as long as the program) and the function
// that opens it.
template <typename Options>
SourceKind DefineSource(const OptionTable<Options>& table,
                        OpenedSource (*open)(const Options&, const OpenContext&)) {
  return {table.name(), table.summary(), [&table] { return table.Help(table.name()); },
          [&table, open](const ConfigNode& node, const OpenContext& context) {
            return open(table.Read(node), context);
          }};
}

// The same for a source whose options derive from PictureOptions.
template <typename Options>
SourceKind DefinePictureSource(const OptionTable<Options>& table,
                               OpenedSource (*open)(const Options&, const OpenContext&)) {
  SourceKind kind = DefineSource(table, open);
  kind.pictures = [&table](const ConfigNode& node) -> PictureOptions { return table.Read(node); };
  return kind;
}

// All of them.
const std::vector<SourceKind>& SourceKinds();

// Opens the source that a job names. Throws Error at the place of the fault in the job, except for
// what is wrong inside a file, which says so itself.
OpenedSource OpenNamedSource(const ConfigNode& node, const OpenContext& context);

// What makes samples of pictures as the source that a job names does; none for other sources. It
// may be without a size: see PictureReader::SetSize.
std::optional<PictureReader> PictureReaderOf(const ConfigNode& node);

// One function for each file of a source.
SourceKind MnistSourceKind();
SourceKind IdxSourceKind();
SourceKind CsvSourceKind();
SourceKind ImageFolderSourceKind();
SourceKind NpySourceKind();
SourceKind NpzSourceKind();
SourceKind TarSourceKind();
SourceKind SyntheticSourceKind();
SourceKind TokensSourceKind();
SourceKind TextSourceKind();

}  // namespace ingot::data
