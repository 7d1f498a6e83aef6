// HTTP/1.1: reading requests with Beast's parser, one at a time, and writing answers.
#include "ingot/serve/net/http1.h"

#include <algorithm>
#include <utility>

#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/status.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace ingot::serve {
namespace {

namespace http = boost::beast::http;

constexpr size_t kSmallBuffer = 8 << 10;
constexpr size_t kLargeBuffer = 256 << 10;
constexpr uint64_t kMostReserved = 1 << 20;  // for a body of which nothing has come

std::string_view View(boost::beast::string_view text) {
  return {text.data(), text.size()};
}

// A target in absolute form, "http://host:8000/v2?x=1", becomes what it is at this server,
// "/v2?x=1" (RFC 9112, 3.2.2). False where it names no host, or a user.
bool ToOriginForm(std::string& target) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!HeaderList::Same(std::string_view(target).substr(0, scheme.size()), scheme)) continue;
    const size_t end = std::min(target.find_first_of("/?", scheme.size()), target.size());
    const std::string_view authority =
        std::string_view(target).substr(scheme.size(), end - scheme.size());
    if (authority.empty() || authority[0] == ':' || authority.find('@') != authority.npos) {
      return false;
    }
    target.erase(0, end);
    if (!target.starts_with('/')) target.insert(0, 1, '/');
    return true;
  }
  return true;
}

}  // namespace

class Http1Call : public Call {
 public:
  explicit Http1Call(MemoryBudget& budget) : share(budget) {}

  void Respond(Response response) override {
    if (const auto connection = owner.lock()) connection->Respond(std::move(response));
  }
  void Begin(Response head) override {
    if (const auto connection = owner.lock()) connection->BeginStream(std::move(head));
  }
  void Write(std::string bytes) override {
    if (const auto connection = owner.lock()) connection->WriteStream(std::move(bytes));
  }
  void End(Fields) override {
    if (const auto connection = owner.lock()) connection->EndStream();
  }
  void Reset() {
    method.clear();
    target.clear();
    headers.clear();
    body.clear();
    if (body.capacity() > kLargeBuffer) DropBody();
    share.Clear();
    body_complete = false;
    on_cancel = nullptr;
    on_data = nullptr;
    status = 0;
    key_name.clear();
    bytes_out = 0;
  }

  // The answer is there: the request's memory goes before a slow reader has taken it.
  void DropBody() {
    std::string().swap(body);
    share.Clear();
  }

  std::weak_ptr<Http1Connection> owner;
  MemoryShare share;
};

// Fills a call with what Beast's parser finds.
class RequestParser : public http::basic_parser<true> {
 public:
  RequestParser(Http1Call& call, const NetLimits& limits) : call_(call) {
    header_limit(static_cast<std::uint32_t>(limits.header_bytes));
    body_limit(limits.body_bytes);
    eager(true);
  }
  bool out_of_memory() const { return out_of_memory_; }
  // What is wrong with a head that can be read; "": nothing. Brings the target into its usual form.
  std::string CheckHead() {
    if (hosts_ == 0 && version >= 11) return "the request has no Host field";
    if (hosts_ > 1) return fmt::format("the request has {} Host fields, expected one", hosts_);
    if (!ToOriginForm(call_.target)) return "the request's target names no host of HTTP";
    return "";
  }
  bool expects_continue = false;
  int version = 11;

 private:
  using Ec = boost::beast::error_code;
  using Text = boost::beast::string_view;

  void on_request_impl(http::verb, Text method, Text target, int number, Ec&) override {
    call_.method = View(method);
    call_.target = View(target);
    version = number;
  }
  void on_response_impl(int, Text, int, Ec&) override {}
  void on_field_impl(http::field field, Text name, Text value, Ec&) override {
    call_.headers.Add(View(name), View(value));
    if (field == http::field::host) ++hosts_;
    if (field == http::field::expect) {
      expects_continue = HeaderList::Same(View(value), "100-continue");
    }
  }
  void on_header_impl(Ec&) override {}
  void on_body_init_impl(const boost::optional<std::uint64_t>& length, Ec&) override {
    // What is announced takes none of the memory that all share: only what comes does.
    if (length) call_.body.reserve(static_cast<size_t>(std::min<uint64_t>(*length, kMostReserved)));
  }
  std::size_t on_body_impl(Text bytes, Ec& ec) override {
    if (!Reserve(call_.body.size() + bytes.size(), ec)) return 0;
    call_.body.append(bytes.data(), bytes.size());
    return bytes.size();
  }
  void on_chunk_header_impl(std::uint64_t, Text, Ec&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, Text bytes, Ec& ec) override {
    return on_body_impl(bytes, ec);
  }
  void on_finish_impl(Ec&) override { call_.body_complete = true; }

