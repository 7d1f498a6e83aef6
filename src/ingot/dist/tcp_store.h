// TcpStore: the store of "tcp://host:port". The first process of the job that can listen there
// serves it; where that one is gone, another of the same machine does. What a new server lacks, the
// members write again (member.cc).
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "ingot/dist/store.h"
#include "ingot/dist/wire.h"

namespace ingot::dist {

// Serves records at an address from a thread of its own, to those who know the token.
class TcpStoreServer {
 public:
  // Port 0: any. `records`: what is served; null: records of its own, in memory. Throws Error(kIo)
  // where it cannot listen.
  TcpStoreServer(const Endpoint& at, std::string token, std::shared_ptr<Store> records = nullptr);
  ~TcpStoreServer();
  TcpStoreServer(const TcpStoreServer&) = delete;
  TcpStoreServer& operator=(const TcpStoreServer&) = delete;

  const Endpoint& endpoint() const { return endpoint_; }

 private:
  struct Client {
    LineSocket socket;
    bool trusted = false;
  };
  void Loop();
  Json Answer(Client& client, const Json& request);

  Endpoint endpoint_;
  FileDescriptor listener_;
  const std::string token_;
  std::atomic<bool> closing_ = false;
  const std::shared_ptr<Store> records_;
  std::thread thread_;
};

class TcpStore : public Store {
 public:
  TcpStore(Endpoint server, std::string token);
  ~TcpStore() override;
  // Served by this process at `host`, at whatever port is free. Throws Error(kIo).
  static std::shared_ptr<TcpStore> Serve(const std::string& host, const std::string& token);
  const Endpoint& server() const { return server_; }

  // All throw Error(kIo) where nobody serves the address, kInvalidInput where the token is wrong.
  bool Create(const std::string& key, const std::string& value) override;
  void Put(const std::string& key, const std::string& value) override;
  std::optional<std::string> Get(const std::string& key) override;
  std::vector<std::string> List(const std::string& prefix) override;

 private:
  Json Ask(const Json& request);
  bool TryAsk(const Json& request, Json& answer);

  const Endpoint server_;
  const std::string token_;
  std::mutex mutex_;
  // Guarded by mutex_:
  LineSocket socket_;
  std::unique_ptr<TcpStoreServer> served_;  // by this process
};

}  // namespace ingot::dist
