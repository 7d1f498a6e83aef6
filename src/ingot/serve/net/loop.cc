// Event loops.
#include "ingot/serve/net/loop.h"

#include <vector>

namespace ingot::serve {

Loop::Loop(int index) : Executor(index), work_(asio::make_work_guard(io_)), timer_(io_) {}

Loop::~Loop() = default;

// With one connection, waking up takes longer than answering a small request: the loop looks for a
// moment before it sleeps.
void Loop::Run() {
  constexpr auto kLook = std::chrono::microseconds(30);
  SetCurrent(this);
  auto last = std::chrono::steady_clock::time_point();
  while (!io_.stopped()) {
    if (io_.poll() > 0) {
      last = std::chrono::steady_clock::now();
      continue;
    }
    if (connections_.size() == 1 && std::chrono::steady_clock::now() - last < kLook) continue;
    io_.run_one();
    last = std::chrono::steady_clock::now();
  }
  SetCurrent(nullptr);
}

void Loop::Stop() {
  io_.stop();
}

void Loop::Post(std::function<void()> work) {
  asio::post(io_, std::move(work));
}

void Loop::Add(Connection* connection) {
  connections_.insert(connection);
  count_.store(connections_.size(), std::memory_order_relaxed);
  StartTicking();
}

void Loop::Remove(Connection* connection) {
  connections_.erase(connection);
  count_.store(connections_.size(), std::memory_order_relaxed);
}

// Only while there is something to watch: an idle server does not wake up.
void Loop::StartTicking() {
  if (ticking_ || connections_.empty()) return;
  ticking_ = true;
  timer_.expires_after(std::chrono::seconds(1));
  timer_.async_wait([this](const ErrorOf& error) {
    ticking_ = false;
    if (error) return;
    const auto now = std::chrono::steady_clock::now();
    // A tick may close connections, which removes them.
    const std::vector<Connection*> all(connections_.begin(), connections_.end());
    for (Connection* connection : all) {
      if (connections_.contains(connection)) connection->Tick(now);
    }
    StartTicking();
  });
}

void Loop::Drain() {
  const std::vector<Connection*> all(connections_.begin(), connections_.end());
  for (Connection* connection : all) {
    if (connections_.contains(connection)) connection->Drain();
  }
}

void Loop::CloseAll() {
  const std::vector<Connection*> all(connections_.begin(), connections_.end());
  for (Connection* connection : all) {
    if (connections_.contains(connection)) connection->Close();
  }
}

}  // namespace ingot::serve
