// ServerState: what the front ends of one server share.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "ingot/base/log.h"
#include "ingot/base/thread_pool.h"
#include "ingot/serve/net/limits.h"
#include "ingot/serve/repository.h"
#include "ingot/serve/response_cache.h"
#include "ingot/serve/shared_memory.h"
#include "ingot/serve/watchers.h"

namespace ingot::serve {

class AccessControl;
class AccessLog;
class Tracer;

struct ServerOptions {
  std::string name = "ingot";
  std::string version;
  NetLimits limits;
  bool allow_shared_memory = true;  // where admin calls are allowed
  bool allow_admin = true;
};

// Settings that clients can read and change, safe for use by several threads.
struct Settings {
  std::mutex mutex;
  // Values are lists, as the protocol has them. Per model where the key is not "".
  std::map<std::string, std::map<std::string, std::vector<std::string>>> trace;
  bool log_info = true, log_warning = true, log_error = true;
  uint32_t log_verbose_level = 0;
  std::string log_file;
  std::string log_format = "default";
};

struct ServerState {
  ServerState(ServerOptions given, Logger& logger) : options(std::move(given)), log(logger) {}

  const ServerOptions options;
  Logger& log;
  Repository* repository = nullptr;
  ResponseCache* cache = nullptr;
  AccessControl* access = nullptr;
  AccessLog* access_log = nullptr;
  Tracer* tracer = nullptr;
  MemoryBudget* memory = nullptr;
  std::function<size_t()> connections;
  SharedMemory shared_memory;
  Watchers watchers;  // of the flags below, and of the repository
  Settings settings;
  std::atomic<bool> ready = false;
  std::atomic<bool> draining = false;
  std::atomic<int64_t> in_flight = 0;
  std::chrono::steady_clock::time_point started = std::chrono::steady_clock::now();
  // Loading, unloading and whatever else takes long; last, so that it ends first.
  ThreadPool admin{1};
};

}  // namespace ingot::serve
