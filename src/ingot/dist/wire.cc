// Sockets of the control plane.
#include "ingot/dist/wire.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ingot/base/error.h"

namespace ingot::dist {
namespace {

constexpr size_t kLongestLine = size_t{64} << 20;

struct Resolved {
  addrinfo* list = nullptr;
  ~Resolved() {
    if (list != nullptr) ::freeaddrinfo(list);
  }
};

int Resolve(const Endpoint& endpoint, bool passive, Resolved& resolved) {
  addrinfo hints = {};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = passive ? AI_PASSIVE : 0;
  const std::string port = std::to_string(endpoint.port);
  return ::getaddrinfo(endpoint.host.empty() ? nullptr : endpoint.host.c_str(), port.c_str(),
                       &hints, &resolved.list);
}

int PortOf(int fd) {
  sockaddr_storage address = {};
  socklen_t length = sizeof(address);
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) return 0;
  if (address.ss_family == AF_INET6) {
    return ntohs(reinterpret_cast<sockaddr_in6*>(&address)->sin6_port);
  }
  return ntohs(reinterpret_cast<sockaddr_in*>(&address)->sin_port);
}

void Prepare(int fd) {
  ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

}  // namespace

std::string Text(const Json& message, const char* key) {
  const auto found = message.find(key);
  return found != message.end() && found->is_string() ? found->get<std::string>() : "";
}

int64_t Whole(const Json& message, const char* key, int64_t otherwise) {
  const auto found = message.find(key);
  return found != message.end() && found->is_number() ? found->get<int64_t>() : otherwise;
}

bool IsTrue(const Json& message, const char* key) {
  const auto found = message.find(key);
  return found != message.end() && found->is_boolean() && found->get<bool>();
}

bool SameToken(const std::string& a, const std::string& b) {
  unsigned different = a.size() == b.size() ? 0 : 1;
  for (size_t i = 0; i < a.size() && i < b.size(); ++i) {
    different |= static_cast<unsigned>(static_cast<unsigned char>(a[i] ^ b[i]));
  }
  return different == 0;
}

FileDescriptor Listen(const Endpoint& at, Endpoint* bound) {
  Resolved resolved;
  const int failed = Resolve(at, true, resolved);
  if (failed != 0) {
    throw Error(ErrorCode::kInvalidInput,
                "the address '" + at.host + "' is not known: " + ::gai_strerror(failed));
  }
  std::string reason = "no address";
  for (const addrinfo* info = resolved.list; info != nullptr; info = info->ai_next) {
    FileDescriptor fd(::socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!fd.valid()) continue;
    const int on = 1;
    ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (::bind(fd.get(), info->ai_addr, info->ai_addrlen) == 0 && ::listen(fd.get(), 128) == 0) {
      Prepare(fd.get());
      if (bound != nullptr) *bound = {at.host, PortOf(fd.get())};
      return fd;
    }
    reason = std::strerror(errno);
  }
  throw Error(ErrorCode::kIo, "cannot listen at " + at.ToString() + ": " + reason,
              "choose another port, or end what uses this one");
}

LineSocket::LineSocket(FileDescriptor fd) : fd_(std::move(fd)) {
  if (fd_.valid()) Prepare(fd_.get());
}

FileDescriptor ConnectTo(const Endpoint& to, double seconds, bool* refused) {
  if (refused != nullptr) *refused = false;
  Resolved resolved;
  if (Resolve(to, false, resolved) != 0) return FileDescriptor();
  for (const addrinfo* info = resolved.list; info != nullptr; info = info->ai_next) {
    FileDescriptor fd(::socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd.valid()) continue;
    int error = 0;
    if (::connect(fd.get(), info->ai_addr, info->ai_addrlen) != 0) {
      error = errno;
      if (error == EINPROGRESS) {
        pollfd poll = {fd.get(), POLLOUT, 0};
        if (::poll(&poll, 1, static_cast<int>(seconds * 1000)) <= 0) continue;
        socklen_t length = sizeof(error);
        ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &length);
      }
    }
    if (error == 0) return fd;
    if (refused != nullptr && error == ECONNREFUSED) *refused = true;
  }
  return FileDescriptor();
}

LineSocket LineSocket::Connect(const Endpoint& to, double seconds, bool* refused) {
  return LineSocket(ConnectTo(to, seconds, refused));
}

bool LineSocket::Send(const Json& message) {
  if (!valid()) return false;
  unsent_ += message.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  return Flush();
}

bool LineSocket::Flush() {
  while (!unsent_.empty()) {
    const ssize_t sent = ::send(fd_.get(), unsent_.data(), unsent_.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return errno == EAGAIN || errno == EWOULDBLOCK;
    unsent_.erase(0, static_cast<size_t>(sent));
  }
  return true;
}

bool LineSocket::Receive(std::vector<Json>& messages) {
  bool alive = valid();
  char buffer[16384];
  while (alive) {
    const ssize_t got = ::recv(fd_.get(), buffer, sizeof(buffer), 0);
    if (got > 0) {
      received_.append(buffer, static_cast<size_t>(got));
      if (received_.size() > kLongestLine) alive = false;
      continue;
    }
    if (got < 0 && errno == EINTR) continue;
    alive = got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
    break;
  }
  size_t begin = 0;
  for (size_t end = received_.find('\n'); end != std::string::npos;
       end = received_.find('\n', begin)) {
    Json message =
        Json::parse(received_.begin() + static_cast<std::ptrdiff_t>(begin),
                    received_.begin() + static_cast<std::ptrdiff_t>(end), nullptr, false);
    begin = end + 1;
    if (message.is_discarded() || !message.is_object()) {
      alive = false;
      break;
    }
    messages.push_back(std::move(message));
  }
  received_.erase(0, begin);
  return alive;
}

std::string AddressTowards(const Endpoint& to) {
  Resolved resolved;
  if (Resolve(to, false, resolved) != 0) return "";
  for (const addrinfo* info = resolved.list; info != nullptr; info = info->ai_next) {
    // A datagram socket says which way it would go, and sends nothing.
    const FileDescriptor fd(::socket(info->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!fd.valid() || ::connect(fd.get(), info->ai_addr, info->ai_addrlen) != 0) continue;
    sockaddr_storage own = {};
    socklen_t length = sizeof(own);
    char text[NI_MAXHOST] = "";
    if (::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&own), &length) == 0 &&
        ::getnameinfo(reinterpret_cast<sockaddr*>(&own), length, text, sizeof(text), nullptr, 0,
                      NI_NUMERICHOST) == 0) {
      return text;
    }
  }
  return "";
}

std::string OwnAddress() {
  // An address that is kept for documentation: only the way there matters.
  std::string address = AddressTowards({"192.0.2.1", 9});
  char name[256] = "";
  ::gethostname(name, sizeof(name) - 1);
  if (address.empty()) address = AddressTowards({name, 9});
  return address.empty() ? "127.0.0.1" : address;
}

std::string ToHex(std::string_view bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

std::string FromHex(std::string_view text) {
  const auto value = [](char c) { return c >= 'a' ? c - 'a' + 10 : c - '0'; };
  std::string bytes;
  for (size_t i = 0; i + 1 < text.size(); i += 2) {
    bytes += static_cast<char>(value(text[i]) << 4 | value(text[i + 1]));
  }
  return bytes;
}

}  // namespace ingot::dist
