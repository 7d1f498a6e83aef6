// TlsClient: the client's side of TLS on a connected, blocking socket.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

namespace ingot::serve {

struct TlsClientOptions {
  std::string ca;  // PEM: who may have signed the server's certificate; "": the system's
  std::string certificate, key;  // PEM: of this client, where the server asks for one; "": none
  bool insecure = false;         // takes any certificate
};

// Not safe for use by several threads. Does not own the socket.
class TlsClient {
 public:
  // Shakes hands with `host`, a name or an address that the certificate must be for.
  // Throws Error(kIo): no handshake, with OpenSSL's reason; kInvalidInput: a file that cannot be
  // used.
  TlsClient(int socket, const std::string& host, const TlsClientOptions& options);
  ~TlsClient();

  // As send and recv: how many bytes, at least one; 0 or less where the connection has ended.
  long Write(const char* bytes, size_t count);
  long Read(char* bytes, size_t count);

 private:
  struct Handles;
  std::unique_ptr<Handles> handles_;
};

}  // namespace ingot::serve
