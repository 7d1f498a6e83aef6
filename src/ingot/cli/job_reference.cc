// Collects the rows of all tables: the job's own, and those of the named things in it.
#include "ingot/cli/job_reference.h"

#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include "ingot/base/options.h"
#include "ingot/base/text.h"
#include "ingot/data/augment/augmenter.h"
#include "ingot/data/data_options.h"
#include "ingot/data/transforms.h"
#include "ingot/nn/initializer.h"
#include "ingot/nn/layer.h"
#include "ingot/nn/loss.h"
#include "ingot/nn/metric.h"
#include "ingot/train/job.h"

namespace ingot::cli {
namespace {

struct Section {
  std::string title;
  std::string text;
  std::vector<OptionHelp> rows;
};

// One row for each kind, and its options after it.
template <typename Kinds>
std::vector<OptionHelp> RowsOf(const Kinds& kinds, const std::string& type) {
  std::vector<OptionHelp> rows;
  for (const auto& kind : kinds) {
    rows.push_back({kind.name, type, "", kind.summary});
    for (OptionHelp& row : kind.help()) rows.push_back(std::move(row));
  }
  return rows;
}

std::vector<OptionHelp> LayerRows() {
  std::vector<nn::LayerKind> kinds;
  const nn::LayerRegistry& layers = nn::StandardLayers();
  for (const std::string& name : layers.Names()) kinds.push_back(*layers.Find(name));
  return RowsOf(kinds, "layer");
}

std::vector<Section> Sections() {
  return {
      {"The job", "Everything but `model` has a default.", train::JobTable().Help()},
      {"Sources of data", "For `data.source`.", RowsOf(data::SourceKinds(), "source")},
      {"Transforms", "For the list `data.transforms`.",
       RowsOf(data::TransformKinds(), "transform")},
      {"Augmentations",
       "For the list `data.augment`: `- horizontal_flip`, or `- random_crop: {padding: 4}`. Of "
       "mixup and cutmix, one is drawn for each sample where both are listed.",
       RowsOf(data::AugmentationKinds(), "augmentation")},
      {"Layers",
       "For the list `model.layers`: `- flatten`, `- dense: 64` or `- dense: {units: 64}`.",
       LayerRows()},
      {"Initializers",
       "For the options of layers that name one: `glorot_uniform`, or `normal: {std: 0.01}`.",
       nn::InitializerHelp()},
      {"Losses", "For `loss`: `mse`, or `huber: {delta: 2}`.", nn::LossHelp()},
      {"Metrics", "For the list `metrics`.", nn::MetricHelp()},
  };
}

constexpr const char* kIntroduction =
    "A job is YAML. Unknown keys are errors; any key can be set on the command line with `--set`,\n"
    "by its path: `--set optimizer.adam.learning_rate=0.003`. It goes on below short forms, too:\n"
    "below `optimizer: adam`, and below `dense: 64` as `--set model.layers[1].dense.bias=false`.";

std::string Escaped(const std::string& text) {
  std::string escaped;
  for (const char c : text) escaped += c == '|' ? "\\|" : std::string(1, c);
  return escaped;
}

std::string MarkdownOf(const Section& section) {
  std::string text = fmt::format("\n## {}\n\n{}\n\n", section.title, section.text);
  text += "| key | type | default | what it is |\n| --- | --- | --- | --- |\n";
  for (const OptionHelp& row : section.rows) {
    const std::string value = row.default_value.empty() ? "" : "`" + row.default_value + "`";
    text += fmt::format("| `{}` | {} | {} | {} |\n", row.path, Escaped(row.type), Escaped(value),
                        Escaped(row.help));
  }
  return text;
}

std::string PlainOf(const Section& section) {
  std::string text = fmt::format("\n{}\n", section.title);
  text += std::string(section.title.size(), '-') + "\n" + section.text + "\n\n";
  size_t width = 0;
  for (const OptionHelp& row : section.rows) width = std::max(width, row.path.size());
  for (const OptionHelp& row : section.rows) {
    std::string type = row.type;
    if (!row.default_value.empty()) type += "; default " + row.default_value;
    text += fmt::format("  {:<{}}  {} ({})\n", row.path, width, row.help, type);
  }
  return text;
}

}  // namespace

std::string JobReference(bool markdown) {
  std::string text;
  if (markdown) {
    text = fmt::format(
        "# The job file\n\n<!-- Written by `ingot job --markdown > docs/job-file.md`. -->\n\n{}\n",
        kIntroduction);
  } else {
    text = fmt::format("The job file\n============\n{}\n", kIntroduction);
  }
  for (const Section& section : Sections()) {
    text += markdown ? MarkdownOf(section) : PlainOf(section);
  }
  return text;
}

}  // namespace ingot::cli
