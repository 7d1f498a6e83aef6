// API keys.
#include "ingot/serve/access_control.h"

#include <algorithm>
#include <filesystem>
#include <sstream>

#include "ingot/base/error.h"
#include "ingot/base/file.h"
#include "ingot/base/sha256.h"

namespace ingot::serve {

using SteadyClock = std::chrono::steady_clock;

struct AccessControl::Key {
  std::string name;
  bool admin = false;
  std::vector<std::string> models;  // empty: all
  double rate = 0;                  // requests a second; 0: no limit
  // A bucket that fills at the rate and holds one second's worth, one request at least.
  double tokens = 0;
  SteadyClock::time_point filled;

  bool MayUse(std::string_view model) const {
    if (models.empty() || model.empty()) return true;
    return std::any_of(models.begin(), models.end(), [&](const std::string& pattern) {
      return pattern.ends_with('*') ? model.starts_with(pattern.substr(0, pattern.size() - 1))
                                    : model == pattern;
    });
  }
  bool Take(SteadyClock::time_point now) {
    if (rate <= 0) return true;
    const double most = std::max(1.0, rate);
    tokens = std::min(most, tokens + rate * std::chrono::duration<double>(now - filled).count());
    filled = now;
    if (tokens < 1) return false;
    tokens -= 1;
    return true;
  }
};

namespace {

std::string KeysStamp(const std::string& file) {
  std::error_code error;
  const auto time = std::filesystem::last_write_time(file, error).time_since_epoch().count();
  const auto size = std::filesystem::file_size(file, error);
  return std::to_string(time) + " " + std::to_string(size);
}

}  // namespace

AccessControl::AccessControl(std::string keys_file, bool allow_admin, bool admin_anywhere)
    : file_(std::move(keys_file)), allow_admin_(allow_admin), admin_anywhere_(admin_anywhere) {
  if (file_.empty()) return;
  stamp_ = KeysStamp(file_);
  keys_ = ReadKeys(file_);
  looked_ = SteadyClock::now();
}

AccessControl::~AccessControl() = default;

AccessControl::Keys AccessControl::ReadKeys(const std::string& file) {
  Keys keys;
  std::istringstream lines(ReadFile(file));
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    std::istringstream words(line);
    std::string digest, word;
    auto key = std::make_shared<Key>();
    if (!(words >> key->name) || key->name.starts_with("#")) continue;
    const std::string where = file + ", line " + std::to_string(number) + ": ";
    words >> digest;
    if (digest.size() != 64 || digest.find_first_not_of("0123456789abcdef") != std::string::npos) {
      throw Error(ErrorCode::kInvalidInput,
                  where + "expected NAME and the SHA-256 of its key in 64 hexadecimal digits",
                  "printf %s KEY | sha256sum");
    }
    while (words >> word) {
      if (word == "admin") {
        key->admin = true;
      } else if (word.starts_with("models=")) {
        std::istringstream names(word.substr(7));
        for (std::string name; std::getline(names, name, ',');) key->models.push_back(name);
        if (key->models.empty()) {  // that would be all of them
          throw Error(ErrorCode::kInvalidInput, where + "'models=' names no model");
        }
      } else if (word.starts_with("rate=")) {
        char* end = nullptr;
        key->rate = std::strtod(word.c_str() + 5, &end);
        if (*end != '\0' || !(key->rate > 0)) {
          throw Error(ErrorCode::kInvalidInput, where + "'" + word + "', expected rate=NUMBER");
        }
        key->tokens = std::max(1.0, key->rate);
        key->filled = SteadyClock::now();
      } else {
        throw Error(ErrorCode::kInvalidInput,
                    where + "'" + word + "', expected admin, models=... or rate=...");
      }
    }
    keys[digest] = std::move(key);
  }
  return keys;
}

// Called under the lock. A file that cannot be read leaves the keys as they were.
void AccessControl::Refresh(SteadyClock::time_point now) {
  if (now - looked_ < std::chrono::seconds(1)) return;
  looked_ = now;
  const std::string stamp = KeysStamp(file_);
  if (stamp == stamp_) return;
  try {
    keys_ = ReadKeys(file_);
    stamp_ = stamp;
  } catch (const Error&) {
  }
}

Status AccessControl::Check(Access access, std::string_view model, const Peer& peer,
                            std::string_view key, std::string& key_name) {
  if (access == Access::kOpen) return {};
  if (access == Access::kAdmin && !allow_admin_) {
    return {StatusCode::kPermissionDenied, "administration is switched off (--no-admin)"};
  }
  if (file_.empty()) {
    if (access == Access::kAdmin && !peer.loopback && !admin_anywhere_) {
      return {StatusCode::kPermissionDenied,
              "administration is allowed from this machine alone, or with an API key"};
    }
    return {};
  }
  if (key.empty()) {
    return {StatusCode::kUnauthenticated, "an API key is needed: Authorization: Bearer KEY"};
  }
  const std::string digest = Sha256Hex(key);
  const SteadyClock::time_point now = SteadyClock::now();
  const std::scoped_lock lock(mutex_);
  Refresh(now);
  const auto found = keys_.find(digest);
  if (found == keys_.end()) return {StatusCode::kUnauthenticated, "the API key is not known"};
  Key& known = *found->second;
  key_name = known.name;
  if (access == Access::kAdmin && !known.admin) {
    return {StatusCode::kPermissionDenied, "the API key '" + known.name + "' may not administer"};
  }
  if (!known.MayUse(model)) {
    return {StatusCode::kPermissionDenied,
            "the API key '" + known.name + "' may not use model '" + std::string(model) + "'"};
  }
  if (!known.Take(now)) {
    return {StatusCode::kTooManyRequests,
            "the API key '" + known.name + "' has a limit on requests a second", 1};
  }
  return {};
}

bool AccessControl::MayUse(const std::string& key_name, std::string_view model) {
  if (file_.empty()) return true;
  const std::scoped_lock lock(mutex_);
  for (const auto& [digest, key] : keys_) {
    if (key->name == key_name) return key->MayUse(model);
  }
  return false;
}

std::string_view KeyOf(const Call& call) {
  const std::string_view field = call.headers.Get("authorization");
  if (field.size() > 7 && HeaderList::Same(field.substr(0, 7), "Bearer ")) return field.substr(7);
  return call.headers.Get("x-api-key");
}

}  // namespace ingot::serve
