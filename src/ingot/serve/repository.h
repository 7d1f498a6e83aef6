// Repository: the models of one or more folders in Triton's layout (NAME/VERSION/model.onnx beside
// an optional NAME/config.pbtxt), which of their versions are loaded, and in which state each is.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <vector>

#include "ingot/base/log.h"
#include "ingot/serve/backend.h"
#include "ingot/serve/compute_gate.h"
#include "ingot/serve/served_model.h"
#include "ingot/serve/shadow.h"

namespace ingot::serve {

class ResponseCache;

using BackendFactory = std::function<std::shared_ptr<const Backend>(const ModelSource&)>;

struct RepositoryOptions {
  std::vector<std::string> folders;
  int default_instances = 1;
  int threads = 0;             // of a backend
  bool strict_config = false;  // a model without config.pbtxt is refused
  int64_t max_queued = 8192;   // for each model
  uint64_t memory_budget = 0;  // bytes of loaded models; 0: no limit
  // Called after a model was loaded, failed to be, or was unloaded; it must not load any itself.
  std::function<void()> changed;
};

// What a load request carries besides the name.
struct LoadOverrides {
  std::string config_json;                   // "": the model's own
  std::map<std::string, std::string> files;  // "1/model.onnx" -> contents
};

struct IndexEntry {
  std::string name, version, state, reason;
};

// Safe for use by several threads. Loading and unloading exclude each other; requests are served
// meanwhile, by the old versions until the new ones stand.
class Repository {
 public:
  Repository(RepositoryOptions options, BackendFactory factory, ComputeGate& gate, Logger& log,
             ResponseCache* cache = nullptr);
  ~Repository();

  // One model outside any folder: `ingot serve model.onnx`.
  void AddFile(const std::string& name, const std::string& path);
  // Loads what the folders hold (and the files); those that fail are logged and stay in the index.
  void LoadAll();

  Status Load(const std::string& name, const LoadOverrides& overrides = {});
  // With `dependents`, an ensemble's models are unloaded too.
  Status Unload(const std::string& name, bool dependents = false);
  // Loads models whose files have changed since they were looked at, and unloads those that went;
  // `touched` in the order of their names.
  std::vector<std::string> Poll();

  // `version` "" means the one that the policy prefers. Null with a status where there is none.
  std::shared_ptr<const ServedModel> Find(std::string_view name, std::string_view version,
                                          Status& status);
  // Whether the model can serve; false for what does not exist, too. An ensemble can while the
  // models of its steps can, and so on down.
  bool Ready(std::string_view name, std::string_view version) const;
  // "step 0 (model 'm') is not ready: unloaded": a step for which an ensemble is not ready, and
  // why; "": it is ready.
  std::string MissingStep(const ServedModel& ensemble) const;
  // Whether all models that are wanted are ready.
  bool AllReady() const;
  std::vector<IndexEntry> Index(bool ready_only) const;
  // Every loaded version, by name and number.
  std::vector<std::shared_ptr<const ServedModel>> Loaded() const;
  std::vector<std::string> Versions(std::string_view name) const;
  // Forgets all models; what is being computed is finished first.
  void Clear();

 private:
  struct Version {
    std::string state;  // "LOADING", "READY", "UNAVAILABLE"
    std::string reason;
    std::shared_ptr<const ServedModel> model;
  };
  struct Entry {
    std::string folder;
    std::string file;  // of a model without folder
    std::map<int64_t, Version> versions;
    bool wanted = false;  // loaded at start or by a call, not unloaded since
    bool cold = false;    // unloaded for want of memory; the next request loads it
    LoadOverrides overrides;
    std::string stamp;  // of its files when it was loaded
    TrafficSplit canary;
    std::atomic<uint64_t> requests = 0;
  };
  struct Plan;

  std::string FolderOf(const std::string& name) const;
  std::vector<std::string> NamesInFolders() const;
  Status LoadLocked(const std::string& name, const LoadOverrides& overrides);
  Plan MakePlan(const std::string& name, const LoadOverrides& overrides) const;
  std::shared_ptr<const ServedModel> Build(const Plan& plan, int64_t version) const;
  void MakeRoom(const std::string& for_name);
  Entry& EntryOf(const std::string& name);
  // With mutex_ held:
  std::string WhyUnready(std::string_view name, std::string_view version,
                         std::set<std::string>& known) const;
  std::string WhyStepUnready(const ServedModel& ensemble, std::set<std::string>& known) const;
  std::shared_ptr<const ServedModel> FindLoaded(std::string_view name, std::string_view version,
                                                Status& status, bool& cold) const;

  const RepositoryOptions options_;
  const BackendFactory factory_;
  ComputeGate& gate_;
  Logger& log_;
  ResponseCache* const cache_;
  std::mutex loading_;
  mutable std::shared_mutex mutex_;  // guards entries_
  std::map<std::string, std::unique_ptr<Entry>, std::less<>> entries_;
};

}  // namespace ingot::serve
