// SourceKind: a source of data by the name that a job gives it: `data.source: NAME` or
// `data.source: {NAME: {options}}`.
//
// Each kind stands in the file of its source and is listed in source_kinds.cc.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ingot/base/config.h"
#include "ingot/base/options.h"
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
};

struct SourceKind {
  std::string name;
  std::string summary;
  std::function<std::vector<OptionHelp>()> help;
  // Reads the options strictly and opens the files.
  std::function<OpenedSource(const ConfigNode& options, const OpenContext& context)> open;
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

// All of them.
const std::vector<SourceKind>& SourceKinds();

// Opens the source that a job names. Throws Error at the place of the fault in the job, except for
// what is wrong inside a file, which says so itself.
OpenedSource OpenNamedSource(const ConfigNode& node, const OpenContext& context);

// One function for each file of a source.
SourceKind MnistSourceKind();
SourceKind IdxSourceKind();
SourceKind CsvSourceKind();
SourceKind SyntheticSourceKind();
SourceKind TokensSourceKind();
SourceKind TextSourceKind();

}  // namespace ingot::data
