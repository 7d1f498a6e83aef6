// The client's side of HTTP/1.1.
#include "ingot/serve/http_client.h"

#include <cerrno>
#include <cstring>

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ingot/base/error.h"
#include "ingot/base/host_port.h"

namespace ingot::serve {

HttpClient::HttpClient(const std::string& url, TlsClientOptions tls)
    : secure_(url.starts_with("https://")), tls_options_(std::move(tls)) {
  std::string rest = url;
  if (rest.starts_with("http://") || secure_) rest = rest.substr(secure_ ? 8 : 7);
  rest = rest.substr(0, rest.find('/'));
  const HostPort parts = SplitHostPort(rest);
  host_ = parts.host;
  port_ = parts.port.value_or("8000");
  if (!host_.empty() && ParsePort(port_)) return;
  throw Error(ErrorCode::kInvalidInput, "'" + url + "' is no address of a server",
              "give http://HOST:PORT, https://HOST:PORT or HOST:PORT");
}

HttpClient::~HttpClient() {
  Close();
}

void HttpClient::Close() {
  tls_.reset();
  if (socket_ >= 0) ::close(socket_);
  socket_ = -1;
}

void HttpClient::Connect() {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int result = ::getaddrinfo(host_.c_str(), port_.c_str(), &hints, &found);
  if (result != 0) {
    throw Error(ErrorCode::kIo,
                "cannot find '" + host_ + ":" + port_ + "': " + ::gai_strerror(result));
  }
  int fault = 0;
  for (const addrinfo* at = found; at != nullptr && socket_ < 0; at = at->ai_next) {
    socket_ = ::socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (socket_ >= 0 && ::connect(socket_, at->ai_addr, at->ai_addrlen) != 0) {
      fault = errno;
      ::close(socket_);
      socket_ = -1;
    }
  }
  ::freeaddrinfo(found);
  if (socket_ < 0) {
    throw Error(ErrorCode::kIo,
                "cannot reach " + host_ + ":" + port_ + ": " + std::strerror(fault));
  }
  const int on = 1;
  ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  reader_.Reset();
  if (!secure_) return;
  try {
    tls_ = std::make_unique<TlsClient>(socket_, host_, tls_options_);
  } catch (...) {
    Close();
    throw;
  }
}

void HttpClient::WriteAll(const std::string& bytes) {
  size_t at = 0;
  while (at < bytes.size()) {
    const char* from = bytes.data() + at;
    const size_t left = bytes.size() - at;
    const ssize_t n = tls_ ? tls_->Write(from, left) : ::send(socket_, from, left, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0)
      throw Error(ErrorCode::kIo, std::string("the server hung up: ") + std::strerror(errno));
    at += static_cast<size_t>(n);
  }
}

bool HttpClient::ReadMore(std::string& received) {
  char buffer[64 << 10];
  for (;;) {
    const ssize_t n =
        tls_ ? tls_->Read(buffer, sizeof buffer) : ::recv(socket_, buffer, sizeof buffer, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    received.append(buffer, static_cast<size_t>(n));
    return true;
  }
}

HttpAnswer HttpClient::ReadAnswer() {
  HttpAnswer answer;
  if (!reader_.Read([this](std::string& received) { return ReadMore(received); }, answer)) {
    throw Error(ErrorCode::kIo, answer.status == 0 ? "the server hung up without an answer"
                                                   : "the server hung up within an answer");
  }
  if (answer.Says("connection", "close")) Close();
  return answer;
}

HttpAnswer HttpClient::Send(const std::string& method, const std::string& path,
                            const std::vector<std::pair<std::string, std::string>>& headers,
                            const std::string& body) {
  if (socket_ < 0) Connect();
  std::string request = method + " " + path + " HTTP/1.1\r\nHost: " + host_ + ":" + port_ +
                        "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n";
  for (const auto& [name, value] : headers) request += name + ": " + value + "\r\n";
  request += "\r\n" + body;
  try {
    WriteAll(request);
    return ReadAnswer();
  } catch (...) {
    Close();
    throw;
  }
}

}  // namespace ingot::serve
