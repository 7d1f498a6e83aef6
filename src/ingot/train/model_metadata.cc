// ModelMetadata: see model_metadata.h.
#include "ingot/train/model_metadata.h"

#include <nlohmann/json.hpp>

#include "ingot/base/error.h"
#include "ingot/base/text.h"

namespace ingot::train {
namespace {

constexpr std::string_view kStored = "data.";

const std::string& FindEntry(const std::map<std::string, std::string>& metadata,
                             const std::string& name, const std::string& path) {
  const auto found = metadata.find(name);
  if (found != metadata.end()) return found->second;
  throw Error(ErrorCode::kCorrupt, path + " does not say its '" + name + "'",
              "only models that Ingot has trained say it");
}

int64_t Number(std::string_view text, const std::string& path) {
  const int64_t value = ParseWhole<int64_t>(text).value_or(-1);
  if (value >= 0) return value;
  throw Error(ErrorCode::kCorrupt,
              path + " says '" + std::string(text) + "' where a number of 0 or more is expected");
}

}  // namespace

std::map<std::string, std::string> ModelMetadata::Write() const {
  std::map<std::string, std::string> metadata = {
      {"format", "ingot"},
      {"input", std::string(Name(input_type)) + input_shape.ToString()},
      {"classes", std::to_string(classes)},
  };
  for (const auto& [name, text] : stored) metadata[std::string(kStored) + name] = text;
  if (!class_names.empty()) {
    metadata["class_names"] =
        nlohmann::json(class_names).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  }
  if (input_classes > 0) metadata["input_classes"] = std::to_string(input_classes);
  if (input_categorical > 0) metadata["input_categorical"] = std::to_string(input_categorical);
  return metadata;
}

ModelMetadata MetadataOf(const data::DataSets& data) {
  const data::Field& raw = data.conversions[0].input();
  return {raw.dtype,   raw.shape,       data.y().classes, data.class_names,
          raw.classes, raw.categorical, data.stored};
}

ModelMetadata ReadModelMetadata(const std::map<std::string, std::string>& metadata,
                                const std::string& path) {
  ModelMetadata read;
  const std::string& input = FindEntry(metadata, "input", path);
  const size_t open = input.find('[');
  if (open == std::string::npos || input.back() != ']') {
    throw Error(ErrorCode::kCorrupt, path + " says that its input is '" + input + "'");
  }
  read.input_type = ParseDType(input.substr(0, open));
  const std::string extents = input.substr(open + 1, input.size() - open - 2);
  std::vector<int64_t> dims;
  if (!extents.empty()) {
    for (const std::string& extent : Split(extents, ','))
      dims.push_back(Number(Trim(extent), path));
  }
  read.input_shape = Shape(dims);
  read.classes = Number(FindEntry(metadata, "classes", path), path);
  if (const auto tokens = metadata.find("input_classes"); tokens != metadata.end()) {
    read.input_classes = Number(tokens->second, path);
  }
  if (const auto count = metadata.find("input_categorical"); count != metadata.end()) {
    read.input_categorical = Number(count->second, path);
  }
  for (const auto& [name, text] : metadata) {
    if (name.starts_with(kStored)) read.stored[name.substr(kStored.size())] = text;
  }
  if (const auto names = metadata.find("class_names"); names != metadata.end()) {
    const nlohmann::json json = nlohmann::json::parse(names->second, nullptr, false);
    if (!json.is_array()) throw Error(ErrorCode::kCorrupt, path + " has damaged class_names");
    for (const nlohmann::json& name : json) {
      if (!name.is_string()) throw Error(ErrorCode::kCorrupt, path + " has damaged class_names");
      read.class_names.push_back(name.get<std::string>());
    }
  }
  return read;
}

}  // namespace ingot::train
