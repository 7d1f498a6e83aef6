// The part of HTTP/1.1 that gateways to gRPC speak: bodies with a length, or in chunks.
#include "ingot/dist/http_client.h"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <string_view>

#include <poll.h>
#include <sys/socket.h>

#include "ingot/base/clock.h"

namespace ingot::dist {
namespace {

constexpr size_t kLongestAnswer = size_t{64} << 20;

bool WaitForSocket(int fd, short events, double until) {
  const double left = until - MonotonicSeconds();
  if (left <= 0) return false;
  pollfd poll = {fd, events, 0};
  return ::poll(&poll, 1, static_cast<int>(left * 1000) + 1) > 0 || errno == EINTR;
}

std::string LowerCase(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

std::optional<size_t> ParseSize(std::string_view text, int base) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  size_t value = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (failed != std::errc() || end == text.data() || value > kLongestAnswer) return std::nullopt;
  return value;
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
      received_.clear();
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

bool HttpClient::ReadMore(double until) {
  while (received_.size() < kLongestAnswer) {
    char buffer[16384];
    const ssize_t got = ::recv(fd_.get(), buffer, sizeof(buffer), 0);
    if (got > 0) {
      received_.append(buffer, static_cast<size_t>(got));
      return true;
    }
    if (got == 0) return false;
    if (errno == EINTR) continue;
    if (errno != EAGAIN && errno != EWOULDBLOCK) return false;
    if (!WaitForSocket(fd_.get(), POLLIN, until)) return false;
  }
  return false;
}

bool HttpClient::ReadLine(std::string& line, double until) {
  size_t end = 0;
  while ((end = received_.find('\n')) == std::string::npos) {
    if (!ReadMore(until)) return false;
  }
  line = received_.substr(0, end);
  if (!line.empty() && line.back() == '\r') line.pop_back();
  received_.erase(0, end + 1);
  return true;
}

bool HttpClient::ReadBytes(size_t count, std::string& into, double until) {
  while (received_.size() < count) {
    if (!ReadMore(until)) return false;
  }
  into.append(received_, 0, count);
  received_.erase(0, count);
  return true;
}

bool HttpClient::ReadChunks(std::string& body, double until) {
  while (true) {
    std::string line;
    if (!ReadLine(line, until)) return false;
    const auto size = ParseSize(line, 16);
    if (!size || !ReadBytes(*size, body, until)) return false;
    if (*size == 0) break;
    if (!ReadLine(line, until)) return false;
  }
  std::string line = "trailer";
  while (!line.empty()) {
    if (!ReadLine(line, until)) return false;
  }
  return true;
}

bool HttpClient::ReadAnswer(HttpAnswer& answer, double until) {
  std::string line;
  if (!ReadLine(line, until) || !line.starts_with("HTTP/1.")) return false;
  const size_t space = line.find(' ');
  if (space == std::string::npos) return false;
  answer.status = static_cast<int>(ParseSize(std::string_view(line).substr(space), 10).value_or(0));
  std::optional<size_t> length;
  bool chunked = false;
  bool closes = false;
  while (true) {
    if (!ReadLine(line, until)) return false;
    if (line.empty()) break;
    const size_t colon = line.find(':');
    if (colon == std::string::npos) return false;
    const std::string name = LowerCase(line.substr(0, colon));
    const std::string value = LowerCase(line.substr(colon + 1));
    if (name == "content-length") length = ParseSize(value, 10);
    if (name == "transfer-encoding") chunked = value.find("chunked") != std::string::npos;
    if (name == "connection") closes = value.find("close") != std::string::npos;
  }
  if (chunked) {
    if (!ReadChunks(answer.body, until)) return false;
  } else if (!length || !ReadBytes(*length, answer.body, until)) {
    return false;
  }
  if (closes) fd_.Close();
  return true;
}

}  // namespace ingot::dist
