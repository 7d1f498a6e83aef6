// HttpClient: a plain HTTP/1.1 client on one kept-alive connection, for the verbs that call
// servers.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace ingot::serve {

struct HttpAnswer {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
  std::string body;
  std::string Header(const std::string& name) const;
};

// Not safe for use by several threads. Throws Error(kIo) where the server cannot be reached or
// hangs up.
class HttpClient {
 public:
  // "http://127.0.0.1:8000", or without "http://".
  explicit HttpClient(const std::string& url);
  ~HttpClient();
  HttpAnswer Send(const std::string& method, const std::string& path,
                  const std::vector<std::pair<std::string, std::string>>& headers,
                  const std::string& body);

 private:
  void Connect();
  void WriteAll(const std::string& bytes);
  bool ReadMore();
  HttpAnswer ReadAnswer();

  std::string host_, port_;
  int socket_ = -1;
  std::string in_;
};

}  // namespace ingot::serve
