// The transforms and their options.
#include "ingot/data/transforms.h"

#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

#include "ingot/base/error.h"
#include "ingot/base/named_node.h"
#include "ingot/base/text.h"
#include "ingot/data/augment/augmentation.h"
#include "ingot/data/class_numbers.h"

namespace ingot::data {

namespace {

struct CastOptions {
  std::string to = "f32";
  std::string field = "x";
};

const OptionTable<CastOptions>& CastTable() {
  static const auto table =
      OptionTable<CastOptions>("cast", "to another element type; to an integer truncates")
          .Add("to", &CastOptions::to, "f32, f64, i64, ...")
          .Add("field", &CastOptions::field, "which field")
          .Shorthand("to");
  return table;
}

struct FlattenOptions {
  std::string field = "x";
};

const OptionTable<FlattenOptions>& FlattenTable() {
  static const auto table = OptionTable<FlattenOptions>("flatten", "one axis: [28, 28] -> [784]")
                                .Add("field", &FlattenOptions::field, "which field");
  return table;
}

struct NormaliseOptions {
  double divide = 1;
  std::vector<double> mean;
  std::vector<double> std;
  std::optional<int64_t> axis;
  std::string field = "x";
};

const OptionTable<NormaliseOptions>& NormaliseTable() {
  static const auto table =
      OptionTable<NormaliseOptions>("normalise", "(x / divide - mean) / std")
          .Add("divide", &NormaliseOptions::divide, "255 takes bytes to [0, 1]")
          .Add("mean", &NormaliseOptions::mean,
               "one value for all, or one for each position along axis (default: 0)")
          .Add("std", &NormaliseOptions::std, "the same (default: 1)")
          .Add("axis", &NormaliseOptions::axis,
               "the axis of the sample that lists run along; negative ones count from the end "
               "(default: the only one of that extent, else the last)")
          .Add("field", &NormaliseOptions::field, "which field")
          .Shorthand("divide");
  return table;
}

struct OneHotOptions {
  std::optional<int64_t> classes;
  std::string field = "y";
};

const OptionTable<OneHotOptions>& OneHotTable() {
  static const auto table =
      OptionTable<OneHotOptions>("one_hot", "a class number -> f32 [classes] with a 1 at its place")
          .Add("classes", &OneHotOptions::classes, "how many (default: as the data say)",
               Between(2, kMostClasses))
          .Add("field", &OneHotOptions::field, "which field")
          .Shorthand("classes");
  return table;
}

struct StandardiseOptions {
  std::string per = "element";
  double epsilon = 1e-12;
  std::string field = "x";
};

const OptionTable<StandardiseOptions>& StandardiseTable() {
  static const auto table =
      OptionTable<StandardiseOptions>("standardise",
                                      "(x - mean) / std, taken from the training data and stored "
                                      "with the model; categories stay "
                                      "as they are")
          .AddChoice("per", &StandardiseOptions::per,
                     "what has a mean of its own: every element of a sample, or every channel of a "
                     "picture",
                     {"element", "channel"})
          .Add("epsilon", &StandardiseOptions::epsilon,
               "elements that vary less than this are only shifted", AtLeast(0))
          .Add("field", &StandardiseOptions::field, "which field");
  return table;
}

void ApplyCast(const CastOptions& options, const TransformContext& context) {
  context.Find(options.field).Cast(ParseDType(options.to));
}

void ApplyFlatten(const FlattenOptions& options, const TransformContext& context) {
  context.Find(options.field).Flatten();
}

void ApplyNormalise(const NormaliseOptions& options, const TransformContext& context) {
  Conversion& conversion = context.Find(options.field);
  const auto values = static_cast<int64_t>(std::max(options.mean.size(), options.std.size()));
  const std::vector<int64_t>& dims = conversion.output().shape.dims();
  int64_t axis = options.axis.value_or(-1);
  if (!options.axis && std::count(dims.begin(), dims.end(), values) == 1) {
    axis = std::find(dims.begin(), dims.end(), values) - dims.begin();
  }
  conversion.Normalise(options.divide, options.mean, options.std, axis);
}

void ApplyOneHot(const OneHotOptions& options, const TransformContext& context) {
  Conversion& conversion = context.Find(options.field);
  conversion.OneHot(options.classes.value_or(conversion.output().classes));
}

// One value for each channel: of all its elements in all samples.
Statistics OfChannels(const Statistics& elements, const PictureLayout& layout) {
  Statistics channels;
  for (int64_t c = 0; c < layout.channels; ++c) {
    double mean = 0;
    double square = 0;
    for (int64_t y = 0; y < layout.height; ++y) {
      for (int64_t x = 0; x < layout.width; ++x) {
        const auto at = static_cast<size_t>(layout.At(c, y, x));
        mean += elements.mean[at];
        square +=
            elements.deviation[at] * elements.deviation[at] + elements.mean[at] * elements.mean[at];
      }
    }
    const auto pixels = static_cast<double>(layout.height * layout.width);
    mean /= pixels;
    channels.mean.push_back(mean);
    channels.deviation.push_back(std::sqrt(std::max(0.0, square / pixels - mean * mean)));
  }
  return channels;
}

Statistics ToElements(const Statistics& channels, const PictureLayout& layout) {
  const auto n = static_cast<size_t>(layout.elements());
  Statistics elements{std::vector<double>(n), std::vector<double>(n)};
  for (int64_t c = 0; c < layout.channels; ++c) {
    for (int64_t y = 0; y < layout.height; ++y) {
      for (int64_t x = 0; x < layout.width; ++x) {
        const auto at = static_cast<size_t>(layout.At(c, y, x));
        elements.mean[at] = channels.mean[static_cast<size_t>(c)];
        elements.deviation[at] = channels.deviation[static_cast<size_t>(c)];
      }
    }
  }
  return elements;
}

std::string ToText(const Statistics& statistics) {
  return nlohmann::json{{"mean", statistics.mean}, {"std", statistics.deviation}}.dump();
}

Statistics FromText(const std::string& text, size_t values) {
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  try {
    Statistics statistics{json.at("mean").get<std::vector<double>>(),
                          json.at("std").get<std::vector<double>>()};
    if (statistics.mean.size() == values && statistics.deviation.size() == values) {
      return statistics;
    }
  } catch (const nlohmann::json::exception&) {
  }
  throw Error(ErrorCode::kCorrupt, "the stored means and deviations are not those of " +
                                       std::to_string(values) + " values");
}

void ApplyStandardise(const StandardiseOptions& options, const TransformContext& context) {
  Conversion& conversion = context.Find(options.field);
  const Field& field = conversion.input();
  const bool channels = options.per == "channel";
  const PictureLayout layout =
      channels ? LayoutOf(field, "standardise per channel") : PictureLayout{};
  const auto values = static_cast<size_t>(channels ? layout.channels : field.shape.size());
  const std::string name = "standardise." + std::to_string(context.position);
  Statistics statistics;
  if (context.statistics != nullptr && context.statistics->contains(name)) {
    statistics = FromText(context.statistics->at(name), values);
  } else {
    statistics = FieldStatistics(context.source, context.selection, conversion);
    if (channels) statistics = OfChannels(statistics, layout);
    for (size_t i = 0; i < values; ++i) {
      const bool is_category = static_cast<int64_t>(values - i) <= field.categorical;
      if (is_category) statistics.mean[i] = 0;
      if (is_category || !(statistics.deviation[i] > options.epsilon)) statistics.deviation[i] = 1;
    }
    if (context.statistics != nullptr) (*context.statistics)[name] = ToText(statistics);
  }
  if (channels) statistics = ToElements(statistics, layout);
  conversion.NormaliseElements(statistics.mean, statistics.deviation);
}

template <typename Options>
TransformKind Kind(const OptionTable<Options>& table,
                   void (*apply)(const Options&, const TransformContext&)) {
  return {table.name(), table.summary(), [&table] { return table.Help(table.name()); },
          [&table, apply](const ConfigNode& node, const TransformContext& context) {
            apply(table.Read(node), context);
          }};
}

}  // namespace

Conversion& TransformContext::Find(const std::string& field) const {
  std::vector<std::string> names;
  for (Conversion& conversion : conversions) {
    if (conversion.input().name == field) return conversion;
    names.push_back(conversion.input().name);
  }
  throw Error(ErrorCode::kInvalidInput, "the data have no field '" + field + "'",
              DidYouMean(field, names));
}

const std::vector<TransformKind>& TransformKinds() {
  static const std::vector<TransformKind> kinds = {
      Kind(CastTable(), ApplyCast),
      Kind(FlattenTable(), ApplyFlatten),
      Kind(NormaliseTable(), ApplyNormalise),
      Kind(OneHotTable(), ApplyOneHot),
      Kind(StandardiseTable(), ApplyStandardise),
  };
  return kinds;
}

void ApplyTransforms(const ConfigNode& list, const TransformContext& context) {
  if (list.is_null()) return;
  if (!list.is_list()) {
    list.Fail("expected a list of transforms", "write '- flatten' on a line of its own");
  }
  std::vector<std::string> names;
  for (const TransformKind& kind : TransformKinds()) names.push_back(kind.name);
  for (const ConfigNode& item : list.items()) {
    const NamedNode named = ReadNamed(item, "a transform");
    const TransformKind* found = nullptr;
    for (const TransformKind& kind : TransformKinds()) {
      if (kind.name == named.name) found = &kind;
    }
    if (found == nullptr) FailUnknownName(item, "transform", named.name, names);
    TransformContext here = context;
    here.position = static_cast<size_t>(&item - list.items().data());
    try {
      found->apply(named.options, here);
    } catch (const Error& error) {
      throw AtNode(item, error);
    }
  }
}

Statistics FieldStatistics(const Source& source, const Selection& selection,
                           const Conversion& conversion) {
  const int field = source.FieldIndex(conversion.input().name);
  const auto n = static_cast<size_t>(conversion.input().shape.size());
  std::vector<std::byte> raw(conversion.input().bytes());
  std::vector<double> values(n);
  Statistics statistics{std::vector<double>(n), std::vector<double>(n)};
  for (int64_t i = 0; i < selection.size(); ++i) {
    source.Read(selection[i], field, raw.data());
    conversion.ToDoubles(raw.data(), values);
    for (size_t e = 0; e < n; ++e) {
      const double before = values[e] - statistics.mean[e];
      statistics.mean[e] += before / static_cast<double>(i + 1);
      statistics.deviation[e] += before * (values[e] - statistics.mean[e]);
    }
  }
  for (double& deviation : statistics.deviation) {
    deviation = std::sqrt(deviation / static_cast<double>(std::max<int64_t>(selection.size(), 1)));
  }
  return statistics;
}

}  // namespace ingot::data
