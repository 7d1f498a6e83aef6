// HTTP/2: nghttp2's session between a transport and calls.
#include "ingot/serve/net/http2.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <utility>

#include <nghttp2/nghttp2.h>

#include "ingot/base/error.h"
#include "ingot/base/text.h"

namespace ingot::serve {
namespace {

constexpr size_t kQuietBuffer = 4 << 10;
constexpr size_t kBusyBuffer = 64 << 10;
constexpr size_t kWriteChunk = 256 << 10;
// What a client may send on one stream, and on all of a connection, before it is read.
constexpr int32_t kStreamWindow = 4 << 20;
constexpr int32_t kConnectionWindow = 16 << 20;
constexpr int kMostResets = 2000;  // a second

nghttp2_nv Pair(std::string_view name, std::string_view value) {
  const auto bytes = [](std::string_view text) {
    return reinterpret_cast<uint8_t*>(const_cast<char*>(text.data()));
  };
  return {bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
}

}  // namespace

class Http2Call : public Call {
 public:
  Http2Call(const NetContext& context, std::weak_ptr<Http2Connection> connection, int32_t stream)
      : share(*context.memory),
        unsent_share(*context.unsent),
        owner(std::move(connection)),
        id(stream) {}

  void Respond(Response response) override {
    if (started) return;
    Response head = std::move(response);
    if (!head.body.empty()) Push(std::move(head.body));
    for (Piece& piece : head.pieces) {
      if (!piece.bytes.empty()) Push(std::move(piece));
    }
    uint64_t length = 0;
    for (const Chunk& chunk : chunks) length += chunk.bytes().size();
    trailers = std::move(head.trailers);
    ended = true;
    head.body.clear();
    if (method == "HEAD") chunks.clear();
    // The request's memory goes before a slow reader has taken the answer.
    std::string().swap(body);
    share.Clear();
    if (!HoldUnsent()) return;
    // gRPC's answers have no length: their trailers follow.
    Submit(head, trailers.empty() ? static_cast<int64_t>(length) : -1);
  }
  void Begin(Response head) override {
    if (started) return;
    if (!head.body.empty()) Push(std::exchange(head.body, {}));
    Submit(head, -1);
  }
  void Write(std::string bytes) override {
    if (!started || ended || bytes.empty()) return;
    Push(std::move(bytes));
    if (HoldUnsent()) Resume();
  }
  void End(Fields fields) override {
    if (!started || ended) return;
    trailers = std::move(fields);
    ended = true;
    Resume();
  }

  struct Chunk {
    std::string own;
    Piece other;
    size_t at = 0;
    std::string_view bytes() const {
      if (other.bytes.data() != nullptr) {
        return {reinterpret_cast<const char*>(other.bytes.data()), other.bytes.size()};
      }
      return own;
    }
  };

  void Push(std::string bytes) {
    unsent_bytes += bytes.size();
    bytes_out += bytes.size();
    chunks.push_back({std::move(bytes), {}, 0});
  }
  void Push(Piece piece) {
    unsent_bytes += piece.bytes.size();
    bytes_out += piece.bytes.size();
    chunks.push_back({{}, std::move(piece), 0});
  }
  // What the client has not taken counts against the memory for that; where there is none left, the
  // stream is reset.
  bool HoldUnsent() {
    if (unsent_share.Grow(static_cast<int64_t>(unsent_bytes))) return true;
    started = ended = true;
    chunks.clear();
    unsent_bytes = 0;
    Reset();
    return false;
  }
  void Submit(const Response& head, int64_t length);
  void Resume();
  void Reset();

  MemoryShare share, unsent_share;
  std::weak_ptr<Http2Connection> owner;
  const int32_t id;
  bool takes_stream = false, handled = false, started = false, ended = false, closed = false;
  bool refused = false;
  std::deque<Chunk> chunks;
  size_t unsent_bytes = 0;
  Fields trailers;
  size_t head_bytes = 0;
  Http2Connection::Clock::time_point begun = Http2Connection::Clock::now();
  Http2Connection::Clock::time_point progress = begun;
};

// The functions that nghttp2 calls; each gets the connection as user data.
struct Http2Callbacks {
  static Http2Connection& Of(void* user) { return *static_cast<Http2Connection*>(user); }

  static Http2Call* Find(Http2Connection& connection, int32_t stream) {
    const auto found = connection.calls_.find(stream);
    return found == connection.calls_.end() ? nullptr : found->second.get();
  }

  static int BeginHeaders(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    Http2Connection& c = Of(user);
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    if (frame->hd.stream_id > c.last_stream_) {
      // The client has been told, or is about to be, that this one is not looked at.
      nghttp2_submit_rst_stream(c.session_, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                NGHTTP2_REFUSED_STREAM);
      return 0;
    }
    auto call = std::make_shared<Http2Call>(c.context_, c.weak_from_this(), frame->hd.stream_id);
    call->peer = c.peer_;
    call->executor = &c.loop_;
    call->http2 = true;
    c.calls_[frame->hd.stream_id] = std::move(call);
    return 0;
  }

