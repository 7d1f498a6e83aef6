// CodedExchange: the part of an exchange whose values are written with a codec (codec.h).
//
// Rounded values (bf16, fp16) go as the others do: to the owner of a range, and from there to all,
// rounded once more. Sparse ones (top_k, one_bit) go from each worker to all; what a worker's codec
// lost stays with it and is added to its next values (error feedback, Seide et al. 2014). Sums are
// in the order of the ranks: the bits depend on the number of workers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ingot/dist/codec.h"
#include "ingot/dist/exchange_plan.h"
#include "ingot/dist/transport.h"

namespace ingot::dist {

// The connections of an exchange; a message's phase tells it from the others of the exchange.
class Link {
 public:
  virtual ~Link() = default;
  virtual std::unique_ptr<Message> StartSend(int peer, int phase, const void* data,
                                             size_t bytes) = 0;
  virtual std::unique_ptr<Message> StartReceive(int peer, int phase, void* data, size_t bytes) = 0;
  // The same for a message with this tag.
  virtual std::unique_ptr<Message> Send(int peer, uint64_t tag, const void* data, size_t bytes) = 0;
  virtual std::unique_ptr<Message> Receive(int peer, uint64_t tag, void* data, size_t bytes) = 0;
  // Throws runtime::ExchangeBroken.
  virtual void WaitFor(Message& message, int peer) = 0;
};

class CodedExchange {
 public:
  CodedExchange(int rank, int size) : rank_(rank), size_(size), coder_(0.01) {}

  // The coded segments of a plan; `shared` as in GroupExchange::Run.
  void Run(const ExchangePlan& plan, std::byte* shared, Link& link);

 private:
  // Elements of a segment, at its place among the plan's coded values.
  struct Piece {
    Codec codec = Codec::kPlain;
    const std::string* name = nullptr;
    uint64_t begin = 0;
    uint64_t elements = 0;
  };
  struct Pending {
    std::unique_ptr<Message> message;
    int peer;
  };

  void SumOwn(const ExchangePlan& plan, const std::byte* shared);
  std::vector<Piece> PiecesOf(const ExchangePlan& plan, bool sparse, int rank) const;
  uint64_t BytesOf(const std::vector<Piece>& pieces) const;
  void Encode(const std::vector<Piece>& pieces, const float* values, std::byte* out);
  void AddDecoded(const std::vector<Piece>& pieces, const std::byte* in, float* values) const;
  void RunRounded(const ExchangePlan& plan, float* reduced, Link& link);
  void RunSparse(const ExchangePlan& plan, float* reduced, Link& link);
  void AddResiduals(const std::vector<Piece>& pieces);
  void KeepResiduals(const std::vector<Piece>& pieces, const std::byte* sent);

  const int rank_, size_;
  Coder coder_;
  std::vector<float> own_;  // what this worker adds, by element of the coded values
  std::map<std::string, std::vector<float>> residuals_;  // by segment
};

}  // namespace ingot::dist
