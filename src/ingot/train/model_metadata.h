// ModelMetadata: what a model file says about the inputs and outputs of its network, so that
// predictions need no training data. Stored as text in the metadata of model.safetensors.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "ingot/data/data_options.h"
#include "ingot/tensor/dtype.h"
#include "ingot/tensor/shape.h"

namespace ingot::train {

struct ModelMetadata {
  DType input_type = DType::kUndefined;  // of a raw sample, before the transforms
  Shape input_shape;                     // of one sample
  int64_t classes = 0;                   // 0: not a classifier
  std::vector<std::string> class_names;  // by class number; may be empty
  int64_t input_classes = 0;      // the input's numbers are below this (tokens); 0: no classes
  int64_t input_categorical = 0;  // the last so many are categories
  // What the source of the data wants to be kept (data::OpenedSource): "data.tokenizer", ...
  std::map<std::string, std::string> stored = {};

  // {"format": "ingot", "input": "u8[28, 28]", "classes": "10", "class_names": "[...]"}.
  std::map<std::string, std::string> Write() const;
};

ModelMetadata MetadataOf(const data::DataSets& data);

// Throws Error(kCorrupt) naming `path` where something is missing or malformed.
ModelMetadata ReadModelMetadata(const std::map<std::string, std::string>& metadata,
                                const std::string& path);

}  // namespace ingot::train