  static int Header(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name,
                    size_t name_size, const uint8_t* value, size_t value_size, uint8_t,
                    void* user) {
    Http2Connection& c = Of(user);
    Http2Call* call = Find(c, frame->hd.stream_id);
    if (call == nullptr || frame->hd.type != NGHTTP2_HEADERS) return 0;
    const std::string_view key(reinterpret_cast<const char*>(name), name_size);
    const std::string_view text(reinterpret_cast<const char*>(value), value_size);
    call->head_bytes += key.size() + text.size();
    if (call->head_bytes > c.context_.limits.header_bytes) {
      return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    if (key == ":method") {
      call->method = text;
    } else if (key == ":path") {
      call->target = text;
    } else if (!key.starts_with(":")) {
      call->headers.Add(key, text);
    }
    return 0;
  }

  static void Refuse(Http2Call& call, int status, int grpc, const std::string& message) {
    call.refused = true;
    call.body.clear();
    call.share.Clear();
    Response response;
    if (call.headers.Get("content-type").starts_with("application/grpc")) {
      response.content_type = "application/grpc";
      response.trailers = {{"grpc-status", std::to_string(grpc)}, {"grpc-message", message}};
    } else {
      response.status = status;
      response.body = "{\"error\":\"" + message + "\"}";
    }
    call.Respond(std::move(response));
  }

  static int Data(nghttp2_session*, uint8_t, int32_t stream, const uint8_t* bytes, size_t size,
                  void* user) {
    Http2Connection& c = Of(user);
    Http2Call* call = Find(c, stream);
    if (call == nullptr || call->refused) return 0;
    call->progress = Http2Connection::Clock::now();
    const uint64_t total = call->body.size() + size;
    if (total > c.context_.limits.body_bytes) {
      Refuse(*call, 413, 8,
             "the body is larger than " + std::to_string(c.context_.limits.body_bytes) + " bytes");
      return 0;
    }
    if (!call->share.Grow(static_cast<int64_t>(total))) {
      Refuse(*call, 503, 14, "the requests in flight take all the memory they may; try again");
      return 0;
    }
    call->body.append(reinterpret_cast<const char*>(bytes), size);
    if (call->takes_stream && call->on_data) call->on_data();
    return 0;
  }

  static int FrameReceived(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    Http2Connection& c = Of(user);
    if (frame->hd.type == NGHTTP2_RST_STREAM) ++c.resets_;
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
    const auto found = c.calls_.find(frame->hd.stream_id);
    if (found == c.calls_.end()) return 0;
    const std::shared_ptr<Http2Call> call = found->second;
    const bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (frame->hd.type == NGHTTP2_HEADERS && !call->handled && !end) {
      const std::string_view length = call->headers.Get("content-length");
      if (!length.empty()) {
        call->body.reserve(
            std::min<size_t>(std::strtoull(std::string(length).c_str(), nullptr, 10), 1 << 20));
      }
      call->takes_stream = c.context_.handler->TakesStream(*call);
      if (call->takes_stream) {
        call->handled = true;
        c.context_.handler->Handle(call);
      }
    }
    if (!end || call->refused) return 0;
    call->body_complete = true;
    if (!call->handled) {
      call->handled = true;
      c.context_.handler->Handle(call);
    } else if (call->on_data) {
      call->on_data();
    }
    return 0;
  }

  static int StreamClosed(nghttp2_session*, int32_t stream, uint32_t, void* user) {
    Of(user).Release(stream);
    return 0;
  }

  static ssize_t Read(nghttp2_session* session, int32_t stream, uint8_t* to, size_t size,
                      uint32_t* flags, nghttp2_data_source*, void* user) {
    Http2Call* call = Find(Of(user), stream);
    if (call == nullptr) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    size_t done = 0;
    while (done < size && !call->chunks.empty()) {
      Http2Call::Chunk& chunk = call->chunks.front();
      const std::string_view rest = chunk.bytes().substr(chunk.at);
      const size_t n = std::min(rest.size(), size - done);
      std::memcpy(to + done, rest.data(), n);
      done += n;
      chunk.at += n;
      if (n == rest.size()) call->chunks.pop_front();
    }
    call->unsent_bytes -= done;
    if (call->unsent_bytes == 0) call->unsent_share.Clear();
    if (done > 0) call->progress = Http2Connection::Clock::now();
    if (call->chunks.empty() && call->ended) {
      *flags |= NGHTTP2_DATA_FLAG_EOF;
      if (!call->trailers.empty()) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        std::vector<nghttp2_nv> fields;
        for (const auto& [name, value] : call->trailers) fields.push_back(Pair(name, value));
        nghttp2_submit_trailer(session, stream, fields.data(), fields.size());
      }
      return static_cast<ssize_t>(done);
    }
    return done > 0 ? static_cast<ssize_t>(done) : static_cast<ssize_t>(NGHTTP2_ERR_DEFERRED);
  }
};

void Http2Call::Submit(const Response& head, int64_t length) {
  started = true;
  status = head.status;
  const auto connection = owner.lock();
  if (connection == nullptr || closed || connection->closed_) return;
  const std::string code = std::to_string(head.status == 499 ? 400 : head.status);
  const std::string size = std::to_string(length);
  std::vector<std::string> names;
  names.reserve(head.headers.size());
  std::vector<nghttp2_nv> fields = {Pair(":status", code)};
  if (!head.content_type.empty()) fields.push_back(Pair("content-type", head.content_type));
  if (length >= 0) fields.push_back(Pair("content-length", size));
  for (const auto& [name, value] : head.headers) {
    names.push_back(LowerCase(name));
    fields.push_back(Pair(names.back(), value));
  }
  nghttp2_data_provider provider{};
  provider.read_callback = &Http2Callbacks::Read;
  // A failed call without a message: its trailers are its head.
  if (ended && chunks.empty() && !trailers.empty()) {
    for (const auto& [name, value] : trailers) fields.push_back(Pair(name, value));
    nghttp2_submit_response(connection->session_, id, fields.data(), fields.size(), nullptr);
  } else {
    nghttp2_submit_response(connection->session_, id, fields.data(), fields.size(), &provider);
  }
  connection->FlushSoon();
}

void Http2Call::Resume() {
  const auto connection = owner.lock();
  if (connection == nullptr || closed || connection->closed_) return;
  nghttp2_session_resume_data(connection->session_, id);
  connection->FlushSoon();
}

void Http2Call::Reset() {
  const auto connection = owner.lock();
  if (connection == nullptr || closed || connection->closed_) return;
  nghttp2_submit_rst_stream(connection->session_, NGHTTP2_FLAG_NONE, id, NGHTTP2_ENHANCE_YOUR_CALM);
  connection->FlushSoon();
}

Http2Connection::Http2Connection(Transport transport, Loop& loop, NetContext& context,
                                 std::shared_ptr<const Peer> peer)
    : transport_(std::move(transport)),
      loop_(loop),
      context_(context),
      peer_(std::move(peer)),
      in_(kQuietBuffer) {
  nghttp2_session_callbacks* callbacks = nullptr;
  if (nghttp2_session_callbacks_new(&callbacks) != 0) throw std::bad_alloc();
  nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, &Http2Callbacks::BeginHeaders);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, &Http2Callbacks::Header);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, &Http2Callbacks::Data);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, &Http2Callbacks::FrameReceived);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, &Http2Callbacks::StreamClosed);
  // Clients may cancel as much as they like, up to kMostResets. nghttp2's own limit is 33 a second,
  // and its GOAWAY would tell a client to repeat requests that have been computed meanwhile.
  nghttp2_option* option = nullptr;
  if (nghttp2_option_new(&option) != 0) {
    nghttp2_session_callbacks_del(callbacks);
    throw std::bad_alloc();
  }
  nghttp2_option_set_stream_reset_rate_limit(option, UINT64_MAX / 2, UINT64_MAX / 2);
  const int result = nghttp2_session_server_new2(&session_, callbacks, this, option);
  nghttp2_option_del(option);
  nghttp2_session_callbacks_del(callbacks);
  if (result != 0) throw std::bad_alloc();
  loop_.Add(this);
}

