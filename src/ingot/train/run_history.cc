// RunHistory: see run_history.h.
#include "ingot/train/run_history.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "ingot/base/error.h"
#include "ingot/base/file.h"

namespace ingot::train {
namespace {

using Json = nlohmann::ordered_json;

MetricHistory& Find(std::vector<MetricHistory>& all, const std::string& kind,
                    const std::string& name) {
  const auto found = std::find_if(all.begin(), all.end(), [&](const MetricHistory& history) {
    return history.kind == kind && history.name == name;
  });
  if (found != all.end()) return *found;
  all.push_back({kind, name, {}, {}, {}, {}});
  return all.back();
}

bool IsRecord(const Json& json) {
  if (!json.is_object() || !json.contains("kind") || !json["kind"].is_string()) return false;
  return json.contains("step") && json["step"].is_number_integer();
}

void AddRecord(const Json& json, std::vector<MetricHistory>& all) {
  const std::string kind = json["kind"].get<std::string>();
  const auto number = [&](const char* name) {
    return json.contains(name) && json[name].is_number() ? json[name].get<double>() : 0.0;
  };
  for (const auto& [name, value] : json.items()) {
    if (name == "kind" || name == "step" || name == "epoch" || name == "seconds") continue;
    if (!value.is_number() && !value.is_null()) continue;
    MetricHistory& history = Find(all, kind, name);
    history.steps.push_back(json["step"].get<int64_t>());
    history.epochs.push_back(static_cast<int64_t>(number("epoch")));
    history.seconds.push_back(number("seconds"));
    history.values.push_back(value.is_null() ? std::numeric_limits<double>::quiet_NaN()
                                             : value.get<double>());
  }
}

}  // namespace

std::vector<MetricHistory> ReadHistory(const std::string& run_folder) {
  const std::string path = run_folder + "/" + kMetricsFile;
  std::vector<MetricHistory> all;
  if (RealFileSystem().Exists(path)) {
    const std::string text = ReadFile(path);
    int64_t line = 1;
    size_t begin = 0;
    for (size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1, ++line) {
      const Json json = Json::parse(text.begin() + static_cast<std::ptrdiff_t>(begin),
                                    text.begin() + static_cast<std::ptrdiff_t>(end), nullptr,
                                    /*allow_exceptions=*/false);
      if (!IsRecord(json)) {
        throw Error(ErrorCode::kCorrupt, fmt::format("{}:{}: this is no record", path, line),
                    "each line is a JSON object with \"kind\" and \"step\"");
      }
      AddRecord(json, all);
    }
  }
  if (all.empty()) {
    throw Error(ErrorCode::kNotFound, "the run '" + run_folder + "' has recorded nothing",
                "a run records at the end of each epoch, and as log.every_steps says");
  }
  return all;
}

}  // namespace ingot::train
