// HttpClient: an HTTP/1.1 client on one kept-alive connection, for the verbs that call servers.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ingot/dist/http_answer.h"
#include "ingot/serve/tls_client.h"

namespace ingot::serve {

using HttpAnswer = dist::HttpAnswer;

// Not safe for use by several threads. Throws Error(kIo) where the server cannot be reached or
// hangs up.
class HttpClient {
 public:
  // "http://127.0.0.1:8000", "https://host:8000"; without either, http. Port 8000 where none is
  // named. Throws Error(kInvalidInput) for anything else.
  explicit HttpClient(const std::string& url, TlsClientOptions tls = {});
  ~HttpClient();
  HttpAnswer Send(const std::string& method, const std::string& path,
                  const std::vector<std::pair<std::string, std::string>>& headers,
                  const std::string& body);

 private:
  void Connect();
  void Close();
  void WriteAll(const std::string& bytes);
  bool ReadMore(std::string& received);
  HttpAnswer ReadAnswer();

  std::string host_, port_;
  bool secure_ = false;
  TlsClientOptions tls_options_;
  int socket_ = -1;
  std::unique_ptr<TlsClient> tls_;  // where it is secure
  dist::HttpAnswerReader reader_{std::string::npos};
};

}  // namespace ingot::serve
