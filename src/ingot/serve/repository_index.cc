// What the repository says of its models: which are ready, the index, which versions are loaded.
#include <algorithm>
#include <set>

#include "ingot/base/text.h"
#include "ingot/serve/proto/model_config.pb.h"
#include "ingot/serve/repository.h"

namespace ingot::serve {

// Why requests for the model cannot be answered; "": they can be. `known` as for WhyStepUnready.
std::string Repository::WhyUnready(std::string_view name, std::string_view version,
                                   std::set<std::string>& known) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) return "it is not known";
  const Entry& entry = *found->second;
  const int64_t wanted = version.empty() ? 0 : ParseWhole<int64_t>(version).value_or(-1);
  const ServedModel* model = nullptr;
  bool exists = false;
  std::string reason = version.empty() ? "it is not loaded" : "it has no such version";
  for (const auto& [number, one] : entry.versions) {
    if (!version.empty() && number != wanted) continue;
    if (one.model != nullptr) model = one.model.get();
    exists = true;
    reason = one.reason;
  }
  if (model != nullptr) return WhyStepUnready(*model, known);
  return entry.cold && exists ? "" : reason;  // a cold one is loaded by the next request
}

// The step of an ensemble, at any depth, whose model cannot serve, and why; "": there is none.
// Models that are in `known` can, so that one that many ensembles use is looked at once.
std::string Repository::WhyStepUnready(const ServedModel& ensemble,
                                       std::set<std::string>& known) const {
  int number = 0;
  for (const auto& step : ensemble.config->ensemble_scheduling().step()) {
    const std::string version =
        step.model_version() > 0 ? std::to_string(step.model_version()) : "";
    if (known.insert(step.model_name() + " " + version).second) {
      const std::string reason = WhyUnready(step.model_name(), version, known);
      if (!reason.empty()) {
        return "step " + std::to_string(number) + " (model '" + step.model_name() +
               "') is not ready: " + reason;
      }
    }
    ++number;
  }
  return "";
}

bool Repository::Ready(std::string_view name, std::string_view version) const {
  std::set<std::string> known;
  const std::shared_lock lock(mutex_);
  return WhyUnready(name, version, known).empty();
}

std::string Repository::MissingStep(const ServedModel& ensemble) const {
  std::set<std::string> known;
  const std::shared_lock lock(mutex_);
  return WhyStepUnready(ensemble, known);
}

bool Repository::AllReady() const {
  std::set<std::string> known;
  const std::shared_lock lock(mutex_);
  for (const auto& [name, entry] : entries_) {
    if (!entry->wanted || entry->cold) continue;
    for (const auto& [number, version] : entry->versions) {
      if (version.model == nullptr || !WhyStepUnready(*version.model, known).empty()) return false;
    }
  }
  return true;
}

std::vector<IndexEntry> Repository::Index(bool ready_only) const {
  std::vector<IndexEntry> index;
  std::set<std::string> listed;
  {
    const std::shared_lock lock(mutex_);
    for (const auto& [name, entry] : entries_) {
      listed.insert(name);
      for (const auto& [number, version] : entry->versions) {
        IndexEntry one = {name, std::to_string(number), version.state, version.reason};
        std::set<std::string> known;
        if (version.model != nullptr) one.reason = WhyStepUnready(*version.model, known);
        if (version.model != nullptr && !one.reason.empty()) one.state = "UNAVAILABLE";
        if (!ready_only || one.state == "READY") index.push_back(std::move(one));
      }
      if (entry->versions.empty() && !ready_only) index.push_back({name, "", "", ""});
    }
  }
  if (ready_only) return index;
  for (const std::string& name : NamesInFolders()) {
    if (!listed.contains(name)) index.push_back({name, "", "", ""});
  }
  std::sort(index.begin(), index.end(), [](const IndexEntry& a, const IndexEntry& b) {
    return a.name != b.name ? a.name < b.name : a.version < b.version;
  });
  return index;
}

std::vector<std::shared_ptr<const ServedModel>> Repository::Loaded() const {
  std::vector<std::shared_ptr<const ServedModel>> models;
  const std::shared_lock lock(mutex_);
  for (const auto& [name, entry] : entries_) {
    for (const auto& [number, version] : entry->versions) {
      if (version.model != nullptr) models.push_back(version.model);
    }
  }
  return models;
}

std::vector<std::string> Repository::Versions(std::string_view name) const {
  std::vector<std::string> versions;
  const std::shared_lock lock(mutex_);
  const auto found = entries_.find(name);
  if (found == entries_.end()) return versions;
  for (const auto& [number, version] : found->second->versions) {
    if (version.model != nullptr) versions.push_back(std::to_string(number));
  }
  return versions;
}

}  // namespace ingot::serve
