// What connections read, over any bytes: HTTP/1.1, and HTTP/2 behind its preface. Each input goes
// to a server in this process, over a connection of its own, cut in two where the first byte says.
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <string>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "ingot/serve/net/server.h"

namespace {

using namespace ingot::serve;

// Answers what came.
class Echo : public Handler {
 public:
  bool TakesStream(const Call&) override { return false; }
  void Handle(std::shared_ptr<Call> call) override {
    Response response;
    response.body = call->body;
    call->Respond(std::move(response));
  }
  void Done(const Call&) override {}
};

struct Server {
  Server() : net(echo, {.body_bytes = 1 << 20, .memory_bytes = 8 << 20}, 1) {
    const std::string address = net.Listen("127.0.0.1", 0, PortKind::kHttp, {});
    port = static_cast<uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
    net.Start();
  }
  Echo echo;
  NetServer net;
  uint16_t port = 0;
};

bool SendAll(int socket, const uint8_t* data, size_t size) {
  while (size > 0) {
    const ssize_t sent = ::send(socket, data, size, MSG_NOSIGNAL);
    if (sent <= 0) return false;
    data += sent;
    size -= static_cast<size_t>(sent);
  }
  return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Server server;
  if (size == 0) return 0;
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(server.port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  // Closed by a reset, so that no port is kept waiting for what was on its way.
  const linger reset = {1, 0};
  ::setsockopt(socket, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
  const timeval patience = {5, 0};
  ::setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  if (::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    ::close(socket);
    return 0;
  }
  const size_t cut = 1 + (size - 1) * data[0] / 255;
  if (SendAll(socket, data + 1, cut - 1) && SendAll(socket, data + cut, size - cut)) {
    ::shutdown(socket, SHUT_WR);
    // The server ends a connection whose other half is closed, at once or behind its answers.
    char answer[4096];
    ssize_t got = 0;
    while ((got = ::recv(socket, answer, sizeof(answer), 0)) > 0) {
    }
    if (got < 0 && errno == EAGAIN) std::abort();  // it hangs
  }
  ::close(socket);
  return 0;
}
