// HttpClient: requests of HTTP/1.1 with JSON, one after another over one connection.
#pragma once

#include <optional>
#include <string>

#include "ingot/dist/wire.h"

namespace ingot::dist {

struct HttpAnswer {
  int status = 0;
  std::string body;
};

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
  bool ReadMore(double until);
  bool ReadLine(std::string& line, double until);
  bool ReadBytes(size_t count, std::string& into, double until);
  bool ReadAnswer(HttpAnswer& answer, double until);
  bool ReadChunks(std::string& body, double until);

  const Endpoint server_;
  FileDescriptor fd_;
  std::string received_;
};

}  // namespace ingot::dist
