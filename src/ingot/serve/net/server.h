// NetServer: listeners, the loops that serve their connections, and the end of all that.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "ingot/serve/net/http1.h"
#include "ingot/serve/net/limits.h"
#include "ingot/serve/net/loop.h"

namespace ingot::serve {

struct TlsFiles {
  std::string certificate, key;  // PEM; "": no TLS
  std::string client_authority;  // PEM; clients must show a certificate that it has signed
};

class NetServer {
 public:
  // `handler` outlives the server.
  NetServer(Handler& handler, const NetLimits& limits, int loops);
  ~NetServer();

  // Binds; returns the address with the port that was found for port 0: "127.0.0.1:8000". Throws
  // Error(kIo) naming the address.
  std::string Listen(const std::string& address, uint16_t port, PortKind kind, const TlsFiles& tls);
  // The same with a socket that listens already (systemd's).
  std::string Adopt(int socket, PortKind kind, const TlsFiles& tls);

  void Start();
  // No new connections; idle ones are closed, those in use after their answers.
  void Drain();
  // Returns when no connection is left, or after the time, and stops.
  void Stop(int seconds);

  size_t connections() const;
  Executor& executor(size_t index) { return *loops_[index]; }
  size_t loops() const { return loops_.size(); }
  MemoryBudget& memory() { return memory_; }

 private:
  struct Listener;
  void Accept(Listener& listener);
  void Begin(Tcp::socket socket, Loop& loop, Listener& listener);

  NetContext context_;
  MemoryBudget memory_;
  MemoryBudget unsent_;
  std::vector<std::unique_ptr<Loop>> loops_;
  std::vector<std::thread> threads_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  size_t next_loop_ = 0;
  bool stopped_ = false;
};

}  // namespace ingot::serve
