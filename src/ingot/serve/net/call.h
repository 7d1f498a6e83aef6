// Call: one HTTP request and the way to answer it, the same for HTTP/1.1 and HTTP/2. Handler: what
// the server's connections give calls to.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ingot/serve/executor.h"

namespace ingot::serve {

// The fields of a request's head, in one piece of memory. Names compare without regard to case.
class HeaderList {
 public:
  void Add(std::string_view name, std::string_view value) {
    entries_.push_back({static_cast<uint32_t>(text_.size()), static_cast<uint32_t>(name.size()),
                        static_cast<uint32_t>(value.size())});
    text_.append(name).append(value);
  }
  // "" where there is none; the first where there are several.
  std::string_view Get(std::string_view name) const {
    for (const Entry& e : entries_) {
      if (e.name_size == name.size() && Same({text_.data() + e.at, e.name_size}, name)) {
        return {text_.data() + e.at + e.name_size, e.value_size};
      }
    }
    return {};
  }
  bool Has(std::string_view name) const { return Get(name).data() != nullptr; }
  size_t size() const { return entries_.size(); }
  size_t bytes() const { return text_.size(); }
  void clear() {
    entries_.clear();
    text_.clear();
  }

  static bool Same(std::string_view a, std::string_view b) {
    if (a.size() != b.size()) return false;
    for (size_t i = 0; i < a.size(); ++i) {
      const auto lower = [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
      };
      if (lower(a[i]) != lower(b[i])) return false;
    }
    return true;
  }

 private:
  struct Entry {
    uint32_t at, name_size, value_size;
  };
  std::string text_;
  std::vector<Entry> entries_;
};

using Fields = std::vector<std::pair<std::string, std::string>>;

// Bytes of an answer that something else owns.
struct Piece {
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> owner;
};

struct Response {
  int status = 200;
  std::string content_type = "application/json";
  Fields headers;
  std::string body;
  std::vector<Piece> pieces;  // after the body
  Fields trailers;            // HTTP/2 alone
};

// Who is at the other end of a connection.
enum class PortKind { kHttp, kGrpc, kMetrics };

struct Peer {
  PortKind port = PortKind::kHttp;  // of the server, on which it connected
  std::string address;              // "127.0.0.1:40312"
  bool loopback = false;
  bool tls = false;
  std::string certificate_name;  // the common name of a verified client certificate
};

class Call : public std::enable_shared_from_this<Call> {
 public:
  virtual ~Call() = default;

  std::string method;
  std::string target;  // "/v2/models/m/infer?x=1", without scheme and host where they were sent
  HeaderList headers;
  std::string body;
  bool body_complete = false;
  std::shared_ptr<const Peer> peer;
  Executor* executor = nullptr;  // all of the below is to be called there
  bool http2 = false;

  std::string_view path() const {
    const std::string_view all = target;
    return all.substr(0, all.find('?'));
  }

  // The whole answer, once.
  virtual void Respond(Response response) = 0;
  // Or piece by piece. Write may be called while earlier pieces are still on their way.
  virtual void Begin(Response head) = 0;
  virtual void Write(std::string bytes) = 0;
  virtual void End(Fields trailers) = 0;

  // The client has gone, or has cancelled the request.
  std::function<void()> on_cancel;
  // More of the body has arrived, or its end (calls for which Handler::TakesStream said yes).
  std::function<void()> on_data;
  // For the access log.
  std::string key_name;  // of the API key
  std::chrono::steady_clock::time_point begun;
  int status = 0;
  uint64_t bytes_out = 0;
};

class Handler {
 public:
  virtual ~Handler() = default;
  // The head of a request has arrived: whether Handle is to be called now and the body is to be
  // handed on as it comes, in place of after its end.
  virtual bool TakesStream(const Call& call) = 0;
  virtual void Handle(std::shared_ptr<Call> call) = 0;
  // After the answer has gone.
  virtual void Done(const Call& call) = 0;
};

}  // namespace ingot::serve
