// The parts of a server, and the order in which they begin and end.
#include "ingot/serve/server.h"

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <thread>

#include <unistd.h>

#include "ingot/base/error.h"
#include "ingot/base/machine.h"
#include "ingot/serve/access_control.h"
#include "ingot/serve/access_log.h"
#include "ingot/serve/front_end.h"
#include "ingot/serve/tracer.h"

namespace ingot::serve {
namespace {

ServerOptions StateOptions(const ServeOptions& from) {
  ServerOptions options;
  options.version = from.version;
  options.limits = from.limits;
  options.allow_admin = from.allow_admin;
  options.allow_shared_memory = from.allow_shared_memory;
  return options;
}

int Cpus(int wanted) {
  return wanted > 0 ? wanted : static_cast<int>(AvailableCpus());
}

// Sockets that systemd has opened for this process: from descriptor 3, in the order HTTP, gRPC,
// metrics.
int InheritedSockets() {
  const char* pid = std::getenv("LISTEN_PID");
  const char* count = std::getenv("LISTEN_FDS");
  if (pid == nullptr || count == nullptr || std::atol(pid) != static_cast<long>(::getpid()))
    return 0;
  return std::atoi(count);
}

std::string ModelName(const std::string& file) {
  const std::filesystem::path path(file);
  const std::string stem = path.stem().string();
  // models/NAME/1/model.onnx is NAME.
  if (stem == "model" && path.has_parent_path()) {
    const std::filesystem::path folder = std::filesystem::absolute(path).parent_path();
    const std::string version = folder.filename().string();
    if (!version.empty() && version.find_first_not_of("0123456789") == std::string::npos) {
      return folder.parent_path().filename().string();
    }
  }
  return stem.empty() ? "model" : stem;
}

}  // namespace

int EventLoops(const ServeOptions& options) {
  const int loops = options.loops > 0 ? options.loops : std::min(Cpus(0), 4);
  return std::clamp(loops, 1, kMaxExecutors);
}

class ServerParts {
 public:
  ServerParts(const ServeOptions& given, BackendFactory factory, Logger& log)
      : options(given),
        state(StateOptions(given), log),
        gate(Cpus(given.compute)),
        access(given.keys_file, given.allow_admin, given.admin_anywhere),
        front_end(state),
        net(front_end, given.limits, EventLoops(given)) {
    if (given.cache_bytes > 0) cache = std::make_unique<ResponseCache>(given.cache_bytes);
    if (!given.access_log.empty()) access_log = std::make_unique<AccessLog>(given.access_log);
    RepositoryOptions models = given.repository;
    models.changed = [this] { state.watchers.Notify(); };
    repository =
        std::make_unique<Repository>(std::move(models), std::move(factory), gate, log, cache.get());
    if (!given.otlp_url.empty() || !given.trace_file.empty()) {
      tracer = std::make_unique<Tracer>(given.otlp_url, given.trace_file, state.settings);
    }
    state.tracer = tracer.get();
    state.repository = repository.get();
    state.cache = cache.get();
    state.access = &access;
    state.access_log = access_log.get();
    state.memory = &net.memory();
    state.connections = [this] { return net.connections(); };
  }

  void Listen() {
    const int inherited = InheritedSockets();
    struct Wanted {
      PortKind kind;
      int port;
      std::string* address;
    };
    int number = 0;
    for (const Wanted& wanted : {Wanted{PortKind::kHttp, options.http_port, &http},
                                 Wanted{PortKind::kGrpc, options.grpc_port, &grpc},
                                 Wanted{PortKind::kMetrics, options.metrics_port, &metrics}}) {
      const int fd = 3 + number++;
      // Metrics are plain: they are read by a monitor on the same machine or network.
      const TlsFiles tls = wanted.kind == PortKind::kMetrics ? TlsFiles{} : options.tls;
      if (fd - 3 < inherited) {
        *wanted.address = net.Adopt(fd, wanted.kind, tls);
      } else if (wanted.port >= 0) {
        *wanted.address =
            net.Listen(options.address, static_cast<uint16_t>(wanted.port), wanted.kind, tls);
      }
    }
  }

  void LoadModels() {
    for (const std::string& file : options.model_files) repository->AddFile(ModelName(file), file);
    if (options.explicit_control) {
      for (const std::string& name : options.load) {
        const Status status = repository->Load(name);
        if (!status.ok())
          throw Error(ErrorCode::kInvalidInput, "--load " + name + ": " + status.message);
      }
      for (const std::string& file : options.model_files) repository->Load(ModelName(file));
    } else {
      repository->LoadAll();
    }
  }

  void Poll() {
    std::unique_lock lock(mutex);
    while (!stopping) {
      changed.wait_for(lock, std::chrono::seconds(options.poll_seconds));
      if (stopping) return;
      lock.unlock();
      repository->Poll();
      lock.lock();
    }
  }

  const ServeOptions options;
  ServerState state;
  ComputeGate gate;
  AccessControl access;
  std::unique_ptr<AccessLog> access_log;
  std::unique_ptr<Tracer> tracer;
  std::unique_ptr<ResponseCache> cache;
  std::unique_ptr<Repository> repository;
  FrontEnd front_end;
  NetServer net;
  std::string http, grpc, metrics;
  std::mutex mutex;
  std::condition_variable changed;
  bool stopping = false, stopped = false;
  std::thread poller;
};

Server::Server(const ServeOptions& options, BackendFactory factory, Logger& log)
    : parts_(std::make_unique<ServerParts>(options, std::move(factory), log)) {}

Server::~Server() {
  Stop();
}

void Server::Start() {
  ServerParts& p = *parts_;
  p.Listen();
  p.LoadModels();
  p.net.Start();
  p.state.ready.store(true);
  p.state.watchers.Notify();
  if (p.options.poll_seconds > 0) p.poller = std::thread([&p] { p.Poll(); });
}

const std::string& Server::http_address() const {
  return parts_->http;
}
const std::string& Server::grpc_address() const {
  return parts_->grpc;
}
const std::string& Server::metrics_address() const {
  return parts_->metrics;
}
Repository& Server::repository() {
  return *parts_->repository;
}

bool Server::Stop() {
  ServerParts& p = *parts_;
  if (std::exchange(p.stopped, true)) return true;
  p.state.draining.store(true);
  p.state.watchers.Notify();
  {
    const std::scoped_lock lock(p.mutex);
    p.stopping = true;
  }
  p.changed.notify_all();
  if (p.poller.joinable()) p.poller.join();
  p.net.Stop(p.options.drain_seconds);
  if (p.state.in_flight.load() != 0) return false;
  p.repository->Clear();
  return true;
}

}  // namespace ingot::serve
