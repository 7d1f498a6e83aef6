// Loop: an event loop and its thread. Connection: what a loop watches over: each has a deadline,
// and is told when the server drains.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <unordered_set>

#include "ingot/serve/executor.h"
#include "ingot/serve/net/asio.h"

namespace ingot::serve {

class Connection {
 public:
  virtual ~Connection() = default;
  // About once a second.
  virtual void Tick(std::chrono::steady_clock::time_point now) = 0;
  // No further requests; closes when those in flight are answered.
  virtual void Drain() = 0;
  virtual void Close() = 0;
};

// All but Post and Stop is called on the loop's own thread.
class Loop : public Executor {
 public:
  explicit Loop(int index);
  ~Loop() override;

  asio::io_context& io() { return io_; }
  void Run();   // until Stop
  void Stop();  // from any thread
  void Post(std::function<void()> work) override;

  void Add(Connection* connection);
  void Remove(Connection* connection);
  size_t connections() const { return count_.load(std::memory_order_relaxed); }
  void Drain();
  void CloseAll();

 private:
  void StartTicking();

  // Before io_: what waits there holds connections, which leave the set when they go.
  std::unordered_set<Connection*> connections_;
  std::atomic<size_t> count_ = 0;
  asio::io_context io_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  asio::steady_timer timer_;
  bool ticking_ = false;
};

}  // namespace ingot::serve
