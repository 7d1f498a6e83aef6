// Reads, counts and draws.
#include "ingot/data/class_weights.h"

#include <algorithm>

#include "ingot/base/error.h"
#include "ingot/base/options.h"
#include "ingot/base/text.h"
#include "ingot/tensor/tensor.h"

namespace ingot::data {

namespace {

std::string NameOf(const std::vector<std::string>& class_names, int64_t c) {
  const auto at = static_cast<size_t>(c);
  return at < class_names.size() ? "'" + class_names[at] + "'" : std::to_string(c);
}

double ReadWeight(const ConfigNode& node) {
  const double weight = ReadScalar<double>(node);
  CheckLimits(node, weight, AtLeast(0));
  return weight;
}

std::vector<double> Balanced(const ConfigNode& node, const std::vector<std::string>& class_names,
                             int64_t classes, const std::vector<int64_t>& labels) {
  std::vector<int64_t> counts(static_cast<size_t>(classes));
  for (const int64_t label : labels) ++counts[static_cast<size_t>(label)];
  std::vector<double> weights;
  for (int64_t c = 0; c < classes; ++c) {
    const int64_t count = counts[static_cast<size_t>(c)];
    if (count == 0) {
      node.Fail("class " + NameOf(class_names, c) + " has no sample in the training data",
                "give the weights as a list");
    }
    weights.push_back(static_cast<double>(labels.size()) /
                      (static_cast<double>(classes) * static_cast<double>(count)));
  }
  return weights;
}

std::vector<double> ByName(const ConfigNode& node, const std::vector<std::string>& class_names,
                           int64_t classes) {
  std::vector<double> weights(static_cast<size_t>(classes), 1.0);
  for (const auto& [name, value] : node.entries()) {
    const auto found = std::find(class_names.begin(), class_names.end(), name);
    if (found == class_names.end()) {
      value.FailKey("there is no class '" + name + "' in the training data",
                    DidYouMean(name, class_names));
    }
    weights[static_cast<size_t>(found - class_names.begin())] = ReadWeight(value);
  }
  return weights;
}

}  // namespace

std::vector<int64_t> LabelsOf(const Source& source, const Selection& selection,
                              const std::string& who) {
  const int index = source.FieldIndex("y");
  const Field& y = source.fields()[static_cast<size_t>(index)];
  if (y.classes == 0 || y.shape.size() != 1 || !IsInteger(y.dtype)) {
    throw Error(ErrorCode::kInvalidInput,
                who + " needs one class a sample, but the labels are " + y.Describe());
  }
  std::vector<std::byte> raw(y.bytes());
  std::vector<int64_t> labels(static_cast<size_t>(selection.size()));
  for (size_t i = 0; i < labels.size(); ++i) {
    source.Read(selection[static_cast<int64_t>(i)], index, raw.data());
    ConvertElements(raw.data(), y.dtype, &labels[i], DType::kI64, 1);
  }
  return labels;
}

std::vector<double> ReadClassWeights(const ConfigNode& node, std::string_view equal,
                                     const std::vector<std::string>& class_names, int64_t classes,
                                     const std::vector<int64_t>& labels) {
  if (node.is_scalar() && node.scalar() == equal) {
    return Balanced(node, class_names, classes, labels);
  }
  std::vector<double> weights;
  if (node.is_map()) {
    weights = ByName(node, class_names, classes);
  } else if (node.is_list()) {
    for (const ConfigNode& item : node.items()) weights.push_back(ReadWeight(item));
    if (static_cast<int64_t>(weights.size()) != classes) {
      node.Fail(std::to_string(weights.size()) + " weights for " + std::to_string(classes) +
                " classes");
    }
  } else {
    node.Fail("expected " + std::string(equal) +
              ", a list of weights by class number, or a map by class name, got " +
              node.Describe());
  }
  if (std::all_of(weights.begin(), weights.end(), [](double weight) { return weight == 0; })) {
    node.Fail("every class has weight 0");
  }
  return weights;
}

WeightedSampler::WeightedSampler(const std::vector<double>& weights, uint64_t seed)
    : key_(seed, "sampling") {
  double sum = 0;
  for (const double weight : weights) sums_.push_back(sum += weight);
  INGOT_ASSERT(sum > 0, "some sample has a weight");
}

int64_t WeightedSampler::Draw(int64_t epoch, int64_t position) const {
  const RandomKey key = key_.Fold(static_cast<uint64_t>(epoch));
  const double at = key.Uniform(static_cast<uint64_t>(position)) * sums_.back();
  // The first place whose sum is above: places of weight 0 are never drawn.
  const auto found = std::upper_bound(sums_.begin(), sums_.end(), at);
  return std::min<int64_t>(found - sums_.begin(), static_cast<int64_t>(sums_.size()) - 1);
}

}  // namespace ingot::data
