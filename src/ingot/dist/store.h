// Store: the few small records that a group must not lose: who coordinates, which groups there
// were. A record that exists is never created again by another: that is what keeps two
// coordinators from both deciding.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace ingot::dist {

// Safe for use by several threads and processes.
class Store {
 public:
  virtual ~Store() = default;
  // Creates a record; false where there is one already. Throws Error(kIo).
  virtual bool Create(const std::string& key, const std::string& value) = 0;
  // Creates or replaces it. Throws Error(kIo).
  virtual void Put(const std::string& key, const std::string& value) = 0;
  virtual std::optional<std::string> Get(const std::string& key) = 0;
  // Keys that begin with `prefix`, sorted.
  virtual std::vector<std::string> List(const std::string& prefix) = 0;
};

// Records in this process's memory.
class MemoryStore : public Store {
 public:
  bool Create(const std::string& key, const std::string& value) override;
  void Put(const std::string& key, const std::string& value) override;
  std::optional<std::string> Get(const std::string& key) override;
  std::vector<std::string> List(const std::string& prefix) override;

 private:
  std::mutex mutex_;
  std::map<std::string, std::string> records_;  // guarded by mutex_
};

// A folder that all processes see, a file for each record.
class FileStore : public Store {
 public:
  // Makes the folder at need. Throws Error(kIo).
  explicit FileStore(std::string folder);
  bool Create(const std::string& key, const std::string& value) override;
  void Put(const std::string& key, const std::string& value) override;
  std::optional<std::string> Get(const std::string& key) override;
  std::vector<std::string> List(const std::string& prefix) override;

 private:
  std::string Temporary(const std::string& value);
  std::string folder_;
  std::atomic<uint64_t> count_ = 0;
};

// The last of "NAME-1", "NAME-2", ...; 0 where there is none.
int64_t LastNumber(Store& store, const std::string& name);

}  // namespace ingot::dist
