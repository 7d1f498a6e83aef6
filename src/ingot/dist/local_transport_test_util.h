// LocalTransport: messages between the threads of one process, for tests of what stands above a
// transport.
#pragma once

#include <condition_variable>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "ingot/dist/transport.h"

namespace ingot::dist {

// What all ranks share.
struct LocalWire {
  std::mutex mutex;
  std::condition_variable changed;
  std::map<std::tuple<int, int, uint64_t>, std::deque<std::string>> messages;  // from, to, tag
  bool aborted = false;
};

class LocalTransport : public Transport {
 public:
  LocalTransport(std::shared_ptr<LocalWire> wire, int rank) : wire_(std::move(wire)), rank_(rank) {}

  std::vector<std::string> Addresses() override { return {}; }
  bool Connect(const std::vector<std::string>&, double, std::string*) override { return true; }

  std::unique_ptr<Message> Send(int peer, uint64_t tag, const void* data, size_t bytes) override {
    const std::lock_guard lock(wire_->mutex);
    wire_->messages[{rank_, peer, tag}].emplace_back(static_cast<const char*>(data), bytes);
    wire_->changed.notify_all();
    return std::make_unique<Sent>();
  }

  std::unique_ptr<Message> Receive(int peer, uint64_t tag, void* data, size_t bytes) override {
    return std::make_unique<Received>(wire_, std::make_tuple(peer, rank_, tag), data, bytes);
  }

  void Abort() override {
    const std::lock_guard lock(wire_->mutex);
    wire_->aborted = true;
    wire_->changed.notify_all();
  }

 private:
  struct Sent : Message {
    bool Wait(std::string*) override { return true; }
  };

  struct Received : Message {
    Received(std::shared_ptr<LocalWire> on, std::tuple<int, int, uint64_t> what, void* to,
             size_t size)
        : wire(std::move(on)), key(what), data(to), bytes(size) {}
    bool Wait(std::string* error) override {
      std::unique_lock lock(wire->mutex);
      auto& queue = wire->messages[key];
      wire->changed.wait(lock, [&] { return wire->aborted || !queue.empty(); });
      if (queue.empty()) return false;
      if (queue.front().size() != bytes) {
        *error = "a message of another size";
        return false;
      }
      std::memcpy(data, queue.front().data(), bytes);
      queue.pop_front();
      return true;
    }
    std::shared_ptr<LocalWire> wire;
    std::tuple<int, int, uint64_t> key;
    void* data;
    size_t bytes;
  };

  std::shared_ptr<LocalWire> wire_;
  const int rank_;
};

}  // namespace ingot::dist
