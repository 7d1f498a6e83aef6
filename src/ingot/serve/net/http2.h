// HTTP/2 on one connection, by nghttp2: REST and gRPC alike.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "ingot/serve/net/call.h"
#include "ingot/serve/net/http1.h"
#include "ingot/serve/net/limits.h"
#include "ingot/serve/net/loop.h"
#include "ingot/serve/net/transport.h"

struct nghttp2_session;

namespace ingot::serve {

// What an HTTP/2 client says first.
inline constexpr std::string_view kHttp2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

class Http2Call;

class Http2Connection : public Connection, public std::enable_shared_from_this<Http2Connection> {
 public:
  using Clock = std::chrono::steady_clock;

  Http2Connection(Transport transport, Loop& loop, NetContext& context,
                  std::shared_ptr<const Peer> peer);
  ~Http2Connection() override;

  void Start(std::string_view received);

  void Tick(Clock::time_point now) override;
  void Drain() override;
  void Close() override;

 private:
  friend class Http2Call;
  friend struct Http2Callbacks;

  void StartRead();
  void Receive(const char* bytes, size_t size);
  // Sends what nghttp2 has to say; soon, so that several answers go together.
  void FlushSoon();
  void Flush();
  void SendSome();
  void Release(int32_t stream);

  Transport transport_;
  Loop& loop_;
  NetContext& context_;
  std::shared_ptr<const Peer> peer_;
  nghttp2_session* session_ = nullptr;
  std::unordered_map<int32_t, std::shared_ptr<Http2Call>> calls_;
  std::vector<char> in_;
  bool filled_ = false;
  std::string out_;
  Buffers buffers_;
  bool sending_ = false, flush_posted_ = false, closed_ = false;
  Clock::time_point last_read_, send_progress_;
  int resets_ = 0;                   // by the client, since the last tick
  int32_t last_stream_ = INT32_MAX;  // that is answered
};

}  // namespace ingot::serve
