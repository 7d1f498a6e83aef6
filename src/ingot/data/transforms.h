// The `transforms:` list of a job: named steps that build up the conversions of a data set's
// fields.
//
//   transforms:
//     - normalise: {divide: 255, mean: [0.1307], std: [0.3081]}
//     - flatten
//     - one_hot: 10
//
// Each works on the field "x" unless it says otherwise (one_hot: "y").
#pragma once

#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "ingot/base/config.h"
#include "ingot/base/options.h"
#include "ingot/data/conversion.h"
#include "ingot/data/selection.h"
#include "ingot/data/source.h"

namespace ingot::data {

// What a transform may look at and change.
struct TransformContext {
  std::span<Conversion> conversions;  // one for each field
  const Source& source;               // the training data
  const Selection& selection;         // the samples that training uses
  // By name what is taken from the training data: used where it is there, else worked out and put
  // there. Null: always worked out.
  std::map<std::string, std::string>* statistics = nullptr;
  size_t position = 0;  // in the list of transforms

  // Throws Error(kNotFound) naming the fields there are.
  Conversion& Find(const std::string& field) const;
};

// A kind of transform, by name; its options are declared by an OptionTable in transforms.cc.
struct TransformKind {
  std::string name;
  std::string summary;
  std::function<std::vector<OptionHelp>()> help;
  // Reads the options strictly and adds the step.
  std::function<void(const ConfigNode& options, const TransformContext& context)> apply;
};

// cast, flatten, normalise, one_hot, standardise.
const std::vector<TransformKind>& TransformKinds();

// Applies the whole list in order. Throws Error(kInvalidInput) at the place of the fault: not a
// list, an unknown transform (with the nearest name), options that do not fit the field.
void ApplyTransforms(const ConfigNode& list, const TransformContext& context);

// Mean and standard deviation of every element of a field as converted so far, over the selected
// records, in one pass (Welford) in f64 and in the selection's order.
struct Statistics {
  std::vector<double> mean;
  std::vector<double> deviation;
};
Statistics FieldStatistics(const Source& source, const Selection& selection,
                           const Conversion& conversion);

}  // namespace ingot::data