  bool Reserve(uint64_t bytes, Ec& ec) {
    if (call_.share.Grow(static_cast<int64_t>(bytes))) return true;
    out_of_memory_ = true;
    ec = http::error::buffer_overflow;
    return false;
  }

  Http1Call& call_;
  int hosts_ = 0;
  bool out_of_memory_ = false;
};

Http1Connection::Http1Connection(Transport transport, Loop& loop, NetContext& context,
                                 std::shared_ptr<const Peer> peer)
    : transport_(std::move(transport)),
      loop_(loop),
      context_(context),
      peer_(std::move(peer)),
      in_(kSmallBuffer),
      unsent_share_(*context.unsent) {
  loop_.Add(this);
}

Http1Connection::~Http1Connection() {
  loop_.Remove(this);
}

void Http1Connection::Start(std::string_view received) {
  Enter(Phase::kIdle);
  if (received.size() > in_.size()) in_.resize(received.size());
  std::copy(received.begin(), received.end(), in_.begin());
  in_end_ = received.size();
  Process();
  StartRead();
}

void Http1Connection::Enter(Phase phase) {
  phase_ = phase;
  phase_since_ = last_progress_ = Clock::now();
  phase_bytes_ = 0;
}

void Http1Connection::StartRead() {
  if (reading_ || closed_ || eof_) return;
  if (in_begin_ == in_end_) {
    in_begin_ = in_end_ = 0;
    if (phase_ == Phase::kIdle && in_.size() > kSmallBuffer)
      std::vector<char>(kSmallBuffer).swap(in_);
  } else if (in_end_ == in_.size() && in_begin_ > 0) {
    std::copy(in_.begin() + static_cast<ptrdiff_t>(in_begin_),
              in_.begin() + static_cast<ptrdiff_t>(in_end_), in_.begin());
    in_end_ -= in_begin_;
    in_begin_ = 0;
  }
  if (in_end_ == in_.size()) {
    if (!answered_) return;                 // what follows waits until this request is answered
    in_.resize(in_.size() + kSmallBuffer);  // a long head; the parser knows its limit
  }
  // A body that fills the buffer gets a larger one: a client must send bytes to take memory.
  if (phase_ == Phase::kBody && filled_ && in_begin_ == in_end_ && in_.size() < kLargeBuffer) {
    in_.resize(2 * in_.size());
  }
  reading_ = true;
  transport_.Read(asio::buffer(in_.data() + in_end_, in_.size() - in_end_),
                  [self = shared_from_this()](const ErrorOf& error, size_t bytes) {
                    self->OnRead(error, bytes);
                  });
}

void Http1Connection::OnRead(const ErrorOf& error, size_t bytes) {
  reading_ = false;
  if (closed_) return;
  if (error) {
    eof_ = true;
    // A client that has sent all it wants to may close its half and wait for the answer; a client
    // that is gone looks the same until something is written, so the wait ends here, too.
    if (!answered_ && call_ && call_->on_cancel) std::exchange(call_->on_cancel, nullptr)();
    if (answered_ || error != asio::error::eof) Close();
    return;
  }
  in_end_ += bytes;
  filled_ = in_end_ == in_.size();
  last_progress_ = Clock::now();
  phase_bytes_ += bytes;
  Process();
  StartRead();
}

void Http1Connection::Process() {
  if (processing_) return;
  processing_ = true;
  while (!closed_ && answered_ && in_begin_ < in_end_ && ParseSome()) {
  }
  processing_ = false;
}

void Http1Connection::BeginRequest() {
  if (call_ && call_.use_count() == 1) {
    call_->Reset();
  } else {
    call_ = std::make_shared<Http1Call>(*context_.memory);
    call_->owner = weak_from_this();
    call_->peer = peer_;
    call_->executor = &loop_;
  }
  parser_ = std::make_unique<RequestParser>(*call_, context_.limits);
  Enter(Phase::kHead);
}

