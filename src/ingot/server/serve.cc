// ingot serve: the inference server.
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "ingot/base/error.h"
#include "ingot/base/heap.h"
#include "ingot/base/machine.h"
#include "ingot/cli/program.h"
#include "ingot/serve/onnx_backend.h"
#include "ingot/serve/server.h"
#include "ingot/server/verbs.h"

namespace ingot::server {
namespace {

using cli::Options;
using cli::Streams;

int Port(const std::optional<int64_t>& given, int standard) {
  return given ? static_cast<int>(*given) : standard;
}

// While models are loaded: the first SIGINT or SIGTERM ends the program, since nothing is in flight
// yet. The signals are blocked in all threads.
class StartWatch {
 public:
  explicit StartWatch(const sigset_t& signals)
      : signals_(::signalfd(-1, &signals, SFD_CLOEXEC)), done_(::eventfd(0, EFD_CLOEXEC)) {
    thread_ = std::thread([this] { Loop(); });
  }
  ~StartWatch() {
    ::eventfd_write(done_, 1);
    thread_.join();
    ::close(signals_);
    ::close(done_);
  }
  StartWatch(const StartWatch&) = delete;
  StartWatch& operator=(const StartWatch&) = delete;

 private:
  void Loop() const {
    while (true) {
      pollfd polls[] = {{done_, POLLIN, 0}, {signals_, POLLIN, 0}};
      if (::poll(polls, 2, -1) < 0) continue;
      if (polls[0].revents != 0) return;
      signalfd_siginfo signal = {};
      if (::read(signals_, &signal, sizeof(signal)) != sizeof(signal)) continue;
      if (signal.ssi_signo == SIGHUP) continue;  // what changed is being read
      std::fputs("interrupted\n", stderr);
      std::_Exit(cli::kInterrupted);
    }
  }

  int signals_;
  int done_;
  std::thread thread_;
};

// Meanwhile, what holes of the heaps have come together to goes back to the system.
int WaitForSignal(const sigset_t& signals) {
  constexpr uint64_t kWorthGivingBack = 4 << 20;
  const timespec patience = {10, 0};
  uint64_t looked_at = 0;  // an idle server has nothing new to give back
  while (true) {
    const int signal = ::sigtimedwait(&signals, nullptr, &patience);
    if (signal > 0) return signal;
    const uint64_t free = ReadHeapUse().free;
    if (free > kWorthGivingBack && free != looked_at) TrimHeap();
    looked_at = free;
  }
}

class Serve : public cli::Verb {
 public:
  void Declare(Options& options) override {
    options.Positional("MODEL", &model_, "an ONNX file, served under its name", false);
    options.Texts("--repository", &repositories_, "DIR",
                  "a folder of models: NAME/VERSION/model.onnx and NAME/config.pbtxt");
    options.Number("--http-port", &http_port_, "P", "HTTP (default: 8000; 0: any free port)", 0);
    options.Number("--grpc-port", &grpc_port_, "P", "gRPC (default: 8001; 0: any free port)", 0);
    options.Number("--metrics-port", &metrics_port_, "P",
                   "Prometheus metrics (default: 8002; 0: any free port)", 0);
    options.Text("--listen", &options_.address, "ADDRESS",
                 "the address to listen on (default: 127.0.0.1; 0.0.0.0: all)");
    options.Flag("--explicit", &options_.explicit_control,
                 "loads only what --load names and what clients ask for");
    options.Texts("--load", &options_.load, "NAME",
                  "with --explicit: a model to load at the start");
    options.Number("--poll", &poll_, "S", "looks for changed models every S seconds", 1);
    options.Flag("--strict-config", &options_.repository.strict_config,
                 "refuses models without config.pbtxt");
    options.Threads(&threads_,
                    "threads of a model, and batches at once (default: the CPUs it may use)");
    options.Number("--instances", &instances_, "N",
                   "batches of one model at once, where its config.pbtxt says nothing", 1);
    options.Number("--queue", &queue_, "N",
                   "requests that may wait for a model (default: 8192); more get 503", 1);
    options.Number("--cache", &cache_, "MIB", "memory for answers (response_cache in config.pbtxt)",
                   1);
    options.Number("--memory-budget", &budget_, "MIB",
                   "models not used for longest are unloaded beyond this", 1);
    options.Number("--max-body", &max_body_, "MIB", "the largest body (default: 256)", 1);
    options.Number(
        "--max-memory", &max_memory_, "MIB",
        "bodies of all requests in flight, and as much again for answers that clients have "
        "not taken (default: 1024)",
        1);
    options.Number("--max-connections", &max_connections_, "N", "open at once (default: 10000)", 1);
    options.Text("--tls-cert", &options_.tls.certificate, "FILE",
                 "TLS: the certificate chain, PEM");
    options.Text("--tls-key", &options_.tls.key, "FILE", "TLS: its key, PEM");
    options.Text("--tls-client-ca", &options_.tls.client_authority, "FILE",
                 "mutual TLS: who must have signed clients' certificates, PEM");
    options.Text("--keys", &options_.keys_file, "FILE",
                 "API keys: lines of NAME SHA256 [admin] [models=a,b*] [rate=N]");
    options.Flag("--no-admin", &no_admin_, "no loading, unloading or settings by clients");
    options.Flag("--admin-anywhere", &options_.admin_anywhere,
                 "administration without a key from other machines, too");
    options.Flag("--no-shared-memory", &no_shared_memory_, "no shared memory of clients");
    options.Text("--access-log", &options_.access_log, "FILE", "a line of JSON a call; -: stderr");
    options.Text("--otlp", &options_.otlp_url, "URL",
                 "an OpenTelemetry collector for spans, such as http://127.0.0.1:4318");
    options.Text("--trace-file", &options_.trace_file, "FILE",
                 "spans, as OTLP in JSON, a line each time");
    options.Number("--drain", &drain_, "S",
                   "seconds for requests in flight after SIGTERM (default: 30)", 0);
  }

