// Which models there are, and which are loaded.
#include "ingot/serve/repository.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include <fmt/format.h>
#include <malloc.h>

#include "ingot/base/file.h"
#include "ingot/base/text.h"
#include "ingot/serve/model_build.h"
#include "ingot/serve/model_config.h"
#include "ingot/serve/proto/model_config.pb.h"

namespace ingot::serve {
namespace {

namespace fs = std::filesystem;

// A name that is one folder, and no way out of the repository.
bool IsPlainName(std::string_view name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string_view::npos &&
         name.find('\\') == std::string_view::npos && name.find('\0') == std::string_view::npos;
}

// -1 where the text is no version number.
int64_t VersionNumber(std::string_view text) {
  const int64_t number = ParseWhole<int64_t>(text).value_or(-1);
  return number < 1 ? -1 : number;
}

std::set<int64_t> VersionsIn(const std::string& folder) {
  std::set<int64_t> versions;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const int64_t number = VersionNumber(entry.path().filename().string());
    if (number > 0 && entry.is_directory(error)) versions.insert(number);
  }
  return versions;
}

// Changes when a file of the model is written, added or removed.
std::string StampOf(const std::string& folder) {
  std::set<std::string> parts;
  std::error_code error;
  for (auto it = fs::recursive_directory_iterator(folder, error);
       !error && it != fs::recursive_directory_iterator(); it.increment(error)) {
    std::error_code ignored;
    const auto time = fs::last_write_time(it->path(), ignored).time_since_epoch().count();
    const auto size = it->is_regular_file(ignored) ? it->file_size(ignored) : 0;
    parts.insert(fmt::format("{} {} {}", it->path().string(), time, size));
  }
  return fmt::format("{}", fmt::join(parts, "\n"));
}

std::set<int64_t> Chosen(const ModelConfig& config, std::set<int64_t> present) {
  const auto& policy = config.version_policy();
  if (policy.has_all()) return present;
  std::set<int64_t> chosen;
  if (policy.has_specific()) {
    for (const int64_t version : policy.specific().versions()) {
      if (present.contains(version)) chosen.insert(version);
    }
    return chosen;
  }
  const uint32_t count = std::max<uint32_t>(1, policy.latest().num_versions());
  for (auto it = present.rbegin(); it != present.rend() && chosen.size() < count; ++it) {
    chosen.insert(*it);
  }
  return chosen;
}

Status UnknownModel(std::string_view name, std::string_view version) {
  std::string text = "Request for unknown model: '" + std::string(name) + "'";
  if (!version.empty()) text += " version " + std::string(version);
  return NotFound(text + " is not found");
}

}  // namespace

struct Repository::Plan {
  std::string name;
  std::string folder;
  std::string file;  // of a model without folder
  bool had_config = false;
  ModelConfig config;
  const LoadOverrides* overrides = nullptr;
  std::set<int64_t> versions;
};

Repository::Repository(RepositoryOptions options, BackendFactory factory, ComputeGate& gate,
                       Logger& log, ResponseCache* cache)
    : options_(std::move(options)),
      factory_(std::move(factory)),
      gate_(gate),
      log_(log),
      cache_(cache) {}

Repository::~Repository() {
  Clear();
}

void Repository::AddFile(const std::string& name, const std::string& path) {
  const std::unique_lock lock(mutex_);
  auto entry = std::make_unique<Entry>();
  entry->file = path;
  entries_[name] = std::move(entry);
}

std::string Repository::FolderOf(const std::string& name) const {
  if (!IsPlainName(name)) return "";
  for (const std::string& folder : options_.folders) {
    std::error_code error;
    const std::string path = folder + "/" + name;
    if (fs::is_directory(path, error)) return path;
  }
  return "";
}

std::vector<std::string> Repository::NamesInFolders() const {
  std::set<std::string> names;
  for (const std::string& folder : options_.folders) {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(folder, error)) {
      std::string name = entry.path().filename().string();
      if (entry.is_directory(error) && !name.starts_with(".")) names.insert(std::move(name));
    }
  }
  return {names.begin(), names.end()};
}

void Repository::LoadAll() {
  std::set<std::string> names;
  for (std::string& name : NamesInFolders()) names.insert(std::move(name));
  {
    const std::shared_lock lock(mutex_);
    for (const auto& [name, entry] : entries_) names.insert(name);
  }
  for (const std::string& name : names) Load(name);
}