bool Http1Connection::ParseSome() {
  if (!parser_) BeginRequest();
  boost::beast::error_code error;
  const bool had_head = parser_->is_header_done();
  const size_t used =
      parser_->put(asio::const_buffer(in_.data() + in_begin_, in_end_ - in_begin_), error);
  in_begin_ += used;
  if (!had_head && parser_->is_header_done()) {
    const std::string fault = parser_->CheckHead();
    if (!fault.empty()) {
      Refuse(400, fault);
      return false;
    }
    keep_alive_ = parser_->keep_alive() && !context_.draining.load(std::memory_order_relaxed);
    if (!parser_->is_done()) {
      Enter(Phase::kBody);
      if (parser_->expects_continue && !error) {
        out_.push_back("HTTP/1.1 100 Continue\r\n\r\n");
        answered_ = false;
        streaming_ = true;
        Send();
        streaming_ = false;
        answered_ = true;
      }
    }
  }
  if (error == http::error::need_more) return false;
  if (error) {
    if (parser_->out_of_memory()) {
      Refuse(503, "the requests in flight take all the memory they may; try again");
    } else if (error == http::error::body_limit) {
      Refuse(413, fmt::format("the body is larger than {} bytes", context_.limits.body_bytes));
    } else if (error == http::error::header_limit) {
      Refuse(431, fmt::format("the head is larger than {} bytes", context_.limits.header_bytes));
    } else {
      Refuse(400, "not an HTTP/1.1 request: " + error.message());
    }
    return false;
  }
  if (!parser_->is_done()) return used > 0;
  Dispatch();
  return true;
}

void Http1Connection::Dispatch() {
  Enter(Phase::kWork);
  self_ = shared_from_this();
  answered_ = false;
  chunked_ = parser_->version >= 11;
  parser_.reset();
  context_.handler->Handle(call_);
}

void Http1Connection::Refuse(int status, const std::string& message) {
  keep_alive_ = false;
  answered_ = false;
  parser_.reset();
  in_begin_ = in_end_ = 0;
  Response response;
  response.status = status;
  if (status == 503) response.headers.emplace_back("Retry-After", "1");
  response.body = nlohmann::json{{"error", message}}.dump();
  Respond(std::move(response));
}

std::string Http1Connection::Head(const Response& response, std::optional<uint64_t> length) const {
  std::string head = "HTTP/1.1 ";
  const auto reason = http::obsolete_reason(
      http::int_to_status(static_cast<unsigned>(response.status == 499 ? 400 : response.status)));
  head += std::to_string(response.status);
  head += ' ';
  head.append(reason.data(), reason.size());
  if (!response.content_type.empty()) {
    head += "\r\nContent-Type: ";
    head += response.content_type;
  }
  if (length) {
    head += "\r\nContent-Length: ";
    head += std::to_string(*length);
  } else if (chunked_) {
    head += "\r\nTransfer-Encoding: chunked";
  }
  for (const auto& [name, value] : response.headers) {
    head += "\r\n";
    head += name;
    head += ": ";
    head += value;
  }
  head += keep_alive_ ? "\r\n\r\n" : "\r\nConnection: close\r\n\r\n";
  return head;
}

void Http1Connection::Respond(Response response) {
  if (closed_ || answered_ || streaming_) return;
  uint64_t length = response.body.size();
  for (const Piece& piece : response.pieces) length += piece.bytes.size();
  if (context_.draining.load(std::memory_order_relaxed)) keep_alive_ = false;
  response_ = std::move(response);
  head_ = Head(response_, length);
  buffers_.clear();
  buffers_.push_back(asio::buffer(head_));
  if (call_->method != "HEAD") {
    if (!response_.body.empty()) buffers_.push_back(asio::buffer(response_.body));
    for (const Piece& piece : response_.pieces) {
      if (!piece.bytes.empty()) {
        buffers_.push_back(asio::const_buffer(piece.bytes.data(), piece.bytes.size()));
      }
    }
  }
  call_->status = response_.status;
  call_->bytes_out = length;
  ending_ = true;
  send_since_ = send_progress_ = Clock::now();
  SendSome();
}

void Http1Connection::BeginStream(Response head) {
  if (closed_ || answered_ || streaming_) return;
  if (!chunked_) keep_alive_ = false;
  call_->status = head.status;
  streaming_ = true;
  const std::string body = std::move(head.body);
  out_.clear();
  next_out_.push_back(Head(head, std::nullopt));
  send_since_ = send_progress_ = Clock::now();
  if (!body.empty()) {
    WriteStream(body);
  } else {
    Send();
  }
}

