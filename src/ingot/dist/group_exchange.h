// GroupExchange: runtime::Exchange over a transport, for the plans of one group of workers.
//
// Sums follow the one tree over all leaves (tree_sum.h), whoever adds what.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "ingot/dist/coded_exchange.h"
#include "ingot/dist/distributed_program.h"
#include "ingot/dist/exchange_plan.h"
#include "ingot/dist/transfer_plan.h"
#include "ingot/dist/transport.h"
#include "ingot/dist/tree_sum.h"
#include "ingot/runtime/exchange.h"

namespace ingot::dist {

// Where a worker stands in an exchange, for those who ask why it goes no further.
struct ExchangeStatus {
  int64_t step = -1;
  int plan = -1;         // -1: in none
  int waiting_for = -1;  // a rank
  std::string what;      // the values at hand: "dense1.weight and 5 more"
  double since = 0;      // MonotonicSeconds when it began to wait
};

class GroupExchange : public runtime::Exchange, private Link {
 public:
  GroupExchange(std::unique_ptr<Transport> transport, int rank, int size);
  ~GroupExchange() override;

  // The plans of the programs at hand; between steps.
  void SetPlans(ExchangePlans plans);

  void Expect(std::span<const uint32_t> indices, std::byte* shared) override;
  bool Run(uint32_t index, int64_t step, std::byte* shared, bool not_finite) override;
  void Transfer(uint32_t index, int64_t step, const runtime::StepValues& values) override;
  bool Gather(uint32_t index, int64_t step, const runtime::StepValues& values,
              bool not_finite) override;

  // After a step that was broken off: gives up what is on its way from and to the engine's memory.
  void Abandon() {
    expected_.clear();
    in_background_.clear();
    sending_.clear();
  }

  // From any thread: the exchange at hand, and every later one, throws ExchangeBroken. What a
  // thread that computes looks at is `broken`.
  void Break(const std::string& why);
  const std::atomic<bool>& broken() const { return broken_; }

  // Asks all workers to stop after a step, with the next exchange; and what they have agreed on.
  void AskToStop() { asks_to_stop_.store(true); }
  bool agreed_to_stop() const { return agreed_to_stop_.load(); }
  // The same for bringing the state together after a step, until it has been done.
  void AskToGather() { asks_to_gather_.store(true); }
  bool agreed_to_gather() const {
    return agreed_to_gather_.load() || (size_ == 1 && asks_to_gather_.load());
  }
  void Gathered() {
    asks_to_gather_.store(false);
    agreed_to_gather_.store(false);
  }
  // The same for leaving this group for a new one.
  void AskToRegroup() { asks_to_regroup_.store(true); }
  bool agreed_to_regroup() const {
    return agreed_to_regroup_.load() || (size_ == 1 && asks_to_regroup_.load());
  }

  // Ranks that met a number that is not finite, in the exchange that said so.
  std::vector<int> not_finite_ranks() const;
  // Bytes of tensors that this worker has sent; and those of them that exchanges have sent.
  uint64_t bytes_sent() const { return bytes_sent_.load(std::memory_order_relaxed); }
  uint64_t exchange_bytes_sent() const {
    return bytes_sent() - direct_bytes_sent_.load(std::memory_order_relaxed);
  }
  double waiting_seconds() const { return waiting_seconds_.load(std::memory_order_relaxed); }
  ExchangeStatus status() const;

  // Bytes to a peer and back outside of steps (state for those who join). Throw ExchangeBroken.
  void Send(int peer, const void* data, size_t bytes);
  void SendToOthers(const void* data, size_t bytes);
  void Receive(int peer, void* data, size_t bytes);