Http2Connection::~Http2Connection() {
  loop_.Remove(this);
  for (auto& [id, call] : calls_) call->closed = true;
  nghttp2_session_del(session_);
}

void Http2Connection::Start(std::string_view received) {
  last_read_ = send_progress_ = Clock::now();
  const nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, static_cast<uint32_t>(context_.limits.streams)},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kStreamWindow},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<uint32_t>(context_.limits.header_bytes)}};
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, std::size(settings));
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, kConnectionWindow);
  const auto self = shared_from_this();
  Receive(received.data(), received.size());
  FlushSoon();
  StartRead();
}

// A client that fills the buffer gets a larger one, until it is quiet: a connection that does
// nothing costs little.
void Http2Connection::StartRead() {
  if (closed_) return;
  if (filled_ && in_.size() < kBusyBuffer) {
    in_.resize(4 * in_.size());
  } else if (in_.size() > kQuietBuffer && calls_.empty()) {
    std::vector<char>(kQuietBuffer).swap(in_);
  }
  transport_.Read(asio::buffer(in_),
                  [self = shared_from_this()](const ErrorOf& error, size_t size) {
                    if (self->closed_) return;
                    if (error) {
                      self->Close();
                      return;
                    }
                    self->filled_ = size == self->in_.size();
                    self->Receive(self->in_.data(), size);
                    self->FlushSoon();
                    self->StartRead();
                  });
}