void Http1Connection::WriteStream(std::string bytes) {
  if (closed_ || answered_ || !streaming_ || bytes.empty()) return;
  call_->bytes_out += bytes.size();
  next_out_.push_back(chunked_ ? fmt::format("{:x}\r\n", bytes.size()) + bytes + "\r\n"
                               : std::move(bytes));
  if (sending_) {
    HoldUnsent();
  } else {
    Send();
  }
}

void Http1Connection::EndStream() {
  if (closed_ || answered_ || !streaming_) return;
  ending_ = true;
  if (chunked_) next_out_.push_back("0\r\n\r\n");
  Send();
}

// The pieces of a stream, all that there are at once.
void Http1Connection::Send() {
  if (sending_ || closed_) return;
  if (!next_out_.empty()) {
    out_ = std::move(next_out_);
    next_out_.clear();
  }
  buffers_.clear();
  for (const std::string& piece : out_) buffers_.push_back(asio::buffer(piece));
  send_since_ = send_progress_ = Clock::now();
  sent_bytes_ = 0;
  SendSome();
}

void Http1Connection::SendSome() {
  if (!sending_) {
    ErrorOf error;
    const size_t sent = transport_.TryWrite(buffers_, error);
    if (error) {
      Close();
      return;
    }
    Consume(buffers_, sent);
    if (buffers_.empty()) {
      OnSent({}, 0);
      return;
    }
    sending_ = true;
    if (!HoldUnsent()) return;
  }
  transport_.WriteSome(buffers_, [self = shared_from_this()](const ErrorOf& error, size_t bytes) {
    if (self->closed_) return;
    if (!error) {
      Consume(self->buffers_, bytes);
      self->send_progress_ = Clock::now();
      self->sent_bytes_ += bytes;
      if (!self->buffers_.empty()) {
        self->SendSome();
        return;
      }
    }
    self->OnSent(error, bytes);
  });
}

// What the client has not taken counts against the memory for that; where there is none left, the
// slow reader is cut off.
bool Http1Connection::HoldUnsent() {
  if (ending_ && call_) call_->DropBody();
  size_t waiting = 0;
  for (const asio::const_buffer& buffer : buffers_) waiting += buffer.size();
  for (const std::string& piece : next_out_) waiting += piece.size();
  if (unsent_share_.Grow(static_cast<int64_t>(waiting))) return true;
  Close();
  return false;
}

void Http1Connection::OnSent(const ErrorOf& error, size_t) {
  sending_ = false;
  unsent_share_.Clear();
  if (error) {
    Close();
    return;
  }
  out_.clear();
  if (!next_out_.empty()) {
    Send();
    return;
  }
  if (ending_) Answered();
}

void Http1Connection::Answered() {
  const std::shared_ptr<Http1Connection> self = std::move(self_);
  ending_ = streaming_ = false;
  context_.handler->Done(*call_);
  response_ = {};
  if (call_) {
    call_->on_cancel = nullptr;
    call_->on_data = nullptr;
  }
  answered_ = true;
  if (!keep_alive_ || eof_) {
    Close();
    return;
  }
  Enter(Phase::kIdle);
  Process();
  StartRead();
}

void Http1Connection::Tick(Clock::time_point now) {
  const NetLimits& limits = context_.limits;
  const auto seconds = [&](Clock::time_point since) {
    return std::chrono::duration_cast<std::chrono::seconds>(now - since).count();
  };
  if (sending_) {
    if (seconds(send_progress_) > limits.write_seconds ||
        limits.TooSlow(seconds(send_since_), sent_bytes_))
      Close();
    return;
  }
  switch (phase_) {
    case Phase::kIdle:
      if (seconds(phase_since_) > limits.idle_seconds) Close();
      return;
    case Phase::kHead:
      if (seconds(phase_since_) > limits.header_seconds) {
        Refuse(408, "the head of the request took too long");
      }
      return;
    case Phase::kBody:
      if (seconds(last_progress_) > limits.body_seconds ||
          limits.TooSlow(seconds(phase_since_), phase_bytes_)) {
        Refuse(408, "the body of the request took too long");
      }
      return;
    case Phase::kWork:
      return;
  }
}

void Http1Connection::Drain() {
  keep_alive_ = false;
  if (answered_ && phase_ == Phase::kIdle) Close();
}

void Http1Connection::Close() {
  if (std::exchange(closed_, true)) return;
  const auto self = shared_from_this();
  self_.reset();
  if (!answered_ && call_ && call_->on_cancel) std::exchange(call_->on_cancel, nullptr)();
  transport_.Close();
  loop_.Remove(this);
}

}  // namespace ingot::serve
