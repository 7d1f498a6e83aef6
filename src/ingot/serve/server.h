// Server: everything that `ingot serve` runs, put together.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ingot/base/log.h"
#include "ingot/serve/net/server.h"
#include "ingot/serve/repository.h"

namespace ingot::serve {

struct ServeOptions {
  RepositoryOptions repository;
  std::vector<std::string> model_files;  // models outside a repository
  std::vector<std::string> load;         // with explicit control: what to load at the start
  bool explicit_control = false;         // nothing is loaded at the start but `load`
  int poll_seconds = 0;                  // 0: the folders are not watched
  std::string address = "127.0.0.1";
  int http_port = 8000, grpc_port = 8001, metrics_port = 8002;  // 0: any free one, -1: none
  TlsFiles tls;
  std::string keys_file;
  bool allow_admin = true, admin_anywhere = false;
  bool allow_shared_memory = true;
  std::string access_log;            // "": none, "-": stderr
  std::string otlp_url, trace_file;  // "": none
  uint64_t cache_bytes = 0;
  int loops = 0;    // 0: as many as CPUs, at most 4
  int compute = 0;  // batches at once; 0: as many as CPUs
  NetLimits limits;
  int drain_seconds = 30;
  std::string version;
};

// How many event loops a server with these options has.
int EventLoops(const ServeOptions& options);

class ServerParts;

class Server {
 public:
  Server(const ServeOptions& options, BackendFactory factory, Logger& log);
  ~Server();

  // Loads the models and begins to serve. Throws Error where an address cannot be used.
  void Start();
  // "127.0.0.1:8000"; "" for a port that is switched off.
  const std::string& http_address() const;
  const std::string& grpc_address() const;
  const std::string& metrics_address() const;
  // Finishes what is under way, then ends. False where the time was over before that: then threads
  // still compute, and the process should end without waiting for them.
  bool Stop();
  Repository& repository();

 private:
  std::unique_ptr<ServerParts> parts_;
};

}  // namespace ingot::serve
