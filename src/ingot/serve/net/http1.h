// HTTP/1.1 on one connection.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ingot/serve/net/call.h"
#include "ingot/serve/net/limits.h"
#include "ingot/serve/net/loop.h"
#include "ingot/serve/net/transport.h"

namespace ingot::serve {

// What all connections of a server share. Outlives them.
struct NetContext {
  Handler* handler = nullptr;
  NetLimits limits;
  MemoryBudget* memory = nullptr;  // of bodies
  MemoryBudget* unsent = nullptr;  // of answers that wait for their readers
  std::atomic<bool> draining = false;
};

class Http1Call;
class RequestParser;

class Http1Connection : public Connection, public std::enable_shared_from_this<Http1Connection> {
 public:
  using Clock = std::chrono::steady_clock;

  Http1Connection(Transport transport, Loop& loop, NetContext& context,
                  std::shared_ptr<const Peer> peer);
  ~Http1Connection() override;

  // `received`: bytes that have been read already.
  void Start(std::string_view received);

  void Tick(Clock::time_point now) override;
  void Drain() override;
  void Close() override;

 private:
  friend class Http1Call;
  enum class Phase { kIdle, kHead, kBody, kWork };

  void StartRead();
  void OnRead(const ErrorOf& error, size_t bytes);
  void Process();
  bool ParseSome();  // false: needs more bytes, or is busy
  void BeginRequest();
  void Dispatch();
  void Refuse(int status, const std::string& message);
  void Enter(Phase phase);

  // Of the call being answered.
  void Respond(Response response);
  void BeginStream(Response head);
  void WriteStream(std::string bytes);
  void EndStream();
  std::string Head(const Response& response, std::optional<uint64_t> length) const;
  void Send();
  void SendSome();
  bool HoldUnsent();
  void OnSent(const ErrorOf& error, size_t bytes);
  void Answered();

  Transport transport_;
  Loop& loop_;
  NetContext& context_;
  std::shared_ptr<const Peer> peer_;

  std::vector<char> in_;
  size_t in_begin_ = 0, in_end_ = 0;
  bool filled_ = false, reading_ = false, processing_ = false, closed_ = false, eof_ = false;
  std::unique_ptr<RequestParser> parser_;
  std::shared_ptr<Http1Call> call_;
  // Keeps the connection while a request is answered: nothing may be read meanwhile.
  std::shared_ptr<Http1Connection> self_;
  Phase phase_ = Phase::kIdle;
  Clock::time_point phase_since_, last_progress_;
  uint64_t phase_bytes_ = 0;

  bool keep_alive_ = true, answered_ = true, streaming_ = false, ending_ = false, chunked_ = false;
  bool sending_ = false;
  Clock::time_point send_since_, send_progress_;
  uint64_t sent_bytes_ = 0;
  std::string head_;
  Response response_;             // being sent
  std::vector<std::string> out_;  // pieces of a stream being sent
  std::vector<std::string> next_out_;
  Buffers buffers_;
  MemoryShare unsent_share_;
};

}  // namespace ingot::serve
