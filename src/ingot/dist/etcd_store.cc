// Requests to etcd: keys and values are base64, numbers are text.
#include "ingot/dist/etcd_store.h"

#include <chrono>
#include <utility>

#include "ingot/base/base64.h"
#include "ingot/base/clock.h"
#include "ingot/base/error.h"

namespace ingot::dist {
namespace {

constexpr double kRequestSeconds = 3;
// How long a process looks for a server that answers before it gives up.
constexpr double kEtcdSearchSeconds = 10;
constexpr int kJobLeaseSeconds = 60;
constexpr auto kKeepAliveInterval = std::chrono::seconds(kJobLeaseSeconds / 6);
constexpr const char* kLeaseKey = ".lease";

// The end of the range of keys that begin with a prefix.
std::string EndOf(std::string prefix) {
  prefix.back() = static_cast<char>(prefix.back() + 1);  // names are ASCII
  return prefix;
}

}  // namespace

EtcdStore::EtcdStore(std::vector<Endpoint> servers, const std::string& name)
    : prefix_("/ingot/" + name + "/") {
  for (Endpoint& server : servers) servers_.emplace_back(std::move(server));
  thread_ = std::thread([this] { KeepAlive(); });
}

EtcdStore::~EtcdStore() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

// Under the lock. `again`: whether the request may have been carried out before.
Json EtcdStore::Ask(const std::string& path, const Json& request, bool* again) {
  const double until = MonotonicSeconds() + kEtcdSearchSeconds;
  const std::string body = request.dump();
  if (again != nullptr) *again = false;
  while (true) {
    bool reached = false;
    HttpClient& server = servers_[at_];
    const auto answer = server.Post(path, body, kRequestSeconds, &reached);
    if (answer && answer->status == 200) {
      Json json = Json::parse(answer->body, nullptr, false);
      if (json.is_object()) return json;
    }
    if (answer && answer->status != 503) {
      const Json json = Json::parse(answer->body, nullptr, false);
      const std::string error = json.is_object() ? Text(json, "error") : "";
      if (error.find("lease not found") != std::string::npos) {
        lease_.clear();
        throw Error(ErrorCode::kIo, "the records of the job in etcd have run out");
      }
      throw Error(ErrorCode::kInvalidInput,
                  "what answers at the rendezvous etcd://" + server.server().ToString() +
                      (error.empty() ? " is no etcd of version 3.4 or later: HTTP status "
                                     : " refuses a request (" + error + "): HTTP status ") +
                      std::to_string(answer->status),
                  "give the address of an etcd server for clients, usually port 2379");
    }
    if (again != nullptr) *again = *again || reached;
    if (MonotonicSeconds() > until) {
      throw Error(ErrorCode::kIo,
                  "no etcd answers at the rendezvous etcd://" + server.server().ToString(),
                  "start etcd there, or correct the address");
    }
    at_ = (at_ + 1) % servers_.size();
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

// Under the lock: the lease of the job, which the first process makes.
const std::string& EtcdStore::Lease() {
  while (lease_.empty()) {
    if (const auto known = GetLocked(kLeaseKey)) {
      lease_ = *known;
      break;
    }
    const std::string made =
        Text(Ask("/v3/lease/grant", {{"TTL", std::to_string(kJobLeaseSeconds)}}), "ID");
    if (made.empty()) {
      throw Error(ErrorCode::kInvalidInput, "etcd gives no lease",
                  "an etcd of version 3.4 or later is needed");
    }
    lease_ = made;
    if (!CreateLocked(kLeaseKey, made)) {
      lease_.clear();  // another was quicker: its lease counts, and this one runs out
    }
  }
  return lease_;
}

std::optional<std::string> EtcdStore::GetLocked(const std::string& key) {
  const Json answer = Ask("/v3/kv/range", {{"key", Base64Encode(prefix_ + key)}});
  const auto found = answer.find("kvs");
  if (found == answer.end() || !found->is_array() || found->empty()) return std::nullopt;
  return Base64Decode(Text(found->at(0), "value"), "the value of '" + key + "' in etcd");
}

bool EtcdStore::CreateLocked(const std::string& key, const std::string& value) {
  const std::string name = Base64Encode(prefix_ + key);
  const Json put = {{"key", name}, {"value", Base64Encode(value)}, {"lease", Lease()}};
  const Json request = {
      {"compare",
       {{{"key", name}, {"target", "CREATE"}, {"result", "EQUAL"}, {"create_revision", "0"}}}},
      {"success", {{{"request_put", put}}}}};
  bool again = false;
  const Json answer = Ask("/v3/kv/txn", request, &again);
  if (answer.value("succeeded", false)) return true;
  // It may be this process's own record, of which the answer was lost.
  return again && GetLocked(key) == value;
}

bool EtcdStore::Create(const std::string& key, const std::string& value) {
  const std::lock_guard lock(mutex_);
  return CreateLocked(key, value);
}

void EtcdStore::Put(const std::string& key, const std::string& value) {
  const std::lock_guard lock(mutex_);
  Ask("/v3/kv/put",
      {{"key", Base64Encode(prefix_ + key)}, {"value", Base64Encode(value)}, {"lease", Lease()}});
}

std::optional<std::string> EtcdStore::Get(const std::string& key) {
  const std::lock_guard lock(mutex_);
  return GetLocked(key);
}

std::vector<std::string> EtcdStore::List(const std::string& prefix) {
  const std::lock_guard lock(mutex_);
  const std::string first = prefix_ + prefix;
  const Json answer = Ask("/v3/kv/range", {{"key", Base64Encode(first)},
                                           {"range_end", Base64Encode(EndOf(first))},
                                           {"keys_only", true},
                                           {"sort_order", "ASCEND"},
                                           {"sort_target", "KEY"}});
  std::vector<std::string> keys;
  const auto found = answer.find("kvs");
  if (found == answer.end() || !found->is_array()) return keys;
  for (const Json& record : *found) {
    std::string key = Base64Decode(Text(record, "key"), "a key in etcd").substr(prefix_.size());
    if (key != kLeaseKey) keys.push_back(std::move(key));
  }
  return keys;
}

void EtcdStore::KeepAlive() {
  std::unique_lock lock(mutex_);
  while (!closing_) {
    changed_.wait_for(lock, kKeepAliveInterval, [this] { return closing_; });
    if (closing_ || lease_.empty()) continue;
    try {
      const Json answer = Ask("/v3/lease/keepalive", {{"ID", lease_}});
      const Json result = answer.value("result", Json::object());
      // It has run out, and the records with it: the members write them again, with a new one.
      if (Text(result, "TTL").empty() || Text(result, "TTL") == "0") lease_.clear();
    } catch (const Error&) {
      // The members see it, too, and say so.
    }
  }
}

}  // namespace ingot::dist
