// HttpClient: requests of HTTP/1.1 with JSON, one after another over one connection.
#pragma once

#include <optional>
#include <string>

#include "ingot/dist/http_answer.h"
#include "ingot/dist/wire.h"

namespace ingot::dist {

// Not safe for several threads.
class HttpClient {
 public:
  explicit HttpClient(Endpoint server) : server_(std::move(server)) {}
  // Nothing where nobody answers in time, or what answers is no HTTP. `reached`: whether the
  // request may have come to the server.
  std::optional<HttpAnswer> Post(const std::string& path, const std::string& body, double seconds,
                                 bool* reached = nullptr);
  const Endpoint& server() const { return server_; }

 private:
  bool Write(const std::string& text, double until);
  bool ReadMore(std::string& received, double until);
  bool ReadAnswer(HttpAnswer& answer, double until);

  const Endpoint server_;
  FileDescriptor fd_;
  HttpAnswerReader reader_{size_t{64} << 20};
};

}  // namespace ingot::dist
