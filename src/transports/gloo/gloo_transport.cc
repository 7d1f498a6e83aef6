// The transport "gloo": Gloo's unbound buffers over TCP. A plugin: see ingot/dist/transport.h.
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <gloo/transport/context.h>
#include <gloo/transport/device.h>
#include <gloo/transport/tcp/device.h>

#include "ingot/dist/transport.h"

namespace ingot::transports {
namespace {

// Who decides that a peer is lost is the coordinator, not a time limit of a message.
constexpr auto kForever = std::chrono::hours(24 * 365);

// A thread that sleeps goes on long after what it waits for has come, and its core, which has gone
// to sleep with it, takes longer still; so a receiver looks this long before it sleeps, and lets
// others have the core between two looks.
constexpr auto kAwake = std::chrono::microseconds(500);

// The last word of memory that a message is to come to. Gloo cannot be asked whether one has come,
// but what comes most probably changes this word, and last of all.
class LastWord {
 public:
  LastWord(void* data, size_t bytes) {
    // Not all memory begins at a whole word.
    const size_t lead = -reinterpret_cast<uintptr_t>(data) % sizeof(kMark);
    if (bytes < lead + sizeof(kMark)) return;
    const size_t words = (bytes - lead) / sizeof(kMark);
    word_ = reinterpret_cast<uint32_t*>(static_cast<std::byte*>(data) + lead) + words - 1;
    std::atomic_ref(*word_).store(kMark, std::memory_order_relaxed);
  }
  bool is_there() const {
    return word_ == nullptr || std::atomic_ref(*word_).load(std::memory_order_relaxed) != kMark;
  }

 private:
  static constexpr uint32_t kMark = 0xffed'cba9;  // a NaN that no arithmetic makes
  uint32_t* word_ = nullptr;
};

class GlooMessage;

class GlooTransport : public dist::Transport {
 public:
  GlooTransport(std::shared_ptr<gloo::transport::Device> device, int rank, int size)
      : device_(std::move(device)), rank_(rank), size_(size) {
    for (auto& context : contexts_) {
      context = device_->createContext(rank, size);
      // Gloo waits five times as long for a connection.
      context->setTimeout(std::chrono::milliseconds(1000));
      for (int peer = 0; peer < size_; ++peer) {
        if (peer != rank) context->createPair(peer);
      }
    }
  }

  std::vector<std::string> Addresses() override {
    std::vector<std::string> addresses(static_cast<size_t>(size_));
    for (int peer = 0; peer < size_; ++peer) {
      if (peer == rank_) continue;
      std::string& both = addresses[static_cast<size_t>(peer)];
      for (const auto& context : contexts_) {
        const std::vector<char> bytes = context->getPair(peer)->address().bytes();
        both.append(bytes.begin(), bytes.end());
      }
    }
    return addresses;
  }

  bool Connect(const std::vector<std::string>& addresses, double /*seconds*/,
               std::string* error) override {
    try {
      for (int peer = 0; peer < size_; ++peer) {
        if (peer == rank_) continue;
        {
          const std::lock_guard lock(mutex_);
          if (aborted_) return false;
        }
        const std::string& both = addresses[static_cast<size_t>(peer)];
        const auto half = static_cast<std::ptrdiff_t>(both.size() / 2);
        contexts_[0]->getPair(peer)->connect({both.begin(), both.begin() + half});
        contexts_[1]->getPair(peer)->connect({both.begin() + half, both.end()});
      }
      return true;
    } catch (const std::exception& e) {
      *error = e.what();
      return false;
    }
  }

  std::unique_ptr<dist::Message> Send(int peer, uint64_t tag, const void* data,
                                      size_t bytes) override;
  std::unique_ptr<dist::Message> Receive(int peer, uint64_t tag, void* data, size_t bytes) override;
  void Abort() override;

  bool Register(GlooMessage* message) {
    const std::lock_guard lock(mutex_);
    messages_.insert(message);
    return !aborted_;
  }
  void Unregister(GlooMessage* message) {
    const std::lock_guard lock(mutex_);
    messages_.erase(message);
  }