void Http2Connection::Receive(const char* bytes, size_t size) {
  if (size == 0) return;
  last_read_ = Clock::now();
  const ssize_t used =
      nghttp2_session_mem_recv(session_, reinterpret_cast<const uint8_t*>(bytes), size);
  if (used < 0) {
    // Not HTTP/2: what nghttp2 has to say about it is sent, then the end.
    nghttp2_session_terminate_session(session_, NGHTTP2_PROTOCOL_ERROR);
    Flush();
    if (!sending_) Close();
  }
}

void Http2Connection::FlushSoon() {
  if (flush_posted_ || sending_ || closed_) return;
  flush_posted_ = true;
  asio::post(loop_.io(), [self = shared_from_this()] {
    self->flush_posted_ = false;
    self->Flush();
  });
}

void Http2Connection::Flush() {
  if (closed_ || sending_) return;
  out_.clear();
  while (out_.size() < kWriteChunk) {
    const uint8_t* bytes = nullptr;
    const ssize_t size = nghttp2_session_mem_send(session_, &bytes);
    if (size < 0) {
      Close();
      return;
    }
    if (size == 0) break;
    out_.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
  }
  if (out_.empty()) {
    if (nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0) {
      Close();
    }
    return;
  }
  buffers_.clear();
  buffers_.push_back(asio::buffer(out_));
  ErrorOf error;
  Consume(buffers_, transport_.TryWrite(buffers_, error));
  if (error) {
    Close();
    return;
  }
  if (buffers_.empty()) {
    if (out_.size() >= kWriteChunk || nghttp2_session_want_write(session_) != 0) {
      FlushSoon();
    } else if (nghttp2_session_want_read(session_) == 0) {
      Close();
    }
    return;
  }
  sending_ = true;
  send_progress_ = Clock::now();
  SendSome();
}

void Http2Connection::SendSome() {
  transport_.WriteSome(buffers_, [self = shared_from_this()](const ErrorOf& error, size_t size) {
    if (self->closed_) return;
    if (error) {
      self->Close();
      return;
    }
    self->send_progress_ = Clock::now();
    Consume(self->buffers_, size);
    if (!self->buffers_.empty()) {
      self->SendSome();
      return;
    }
    self->sending_ = false;
    self->Flush();
  });
}

void Http2Connection::Release(int32_t stream) {
  const auto found = calls_.find(stream);
  if (found == calls_.end()) return;
  const std::shared_ptr<Http2Call> call = std::move(found->second);
  calls_.erase(found);
  call->closed = true;
  const bool complete = call->ended && call->chunks.empty();
  if (!complete && call->on_cancel) std::exchange(call->on_cancel, nullptr)();
  context_.handler->Done(*call);
  call->on_cancel = nullptr;
  call->on_data = nullptr;
}

void Http2Connection::Tick(Clock::time_point now) {
  const NetLimits& limits = context_.limits;
  const auto seconds = [&](Clock::time_point since) {
    return std::chrono::duration_cast<std::chrono::seconds>(now - since).count();
  };
  if (std::exchange(resets_, 0) > kMostResets) {
    Close();
    return;
  }
  if (sending_) {
    if (seconds(send_progress_) > limits.write_seconds) Close();
    return;
  }
  if (calls_.empty()) {
    if (seconds(last_read_) > limits.idle_seconds) Drain();
    if (seconds(last_read_) > limits.idle_seconds + 5) Close();
    return;
  }
  for (const auto& [id, call] : calls_) {
    // A body that stands still, or an answer that the client does not take.
    const bool waits_for_body = !call->handled && !call->body_complete;
    const bool trickles = waits_for_body && limits.TooSlow(seconds(call->begun), call->body.size());
    const bool waits_for_reader = call->started && call->unsent_bytes > 0;
    if (trickles || (waits_for_body && seconds(call->progress) > limits.body_seconds) ||
        (waits_for_reader && seconds(call->progress) > limits.write_seconds)) {
      nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
      FlushSoon();
    }
  }
}

void Http2Connection::Drain() {
  if (closed_) return;
  last_stream_ = std::min(last_stream_, nghttp2_session_get_last_proc_stream_id(session_));
  nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, last_stream_, NGHTTP2_NO_ERROR, nullptr, 0);
  FlushSoon();
}

void Http2Connection::Close() {
  if (std::exchange(closed_, true)) return;
  const auto self = shared_from_this();
  std::vector<int32_t> streams;
  for (const auto& [id, call] : calls_) streams.push_back(id);
  for (const int32_t id : streams) Release(id);
  transport_.Close();
  loop_.Remove(this);
}

}  // namespace ingot::serve
