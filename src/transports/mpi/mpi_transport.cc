// The transport "mpi": point to point messages of Open MPI between processes that mpirun has
// started, over whatever it finds between them (shared memory, fabrics, TCP). A plugin: see
// ingot/dist/transport.h.
//
// A group is a set of ranks of MPI's world. Each process counts the groups that it was in, and the
// count is part of the tags by which it is sent to, so that what was meant for another group is
// never taken for this one's.
#include <atomic>
#include <cstring>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "mpi_world.h"

#include "ingot/dist/transport.h"

namespace ingot::transports {
namespace {

constexpr int kKindBits = 10;     // of a tag, the lowest
constexpr int kInstanceBits = 6;  // then the count of groups
constexpr int kChannelBits = 3;   // then the channel of a sequence; the rest counts
constexpr int kInstances = 1 << kInstanceBits;

class MpiTransport : public dist::Transport {
 public:
  MpiTransport(MpiWorld& world, int rank, int size, int instance)
      : world_(world), rank_(rank), size_(size), instance_(instance) {
    while (sequences_ * 2 <= (world.most_tag() + int64_t{1}) >>
           (kKindBits + kInstanceBits + kChannelBits)) {
      sequences_ *= 2;
    }
    peers_.resize(static_cast<size_t>(size));
  }

  std::vector<std::string> Addresses() override {
    std::vector<std::string> addresses(static_cast<size_t>(size_));
    for (int peer = 0; peer < size_; ++peer) {
      if (peer == rank_) continue;
      addresses[static_cast<size_t>(peer)] =
          world_.name() + " " + std::to_string(world_.rank()) + " " + std::to_string(instance_);
    }
    return addresses;
  }

  bool Connect(const std::vector<std::string>& addresses, double /*seconds*/,
               std::string* error) override {
    for (int peer = 0; peer < size_; ++peer) {
      if (peer == rank_) continue;
      std::istringstream words(addresses[static_cast<size_t>(peer)]);
      std::string name;
      Peer& at = peers_[static_cast<size_t>(peer)];
      if (words >> name >> at.rank >> at.instance && name == world_.name()) continue;
      *error = "it was not started by the same mpirun";
      return false;
    }
    return !aborted_.load();
  }

  std::unique_ptr<dist::Message> Send(int peer, uint64_t tag, const void* data,
                                      size_t bytes) override;
  std::unique_ptr<dist::Message> Receive(int peer, uint64_t tag, void* data, size_t bytes) override;
  void Abort() override { aborted_.store(true); }

 private:
  struct Peer {
    int rank = 0;
    int instance = 0;
  };
  // Exchanges that are under way together are few: their numbers may begin again. -1 where there
  // are too many kinds of messages.
  int64_t TagOf(uint64_t tag, int instance) const {
    const uint64_t kind = tag & ((uint64_t{1} << dist::kKindBits) - 1);
    const uint64_t sequence = tag >> dist::kKindBits;
    const uint64_t channel = sequence >> dist::kCountBits;
    if (kind >> kKindBits != 0 || channel >> kChannelBits != 0) return -1;
    const uint64_t count = sequence % static_cast<uint64_t>(sequences_);
    return static_cast<int64_t>(
        (((count << kChannelBits | channel) << kInstanceBits | static_cast<uint64_t>(instance))
         << kKindBits) |
        kind);
  }

  MpiWorld& world_;
  const int rank_, size_, instance_;
  int64_t sequences_ = 1;
  std::vector<Peer> peers_;
  std::atomic<bool> aborted_ = false;
};

class MpiMessage : public dist::Message {
 public:
  MpiMessage(MpiWorld& world, const std::atomic<bool>& aborted, std::unique_ptr<MpiRequest> request,
             void* data, size_t bytes, std::string error)
      : world_(world),
        aborted_(aborted),
        request_(std::move(request)),
        data_(data),
        bytes_(bytes),
        error_(std::move(error)) {}
  ~MpiMessage() override {
    if (request_ != nullptr) world_.Release(std::move(request_));
  }

  bool Wait(std::string* error) override {
    *error = error_;
    Backoff backoff;
    while (request_ != nullptr && !aborted_.load()) {
      const int done = world_.Test(*request_, error);
      if (done < 0) return false;
      if (done == 0) {
        backoff.Wait();
        continue;
      }
      if (!request_->sends) std::memcpy(data_, request_->buffer.get(), bytes_);
      world_.Release(std::move(request_));
      return true;
    }
    return false;
  }

 private:
  MpiWorld& world_;
  const std::atomic<bool>& aborted_;
  std::unique_ptr<MpiRequest> request_;
  void* const data_;
  const size_t bytes_;
  const std::string error_;
};

constexpr const char* kTooManyKinds =
    "there are more shards for each worker than the tags of MPI tell apart; start more workers, or "
    "set INGOT_TRANSPORT=gloo";

std::unique_ptr<dist::Message> MpiTransport::Send(int peer, uint64_t tag, const void* data,
                                                  size_t bytes) {
  const Peer& to = peers_[static_cast<size_t>(peer)];
  const int64_t number = TagOf(tag, to.instance);
  std::string error = kTooManyKinds;
  std::unique_ptr<MpiRequest> request;
  if (number >= 0) request = world_.Send(to.rank, static_cast<int>(number), data, bytes, &error);
  return std::make_unique<MpiMessage>(world_, aborted_, std::move(request), nullptr, bytes,
                                      std::move(error));
}

std::unique_ptr<dist::Message> MpiTransport::Receive(int peer, uint64_t tag, void* data,
                                                     size_t bytes) {
  const Peer& from = peers_[static_cast<size_t>(peer)];
  const int64_t number = TagOf(tag, instance_);
  std::string error = kTooManyKinds;
  std::unique_ptr<MpiRequest> request;
  if (number >= 0) request = world_.Receive(from.rank, static_cast<int>(number), bytes, &error);
  return std::make_unique<MpiMessage>(world_, aborted_, std::move(request), data, bytes,
                                      std::move(error));
}

class MpiFactory : public dist::TransportFactory {
 public:
  explicit MpiFactory(std::unique_ptr<MpiWorld> world, std::string error)
      : world_(std::move(world)), error_(std::move(error)) {}

  std::unique_ptr<dist::Transport> Make(int rank, int size, const std::string& /*host*/,
                                        std::string* error) override {
    *error = error_;
    if (world_ == nullptr) return nullptr;
    world_->DropStrays();
    return std::make_unique<MpiTransport>(*world_, rank, size, instances_++ % kInstances);
  }

  std::optional<Launched> launched() const override {
    if (world_ == nullptr) return std::nullopt;
    return Launched{world_->rank(), world_->size(), world_->one_machine()};
  }

  bool Broadcast(std::string* text, std::string* error) override {
    *error = error_;
    return world_ != nullptr && world_->Broadcast(text, error);
  }

  void Finish() override {
    if (world_ != nullptr) world_->Finish();
  }

 private:
  std::unique_ptr<MpiWorld> world_;
  const std::string error_;
  int instances_ = 0;
};

}  // namespace
}  // namespace ingot::transports

extern "C" __attribute__((visibility("default"))) ingot::dist::TransportFactory*
IngotMakeTransportFactory(int version) {
  if (version != ingot::dist::kTransportVersion) return nullptr;
  std::string error;
  auto world = ingot::transports::MpiWorld::Open(&error);
  return new ingot::transports::MpiFactory(std::move(world), std::move(error));
}