 private:
  std::shared_ptr<gloo::transport::Device> device_;
  const int rank_, size_;
  // Two connections to each peer, one for what goes to the higher rank and one for what comes from
  // it: while a thread sends over one, Gloo's own thread can do nothing with what comes over the
  // same, and looks for it again and again.
  std::array<std::shared_ptr<gloo::transport::Context>, 2> contexts_;
  std::mutex mutex_;
  // Guarded by mutex_:
  bool aborted_ = false;
  std::set<GlooMessage*> messages_;
};

class GlooMessage : public dist::Message {
 public:
  GlooMessage(GlooTransport& owner, gloo::transport::Context& context, bool sends, int peer,
              uint64_t tag, void* data, size_t bytes)
      : owner_(owner), sends_(sends) {
    alive_ = owner_.Register(this);
    if (!alive_) return;
    try {
      buffer_ = context.createUnboundBuffer(data, bytes);
      if (sends) {
        buffer_->send(peer, tag);
      } else {
        last_word_.emplace(data, bytes);
        buffer_->recv(peer, tag);
      }
    } catch (const std::exception& e) {
      error_ = e.what();
      alive_ = false;
    }
  }
  ~GlooMessage() override { owner_.Unregister(this); }

  bool Wait(std::string* error) override {
    if (!alive_) {
      *error = error_;
      return false;
    }
    if (last_word_) StayAwake();
    try {
      return sends_ ? buffer_->waitSend(nullptr, kForever) : buffer_->waitRecv(nullptr, kForever);
    } catch (const std::exception& e) {
      *error = e.what();
      return false;
    }
  }

  void Abort() {
    if (buffer_ == nullptr) return;
    buffer_->abortWaitSend();
    buffer_->abortWaitRecv();
  }

 private:
  void StayAwake() const {
    const auto end = std::chrono::steady_clock::now() + kAwake;
    while (!last_word_->is_there() && std::chrono::steady_clock::now() < end) {
      std::this_thread::yield();
    }
  }

  GlooTransport& owner_;
  const bool sends_;
  bool alive_ = false;
  std::string error_;
  std::optional<LastWord> last_word_;  // of one that receives
  std::unique_ptr<gloo::transport::UnboundBuffer> buffer_;
};

std::unique_ptr<dist::Message> GlooTransport::Send(int peer, uint64_t tag, const void* data,
                                                   size_t bytes) {
  return std::make_unique<GlooMessage>(*this, *contexts_[peer > rank_ ? 0 : 1], true, peer, tag,
                                       const_cast<void*>(data), bytes);
}

std::unique_ptr<dist::Message> GlooTransport::Receive(int peer, uint64_t tag, void* data,
                                                      size_t bytes) {
  return std::make_unique<GlooMessage>(*this, *contexts_[peer > rank_ ? 1 : 0], false, peer, tag,
                                       data, bytes);
}

// Closing tells the peers at once; a wait here is woken by itself, since Gloo does not do it.
void GlooTransport::Abort() {
  const std::lock_guard lock(mutex_);
  if (aborted_) return;
  aborted_ = true;
  for (int peer = 0; peer < size_; ++peer) {
    if (peer == rank_) continue;
    for (const auto& context : contexts_) context->getPair(peer)->close();
  }
  for (GlooMessage* message : messages_) message->Abort();
}

class GlooFactory : public dist::TransportFactory {
 public:
  std::unique_ptr<dist::Transport> Make(int rank, int size, const std::string& host,
                                        std::string* error) override {
    try {
      if (device_ == nullptr || host != host_) {
        gloo::transport::tcp::attr attributes(host.c_str());
        device_ = gloo::transport::tcp::CreateDevice(attributes);
        host_ = host;
      }
      return std::make_unique<GlooTransport>(device_, rank, size);
    } catch (const std::exception& e) {
      *error = e.what();
      return nullptr;
    }
  }

 private:
  std::shared_ptr<gloo::transport::Device> device_;  // with its thread, for all groups
  std::string host_;
};

}  // namespace
}  // namespace ingot::transports

extern "C" __attribute__((visibility("default"))) ingot::dist::TransportFactory*
IngotMakeTransportFactory(int version) {
  if (version != ingot::dist::kTransportVersion) return nullptr;
  return new ingot::transports::GlooFactory();
}