  int Run(const Streams& streams) override {
    Fill();
    KeepHeapsSmall(serve::EventLoops(options_));
    // Signals are waited for below; blocked before there is any thread.
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
    Logger log(LogLevel::kInfo, streams.err);
    serve::Server server(options_, serve::LoadOnnxBackend, log);
    {
      const StartWatch watch(signals);
      server.Start();
    }
    streams.Out(fmt::format("ready http={} grpc={} metrics={}\n", server.http_address(),
                            server.grpc_address(), server.metrics_address()));
    std::fflush(streams.out);
    while (WaitForSignal(signals) == SIGHUP) {
      for (const std::string& name : server.repository().Poll())
        log.Info("looked at '" + name + "'");
    }
    log.Info("draining");
    if (!server.Stop()) {
      log.Error("requests in flight were not answered in time");
      std::_Exit(cli::kFailed);
    }
    return cli::kOk;
  }

 private:
  void Fill() {
    for (const std::string& folder : repositories_) {
      std::error_code error;
      if (!std::filesystem::is_directory(folder, error)) {
        throw Error(ErrorCode::kNotFound, "--repository '" + folder + "' is no folder");
      }
    }
    if (!model_.empty()) {
      std::error_code error;
      if (!std::filesystem::is_regular_file(model_, error)) {
        throw Error(ErrorCode::kNotFound, "the model '" + model_ + "' is no file",
                    "a folder of models is given as --repository DIR");
      }
      options_.model_files.push_back(model_);
    }
    if (repositories_.empty() && model_.empty()) {
      throw Error(ErrorCode::kInvalidInput, "nothing to serve",
                  "ingot serve model.onnx, or ingot serve --repository models/");
    }
    if (!options_.load.empty() && !options_.explicit_control) {
      throw Error(ErrorCode::kInvalidInput, "--load names what --explicit loads at the start",
                  "without --explicit all models are loaded");
    }
    if (options_.tls.certificate.empty() != options_.tls.key.empty() ||
        (options_.tls.certificate.empty() && !options_.tls.client_authority.empty())) {
      throw Error(ErrorCode::kInvalidInput, "--tls-cert and --tls-key are given together");
    }
    for (const auto& port : {http_port_, grpc_port_, metrics_port_}) {
      if (port && *port > 65535) {
        throw Error(ErrorCode::kInvalidInput, fmt::format("port {}: expected 0 to 65535", *port));
      }
    }
    const int cpus = static_cast<int>(AvailableCpus());
    options_.repository.folders = repositories_;
    options_.http_port = Port(http_port_, 8000);
    options_.grpc_port = Port(grpc_port_, 8001);
    options_.metrics_port = Port(metrics_port_, 8002);
    options_.poll_seconds = static_cast<int>(poll_.value_or(0));
    options_.compute = static_cast<int>(threads_.value_or(cpus));
    options_.repository.threads = options_.compute;
    options_.repository.default_instances = static_cast<int>(instances_.value_or(options_.compute));
    options_.repository.max_queued = queue_.value_or(8192);
    options_.repository.memory_budget = static_cast<uint64_t>(budget_.value_or(0)) << 20;
    options_.cache_bytes = static_cast<uint64_t>(cache_.value_or(0)) << 20;
    options_.limits.body_bytes = static_cast<uint64_t>(max_body_.value_or(256)) << 20;
    options_.limits.memory_bytes = max_memory_.value_or(1024) << 20;
    options_.limits.connections = static_cast<int>(max_connections_.value_or(10'000));
    options_.allow_admin = !no_admin_;
    options_.allow_shared_memory = !no_shared_memory_;
    options_.drain_seconds = static_cast<int>(drain_.value_or(30));
    options_.version = cli::kVersion;
  }

  std::string model_;
  std::vector<std::string> repositories_;
  serve::ServeOptions options_;
  std::optional<int64_t> http_port_, grpc_port_, metrics_port_, poll_, threads_, instances_, queue_,
      cache_, budget_, max_body_, max_memory_, max_connections_, drain_;
  bool no_admin_ = false, no_shared_memory_ = false;
};

}  // namespace

void AddServe(cli::Program& program) {
  program.Add<Serve>(
      {.name = "serve",
       .summary = "serve models over HTTP and gRPC (Open Inference Protocol)",
       .details =
           "Prints one line, 'ready' with the addresses, when it serves. SIGTERM ends it after "
           "the requests\nin flight are answered; SIGHUP looks for changed models.",
       .example = "ingot serve model.onnx\n"
                  "ingot serve --repository models/ --http-port 8000 --grpc-port 8001\n"
                  "ingot serve --repository models/ --listen 0.0.0.0 --keys keys.txt --tls-cert "
                  "cert.pem --tls-key key.pem"});
}

}  // namespace ingot::server