Repository::Entry& Repository::EntryOf(const std::string& name) {
  std::unique_ptr<Entry>& entry = entries_[name];
  if (entry == nullptr) entry = std::make_unique<Entry>();
  return *entry;
}

Status Repository::Load(const std::string& name, const LoadOverrides& overrides) {
  const std::scoped_lock lock(loading_);
  return LoadLocked(name, overrides);
}

Repository::Plan Repository::MakePlan(const std::string& name,
                                      const LoadOverrides& overrides) const {
  Plan plan;
  plan.name = name;
  plan.overrides = &overrides;
  {
    const std::shared_lock lock(mutex_);
    const auto found = entries_.find(name);
    if (found != entries_.end()) plan.file = found->second->file;
  }
  plan.folder = FolderOf(name);
  if (plan.folder.empty() && plan.file.empty() && overrides.files.empty()) {
    throw Error(ErrorCode::kNotFound,
                "failed to load '" + name + "': no folder of that name in the repository");
  }
  std::error_code error;
  const std::string config_file = plan.folder + "/config.pbtxt";
  if (!overrides.config_json.empty()) {
    plan.config = ParseConfigJson(overrides.config_json);
    plan.had_config = true;
  } else if (!plan.folder.empty() && fs::exists(config_file, error)) {
    plan.config = ParseConfigText(ReadFile(config_file));
    plan.had_config = true;
  } else if (options_.strict_config && plan.file.empty()) {
    throw Error(ErrorCode::kNotFound, "'" + config_file + "' is missing",
                "without --strict-config it is derived from the model");
  }
  if (!plan.config.name().empty() && plan.config.name() != name) {
    throw Error(ErrorCode::kInvalidInput, "config.pbtxt: name '" + plan.config.name() +
                                              "', but the model's folder is '" + name + "'");
  }
  std::set<int64_t> present;
  for (const auto& [path, contents] : overrides.files) {
    const int64_t version = VersionNumber(path.substr(0, path.find('/')));
    if (version < 0 || path.find('/') == std::string::npos) {
      throw Error(ErrorCode::kInvalidInput,
                  "file override '" + path + "': expected VERSION/NAME, such as 1/model.onnx");
    }
    present.insert(version);
  }
  if (!overrides.files.empty() && overrides.config_json.empty()) {
    throw Error(ErrorCode::kInvalidInput,
                "file overrides need the parameter 'config' with the model's configuration");
  }
  if (overrides.files.empty()) {
    present = plan.folder.empty() ? std::set<int64_t>{1} : VersionsIn(plan.folder);
  }
  if (plan.config.has_ensemble_scheduling() && present.empty()) present.insert(1);
  plan.versions = Chosen(plan.config, present);
  if (plan.versions.empty()) {
    throw Error(ErrorCode::kNotFound, "failed to load '" + name +
                                          "': at least one version must be available under the "
                                          "version policy of model '" +
                                          name + "'");
  }
  return plan;
}

std::shared_ptr<const ServedModel> Repository::Build(const Plan& plan, int64_t version) const {
  ModelConfig config = plan.config;
  std::shared_ptr<const Backend> backend;
  const bool ensemble = config.has_ensemble_scheduling();
  if (!ensemble) {
    ModelSource source;
    source.threads = options_.threads;
    for (const auto& [key, value] : config.parameters()) {
      source.parameters[key] = value.string_value();
    }
    for (const auto& input : config.input()) {
      if (input.optional()) source.optional_inputs.push_back(input.name());
    }
    std::string file =
        config.default_model_filename().empty() ? "model.onnx" : config.default_model_filename();
    if (!IsPlainName(file)) {
      throw Error(ErrorCode::kInvalidInput, "config.pbtxt: default_model_filename '" + file +
                                                "', expected a name without '/'");
    }
    const auto given = plan.overrides->files.find(std::to_string(version) + "/" + file);
    if (given != plan.overrides->files.end()) {
      source.path = plan.name + "/" + given->first;
      source.contents = given->second;
    } else {
      source.path = plan.folder.empty() || !plan.file.empty()
                        ? plan.file
                        : plan.folder + "/" + std::to_string(version) + "/" + file;
    }
    backend = factory_(source);
    CompleteConfig(plan.name, backend->inputs(), backend->outputs(), plan.had_config, config);
    CheckConfig(config, backend->inputs(), backend->outputs());
  } else {
    config.set_name(plan.name);
    config.set_platform("ensemble");
  }
  BuildContext context;
  context.folder = plan.folder;
  context.default_instances = options_.default_instances;
  context.max_queued = options_.max_queued;
  context.gate = &gate_;
  context.repository = const_cast<Repository*>(this);
  context.cache = cache_;
  return BuildModel(config, version, std::move(backend), context);
}

