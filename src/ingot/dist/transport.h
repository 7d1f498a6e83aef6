// Transport: how tensors go between the processes of a group. Implementations are plugins
// (src/transports/NAME), which are loaded when a job has more than one process.
//
// Nothing throws across the border of a plugin: what failed is said in words.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ingot::dist {

// A message on its way. Destroying it before it is done gives it up; its memory must stay until
// then.
class Message {
 public:
  virtual ~Message() = default;
  // Until it has been sent (its memory may be written again) or has come. False where the peer is
  // lost or the transport was aborted; `error` says why.
  virtual bool Wait(std::string* error) = 0;
};

// What tells messages between two ranks apart: a number that grows from one exchange to the next,
// and a kind, which names a message within its exchange. Small kinds suit all transports. The
// number is a count, and above that a channel (exchange_plan.h): each channel counts by itself.
inline constexpr int kKindBits = 16;
inline constexpr int kCountBits = 40;
inline constexpr uint64_t MessageTag(uint64_t sequence, uint64_t kind) {
  return sequence << kKindBits | kind;
}

// The connections of one process to all others of its group. Used by one thread at a time, but for
// Abort.
class Transport {
 public:
  virtual ~Transport() = default;
  // What each peer must know to connect with this process, by rank; that of the own rank is "".
  virtual std::vector<std::string> Addresses() = 0;
  // `addresses`: what each peer's Addresses() has for this rank. Waits for all of them.
  virtual bool Connect(const std::vector<std::string>& addresses, double seconds,
                       std::string* error) = 0;
  // Messages with equal tags between two ranks keep their order; both sides name the same size.
  virtual std::unique_ptr<Message> Send(int peer, uint64_t tag, const void* data, size_t bytes) = 0;
  virtual std::unique_ptr<Message> Receive(int peer, uint64_t tag, void* data, size_t bytes) = 0;
  // From any thread: every Wait, now and later, returns false.
  virtual void Abort() = 0;
};

// Makes the transports of a process.
class TransportFactory {
 public:
  virtual ~TransportFactory() = default;
  // `host`: a name or address of this machine under which the peers reach it.
  virtual std::unique_ptr<Transport> Make(int rank, int size, const std::string& host,
                                          std::string* error) = 0;

  // Of processes that the transport's own launcher has started together (mpirun); none elsewhere.
  struct Launched {
    int rank = 0;
    int size = 1;
    bool one_machine = true;
  };
  virtual std::optional<Launched> launched() const { return std::nullopt; }
  // What rank 0 says, for all of them. Waits for all. False where it failed; `error` says why.
  virtual bool Broadcast(std::string* /*text*/, std::string* /*error*/) { return false; }
  // By each of them at the end of a run that all have come to; waits for all. Who ends without it
  // has failed, and the launcher ends the others.
  virtual void Finish() {}
};

// Where the plugin `name` is; "" where it is not there.
std::string FindTransport(const std::string& name);

// Loads the plugin `name` ("gloo", "mpi"): from the folder that INGOT_TRANSPORTS names, from beside
// the program, or from ../lib/ingot. Throws Error(kUnsupported) where it is not there.
std::shared_ptr<TransportFactory> LoadTransport(const std::string& name);

// The one function of a plugin; `version` must be kTransportVersion of both sides.
inline constexpr int kTransportVersion = 3;
inline constexpr const char* kTransportSymbol = "IngotMakeTransportFactory";
using MakeTransportFactory = TransportFactory* (*)(int version);

}  // namespace ingot::dist