 private:
  // Of a plan: the workers that take part, which of them this is, and the rank of another.
  int SizeOf(const ExchangePlan& plan) const {
    return plan.peers.empty() ? size_ : static_cast<int>(plan.peers.size());
  }
  int OwnOf(const ExchangePlan& plan) const { return plan.peers.empty() ? rank_ : plan.own; }
  uint64_t NextSequence(Channel channel, int peer);
  void Begin(uint32_t index, int64_t step, std::string what);
  void End();
  uint64_t StagingOf(const ExchangePlan& plan) const;
  void SumTransfer(const TransferAction& action, const runtime::StepValues& values);
  void FinishSends(const void* data);  // of that memory; null: all
  void WriteFlags(const ExchangePlan& plan, std::byte* shared, bool not_finite) const;
  bool ReadFlags(const ExchangePlan& plan, const std::byte* shared);
  void RunPlain(const ExchangePlan& plan, uint64_t sequence, std::byte* shared);
  // The sums of a plan on their way.
  struct Sums {
    uint32_t plan = 0;
    std::vector<std::byte> staging;  // outlives the messages that go there
    std::vector<TreeSum> sums;
    bool is_finished = false;  // the tree over what has come
  };
  void AskForSums(uint32_t index, std::byte* shared, Sums& sums);
  Sums SpareSums(uint64_t staging_bytes);
  Sums BeginSums(uint32_t index, std::byte* shared);
  void FinishTrees(Sums& sums);
  void Copy(const ExchangePlan& plan, std::byte* shared) const;
  struct Pending {
    std::unique_ptr<Message> message;
    int peer;
  };
  // Of coded values.
  std::unique_ptr<Message> StartSend(int peer, int phase, const void* data, size_t bytes) override;
  std::unique_ptr<Message> StartReceive(int peer, int phase, void* data, size_t bytes) override;
  std::unique_ptr<Message> Send(int peer, uint64_t tag, const void* data, size_t bytes) override {
    return SendMessage(peer, tag, data, bytes);
  }
  std::unique_ptr<Message> Receive(int peer, uint64_t tag, void* data, size_t bytes) override {
    return transport_->Receive(peer, tag, data, bytes);
  }
  void WaitFor(Message& message, int peer) override;
  [[noreturn]] void ThrowBroken(int peer, const std::string& error);
  std::unique_ptr<Message> SendMessage(int peer, uint64_t tag, const void* data, size_t bytes);

  std::unique_ptr<Transport> transport_;
  const int rank_, size_;
  std::vector<ExchangePlan> plans_;
  std::vector<TransferPlan> transfers_;
  std::vector<GatherPlan> gathers_;
  std::vector<std::byte> packed_;  // values of a transfer that are summed
  struct Sending {
    const void* data;
    int peer;
    std::unique_ptr<Message> message;
  };
  std::vector<Sending> sending_;
  std::map<std::pair<Channel, int>, uint64_t> sequences_;  // of the groups of a mesh
  std::deque<Sums> expected_;  // asked for, in the order of their exchanges
  std::vector<Sums> in_background_;
  std::vector<Sums> spare_;               // their memory for the next step
  std::unique_ptr<CodedExchange> coded_;  // with what it remembers of the exchanges before
  std::vector<std::byte> staging_;
  uint64_t sequence_ = 0;
  std::atomic<bool> broken_ = false;
  std::atomic<bool> asks_to_stop_ = false;
  std::atomic<bool> agreed_to_stop_ = false;
  std::atomic<bool> asks_to_gather_ = false;
  std::atomic<bool> agreed_to_gather_ = false;
  std::atomic<bool> asks_to_regroup_ = false;
  std::atomic<bool> agreed_to_regroup_ = false;
  std::atomic<uint64_t> bytes_sent_ = 0;
  std::atomic<uint64_t> direct_bytes_sent_ = 0;
  std::atomic<double> waiting_seconds_ = 0;
  mutable std::mutex mutex_;
  // Guarded by mutex_:
  std::string why_broken_;
  ExchangeStatus status_;
  std::vector<int> not_finite_ranks_;
};

}  // namespace ingot::dist
