// The part of HTTP/1.1 that gateways to gRPC speak: bodies with a length, or in chunks.
#include "ingot/dist/http_client.h"

#include <cerrno>

#include <poll.h>
#include <sys/socket.h>

#include "ingot/base/clock.h"

namespace ingot::dist {
namespace {

bool WaitForSocket(int fd, short events, double until) {
  const double left = until - MonotonicSeconds();
  if (left <= 0) return false;
  pollfd poll = {fd, events, 0};
  return ::poll(&poll, 1, static_cast<int>(left * 1000) + 1) > 0 || errno == EINTR;
}

}  // namespace

std::optional<HttpAnswer> HttpClient::Post(const std::string& path, const std::string& body,
                                           double seconds, bool* reached) {
  const double until = MonotonicSeconds() + seconds;
  if (reached != nullptr) *reached = false;
  const std::string text =
      "POST " + path + " HTTP/1.1\r\nHost: " + server_.ToString() +
      "\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) +
      "\r\n\r\n" + body;
  // A connection that was kept may have been closed meanwhile: then once more with a new one.
  for (const bool kept : {fd_.valid(), false}) {
    if (!kept) {
      fd_ = ConnectTo(server_, seconds);
      reader_.Reset();
      if (!fd_.valid()) return std::nullopt;
    }
    HttpAnswer answer;
    if (Write(text, until)) {
      if (reached != nullptr) *reached = true;
      if (ReadAnswer(answer, until)) return answer;
    }
    fd_.Close();
    if (!kept) break;
  }
  return std::nullopt;
}

bool HttpClient::Write(const std::string& text, double until) {
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t sent = ::send(fd_.get(), text.data() + done, text.size() - done, MSG_NOSIGNAL);
    if (sent > 0) {
      done += static_cast<size_t>(sent);
      continue;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN && errno != EWOULDBLOCK) return false;
    if (!WaitForSocket(fd_.get(), POLLOUT, until)) return false;
  }
  return true;
}

bool HttpClient::ReadMore(std::string& received, double until) {
  while (true) {
    char buffer[16384];
    const ssize_t got = ::recv(fd_.get(), buffer, sizeof(buffer), 0);
    if (got > 0) {
      received.append(buffer, static_cast<size_t>(got));
      return true;
    }
    if (got == 0) return false;
    if (errno == EINTR) continue;
    if (errno != EAGAIN && errno != EWOULDBLOCK) return false;
    if (!WaitForSocket(fd_.get(), POLLIN, until)) return false;
  }
}

// An answer that does not say how long it is is none.
bool HttpClient::ReadAnswer(HttpAnswer& answer, double until) {
  const auto receive = [&](std::string& received) { return ReadMore(received, until); };
  if (!reader_.Read(receive, answer)) return false;
  if (answer.Header("content-length").empty() && answer.Header("transfer-encoding").empty()) {
    return false;
  }
  if (answer.Says("connection", "close")) fd_.Close();
  return true;
}

}  // namespace ingot::dist
