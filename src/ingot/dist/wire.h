// Lines of JSON over TCP: the control plane of a group. Small messages alone; tensors go over a
// transport.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "ingot/base/file_descriptor.h"

namespace ingot::dist {

using Json = nlohmann::json;

// A member of a message: "" (`otherwise`) where it is absent or of another type.
std::string Text(const Json& message, const char* key);
int64_t Whole(const Json& message, const char* key, int64_t otherwise);
bool IsTrue(const Json& message, const char* key);

// Equal in time whatever differs.
bool SameToken(const std::string& a, const std::string& b);

struct Endpoint {
  std::string host;
  int port = 0;
  std::string ToString() const { return host + ":" + std::to_string(port); }
};

// Throws Error(kIo): the address is in use, or is none of this machine. Port 0: any; `bound` says
// which it became.
FileDescriptor Listen(const Endpoint& at, Endpoint* bound);

// A connection that never blocks. Not valid where nobody answers in time; `refused` says whether
// somebody said no.
FileDescriptor ConnectTo(const Endpoint& to, double seconds, bool* refused = nullptr);

// A connection whose lines are JSON. Never blocks but in Connect; not safe for several threads.
class LineSocket {
 public:
  explicit LineSocket(FileDescriptor fd);
  // Not valid where nobody answers in time; `refused` says whether somebody said no.
  static LineSocket Connect(const Endpoint& to, double seconds, bool* refused = nullptr);
  LineSocket() : fd_(-1) {}

  bool valid() const { return fd_.valid(); }
  int fd() const { return fd_.get(); }
  // False where the connection is lost. What the system does not take at once waits for Flush.
  bool Send(const Json& message);
  bool Flush();
  bool wants_to_write() const { return !unsent_.empty(); }
  // Appends the messages that are there. False where the connection is lost or sends what is no
  // JSON; what came before is in `messages`.
  bool Receive(std::vector<Json>& messages);
  void Close() { fd_.Close(); }

 private:
  FileDescriptor fd_;
  std::string unsent_;
  std::string received_;
};

// This machine's address as a peer at `to` sees it; "" where there is no way there.
std::string AddressTowards(const Endpoint& to);

// An address at which other machines may reach this one: that of its way to the world, else that of
// its name; "127.0.0.1" where it has none.
std::string OwnAddress();

// Bytes as text, and back ("" where the text is none).
std::string ToHex(std::string_view bytes);
std::string FromHex(std::string_view text);

}  // namespace ingot::dist
