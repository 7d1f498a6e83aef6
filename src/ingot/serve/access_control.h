// AccessControl: who may do what: API keys from a file, and where administration is allowed
// without.
//
// The file has a line for each key: NAME SHA256 [admin] [models=PATTERN,...] [rate=N], where SHA256
// is the hexadecimal digest of the key, PATTERN a model's name that may end with '*', and N
// requests a second. It is read again when it changes.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "ingot/serve/net/call.h"
#include "ingot/serve/status.h"

namespace ingot::serve {

// What a call wants to do.
enum class Access {
  kOpen,   // health and metadata of the server, the web page's files
  kRead,   // metadata, statistics, metrics
  kInfer,  // inference
  kAdmin,  // load, unload, shared memory, settings
};

// Safe for use by several threads.
class AccessControl {
 public:
  // `keys_file` "": no keys. `admin_anywhere`: administration without a key from other machines,
  // too. Throws Error for a file that cannot be read.
  AccessControl(std::string keys_file, bool allow_admin, bool admin_anywhere);
  ~AccessControl();

  // `model` "" where the call is about none. `key_name` gets the name of the key that was used.
  Status Check(Access access, std::string_view model, const Peer& peer, std::string_view key,
               std::string& key_name);
  // Whether the key of this name may use the model; true without keys. For what learns of the model
  // after the call was let in.
  bool MayUse(const std::string& key_name, std::string_view model);
  bool has_keys() const { return !file_.empty(); }

 private:
  struct Key;
  using Keys = std::map<std::string, std::shared_ptr<Key>>;  // by digest

  static Keys ReadKeys(const std::string& file);
  void Refresh(std::chrono::steady_clock::time_point now);

  const std::string file_;
  const bool allow_admin_;
  const bool admin_anywhere_;
  std::mutex mutex_;
  Keys keys_;
  std::string stamp_;
  std::chrono::steady_clock::time_point looked_;
};

// The key of a call: "Authorization: Bearer KEY" or "X-API-Key: KEY"; "" where there is none.
std::string_view KeyOf(const Call& call);

}  // namespace ingot::serve