Status Repository::LoadLocked(const std::string& name, const LoadOverrides& overrides) {
  const Clock::time_point begin = Clock::now();
  std::map<int64_t, Version> built;
  TrafficSplit canary;
  Status status;
  std::string stamp;
  if (!IsPlainName(name)) return Invalid("'" + name + "' is not the name of a model");
  try {
    const Plan plan = MakePlan(name, overrides);
    stamp = plan.folder.empty() ? "" : StampOf(plan.folder);
    canary = ParseSplit("canary", ConfigParameter(plan.config, "canary"));
    MakeRoom(name);
    for (const int64_t version : plan.versions) {
      try {
        built[version] = {"READY", "", Build(plan, version)};
      } catch (...) {
        const Status failed = CurrentStatus();
        built[version] = {"UNAVAILABLE", failed.message, nullptr};
        if (status.ok()) {
          status = failed;
          status.message = "failed to load '" + name + "' version " + std::to_string(version) +
                           ": " + failed.message;
        }
      }
    }
  } catch (...) {
    status = CurrentStatus();
  }
  std::vector<std::shared_ptr<const ServedModel>> old;  // released outside of the lock
  {
    const std::unique_lock lock(mutex_);
    if (!status.ok() && !entries_.contains(name) && FolderOf(name).empty()) return status;
    Entry& entry = EntryOf(name);
    const bool had_one = std::any_of(entry.versions.begin(), entry.versions.end(),
                                     [](const auto& v) { return v.second.model != nullptr; });
    entry.wanted = true;
    entry.stamp = stamp;
    if (status.ok() || !had_one) {
      for (auto& [number, version] : entry.versions) old.push_back(std::move(version.model));
      entry.versions = std::move(built);
      if (entry.versions.empty()) entry.versions[1] = {"UNAVAILABLE", status.message, nullptr};
      entry.canary = canary;
      entry.overrides = overrides;
      entry.cold = false;
    }
  }
  if (options_.changed) options_.changed();
  old.clear();
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begin);
  if (status.ok()) {
    log_.Info(fmt::format("loaded model '{}' in {} ms", name, ms.count()));
  } else {
    log_.Warning(status.message);
  }
  return status;
}

Status Repository::Unload(const std::string& name, bool dependents) {
  const std::scoped_lock loading(loading_);
  std::vector<std::shared_ptr<const ServedModel>> old;
  std::set<std::string> others;
  {
    const std::unique_lock lock(mutex_);
    const auto found = entries_.find(name);
    if (found == entries_.end()) return UnknownModel(name, "");
    found->second->wanted = false;
    found->second->cold = false;
    for (auto& [number, version] : found->second->versions) {
      if (dependents && version.model != nullptr &&
          version.model->config->has_ensemble_scheduling()) {
        for (const auto& step : version.model->config->ensemble_scheduling().step()) {
          others.insert(step.model_name());
        }
      }
      old.push_back(std::move(version.model));
      version = {"UNAVAILABLE", "unloaded", nullptr};
    }
    for (const std::string& other : others) {
      const auto it = entries_.find(other);
      if (it == entries_.end()) continue;
      it->second->wanted = false;
      for (auto& [number, version] : it->second->versions) {
        old.push_back(std::move(version.model));
        version = {"UNAVAILABLE", "unloaded", nullptr};
      }
    }
  }
  if (options_.changed) options_.changed();
  old.clear();
  ::malloc_trim(0);  // what the model held goes back to the system
  log_.Info("unloaded model '" + name + "'");
  return {};
}

std::vector<std::string> Repository::Poll() {
  std::set<std::string> names;
  for (std::string& name : NamesInFolders()) names.insert(std::move(name));
  std::vector<std::string> changed, gone;
  {
    const std::shared_lock lock(mutex_);
    for (const std::string& name : names) {
      const auto found = entries_.find(name);
      if (found == entries_.end() ||
          (found->second->wanted && found->second->stamp != StampOf(FolderOf(name)))) {
        changed.push_back(name);
      }
    }
    for (const auto& [name, entry] : entries_) {
      if (entry->file.empty() && entry->wanted && entry->overrides.files.empty() &&
          !names.contains(name)) {
        gone.push_back(name);
      }
    }
  }
  for (const std::string& name : changed) Load(name);
  for (const std::string& name : gone) Unload(name);
  changed.insert(changed.end(), gone.begin(), gone.end());
  std::sort(changed.begin(), changed.end());
  return changed;
}

