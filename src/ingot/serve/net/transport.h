// Transport: a TCP connection, with or without TLS.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ingot/serve/net/asio.h"

namespace ingot::serve {

using Buffers = std::vector<asio::const_buffer>;

class Transport {
 public:
  explicit Transport(Tcp::socket socket) : socket_(std::move(socket)) {}
  Transport(Tcp::socket socket, asio::ssl::context& tls)
      : ssl_(std::make_unique<Ssl>(std::move(socket), tls)), socket_(ssl_->get_executor()) {}

  bool tls() const { return ssl_ != nullptr; }
  asio::ssl::stream<Tcp::socket>* ssl() { return ssl_.get(); }
  Tcp::socket& socket() { return ssl_ ? ssl_->next_layer() : socket_; }

  template <typename F>
  void Handshake(F&& done) {
    ssl_->async_handshake(asio::ssl::stream_base::server, std::forward<F>(done));
  }
  template <typename F>
  void Read(asio::mutable_buffer buffer, F&& done) {
    if (ssl_) {
      ssl_->async_read_some(buffer, std::forward<F>(done));
    } else {
      socket_.async_read_some(buffer, std::forward<F>(done));
    }
  }
  // Some of the buffers, at least a byte.
  template <typename F>
  void WriteSome(const Buffers& buffers, F&& done) {
    if (ssl_) {
      ssl_->async_write_some(buffers, std::forward<F>(done));
    } else {
      socket_.async_write_some(buffers, std::forward<F>(done));
    }
  }
  // What the system takes at once, without waiting; 0 with TLS.
  size_t TryWrite(const Buffers& buffers, ErrorOf& error) {
    if (ssl_) return 0;
    const size_t sent = socket_.write_some(buffers, error);
    if (error == asio::error::would_block || error == asio::error::try_again) {
      error = {};
      return 0;
    }
    return sent;
  }

  void Close() {
    ErrorOf ignored;
    socket().shutdown(Tcp::socket::shutdown_both, ignored);
    socket().close(ignored);
  }

 private:
  using Ssl = asio::ssl::stream<Tcp::socket>;
  std::unique_ptr<Ssl> ssl_;
  Tcp::socket socket_;
};

// Drops the first `bytes` of the buffers.
inline void Consume(Buffers& buffers, size_t bytes) {
  size_t whole = 0;
  while (whole < buffers.size() && bytes >= buffers[whole].size()) bytes -= buffers[whole++].size();
  buffers.erase(buffers.begin(), buffers.begin() + static_cast<ptrdiff_t>(whole));
  if (bytes > 0) buffers[0] += bytes;
}

}  // namespace ingot::serve
