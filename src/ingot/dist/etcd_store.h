// EtcdStore: the store of "etcd://host:2379/name": records in etcd, through the HTTP gateway of its
// version 3. They belong to a lease of the job, which its processes keep alive together: when all
// of them are gone, so are the records, soon.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "ingot/dist/http_client.h"
#include "ingot/dist/store.h"

namespace ingot::dist {

class EtcdStore : public Store {
 public:
  // `servers`: those of one cluster, any of which will do. `name`: of the job.
  EtcdStore(std::vector<Endpoint> servers, const std::string& name);
  ~EtcdStore() override;
  EtcdStore(const EtcdStore&) = delete;
  EtcdStore& operator=(const EtcdStore&) = delete;

  // All throw Error(kIo) where no server answers, kInvalidInput where what answers is no etcd.
  bool Create(const std::string& key, const std::string& value) override;
  void Put(const std::string& key, const std::string& value) override;
  std::optional<std::string> Get(const std::string& key) override;
  std::vector<std::string> List(const std::string& prefix) override;

 private:
  Json Ask(const std::string& path, const Json& request, bool* again = nullptr);
  std::optional<std::string> GetLocked(const std::string& key);
  bool CreateLocked(const std::string& key, const std::string& value);
  const std::string& Lease();
  void KeepAlive();

  const std::string prefix_;
  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_:
  std::vector<HttpClient> servers_;
  size_t at_ = 0;      // the server that answered last
  std::string lease_;  // its number; "" before the first use, and where it has run out
  bool closing_ = false;
  std::thread thread_;
};

}  // namespace ingot::dist