// Unloads the models that were not used for longest until the rest fits in the budget.
void Repository::MakeRoom(const std::string& for_name) {
  if (options_.memory_budget == 0) return;
  std::vector<std::shared_ptr<const ServedModel>> old;
  const std::unique_lock lock(mutex_);
  for (;;) {
    uint64_t used = 0;
    Entry* oldest = nullptr;
    int64_t oldest_use = INT64_MAX;
    for (auto& [name, entry] : entries_) {
      if (name == for_name) continue;
      int64_t last = 0;
      uint64_t bytes = 0;
      for (const auto& [number, version] : entry->versions) {
        if (version.model == nullptr || version.model->backend == nullptr) continue;
        bytes += version.model->backend->memory();
        last = std::max(last, version.model->last_used_ns.load());
      }
      used += bytes;
      if (bytes > 0 && last < oldest_use) {
        oldest_use = last;
        oldest = entry.get();
      }
    }
    if (used < options_.memory_budget || oldest == nullptr) return;
    oldest->cold = true;
    for (auto& [number, version] : oldest->versions) {
      old.push_back(std::move(version.model));
      version = {"UNAVAILABLE", "unloaded for want of memory; the next request loads it", nullptr};
    }
  }
}

std::shared_ptr<const ServedModel> Repository::FindLoaded(std::string_view name,
                                                          std::string_view version, Status& status,
                                                          bool& cold) const {
  const std::shared_lock lock(mutex_);
  const auto found = entries_.find(name);
  if (found == entries_.end()) {
    status = UnknownModel(name, version);
    return nullptr;
  }
  Entry& entry = *found->second;
  const std::map<int64_t, Version>& versions = entry.versions;
  cold = entry.cold;
  if (!version.empty()) {
    const auto at = versions.find(VersionNumber(version));
    if (at != versions.end() && at->second.model != nullptr) return at->second.model;
    if (VersionNumber(version) < 0) {
      status =
          Invalid("model version '" + std::string(version) + "': expected a whole number from 1");
    } else if (at == versions.end()) {
      status = UnknownModel(name, version);
    } else {
      status = Unavailable("model '" + std::string(name) + "' version " + std::string(version) +
                           " is not ready: " + at->second.reason);
    }
    return nullptr;
  }
  if (entry.canary.version > 0) {
    const uint64_t k = entry.requests.fetch_add(1, std::memory_order_relaxed);
    const auto at = versions.find(entry.canary.version);
    if (at != versions.end() && at->second.model != nullptr && entry.canary.Takes(k)) {
      return at->second.model;
    }
  }
  for (auto it = versions.rbegin(); it != versions.rend(); ++it) {
    if (it->second.model != nullptr && it->first != entry.canary.version) return it->second.model;
  }
  for (auto it = versions.rbegin(); it != versions.rend(); ++it) {
    if (it->second.model != nullptr) return it->second.model;
  }
  status = versions.empty() || versions.rbegin()->second.reason == "unloaded"
               ? NotFound("Request for unknown model: '" + std::string(name) +
                          "' has no available versions")
               : Unavailable("model '" + std::string(name) +
                             "' is not ready: " + versions.rbegin()->second.reason);
  return nullptr;
}

std::shared_ptr<const ServedModel> Repository::Find(std::string_view name, std::string_view version,
                                                    Status& status) {
  bool cold = false;
  auto model = FindLoaded(name, version, status, cold);
  if (model != nullptr || !cold) return model;
  const std::scoped_lock lock(loading_);
  status = {};
  model = FindLoaded(name, version, status, cold);  // another request may have loaded it
  if (model != nullptr || !cold) return model;
  LoadOverrides overrides;
  {
    const std::shared_lock entries(mutex_);
    overrides = entries_.find(name)->second->overrides;
  }
  status = LoadLocked(std::string(name), overrides);
  return status.ok() ? FindLoaded(name, version, status, cold) : nullptr;
}

void Repository::Clear() {
  std::map<std::string, std::unique_ptr<Entry>, std::less<>> old;
  const std::scoped_lock loading(loading_);
  {
    const std::unique_lock lock(mutex_);
    old.swap(entries_);
  }
}

}  // namespace ingot::serve
