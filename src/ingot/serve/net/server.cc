// Listening, accepting, and telling HTTP/1.1, HTTP/2 and TLS apart.
#include "ingot/serve/net/server.h"

#include <utility>

#include <fmt/format.h>
#include <openssl/ssl.h>

#include "ingot/base/error.h"
#include "ingot/serve/net/http2.h"

namespace ingot::serve {
namespace {

int ChooseProtocol(SSL*, const unsigned char** out, unsigned char* out_size,
                   const unsigned char* in, unsigned int in_size, void*) {
  static constexpr unsigned char kOffered[] = "\x02h2\x08http/1.1";
  if (SSL_select_next_proto(const_cast<unsigned char**>(out), out_size, kOffered,
                            sizeof kOffered - 1, in, in_size) != OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  return SSL_TLSEXT_ERR_OK;
}

std::unique_ptr<asio::ssl::context> MakeTls(const TlsFiles& files) {
  if (files.certificate.empty()) return nullptr;
  auto tls = std::make_unique<asio::ssl::context>(asio::ssl::context::tls_server);
  const auto load = [](const std::string& what, const std::string& file, auto&& f) {
    ErrorOf error;
    f(error);
    if (error) {
      throw Error(ErrorCode::kInvalidInput,
                  "TLS: cannot use the " + what + " '" + file + "': " + error.message(),
                  "expected a file in PEM format");
    }
  };
  load("certificate", files.certificate,
       [&](ErrorOf& error) { tls->use_certificate_chain_file(files.certificate, error); });
  load("key", files.key, [&](ErrorOf& error) {
    tls->use_private_key_file(files.key, asio::ssl::context::pem, error);
  });
  if (!files.client_authority.empty()) {
    load("client authority", files.client_authority,
         [&](ErrorOf& error) { tls->load_verify_file(files.client_authority, error); });
    tls->set_verify_mode(asio::ssl::verify_peer | asio::ssl::verify_fail_if_no_peer_cert);
  }
  SSL_CTX_set_min_proto_version(tls->native_handle(), TLS1_2_VERSION);
  SSL_CTX_set_mode(tls->native_handle(), SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_alpn_select_cb(tls->native_handle(), &ChooseProtocol, nullptr);
  static constexpr unsigned char kSession[] = "ingot";
  SSL_CTX_set_session_id_context(tls->native_handle(), kSession, sizeof kSession - 1);
  return tls;
}

std::string AddressText(const Tcp::endpoint& endpoint) {
  const std::string host = endpoint.address().to_string();
  return (endpoint.address().is_v6() ? "[" + host + "]" : host) + ":" +
         std::to_string(endpoint.port());
}

std::string CommonName(SSL* ssl) {
  X509* certificate = SSL_get1_peer_certificate(ssl);
  if (certificate == nullptr) return "";
  char name[256] = {};
  X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name, sizeof name);
  X509_free(certificate);
  return name;
}

// A connection of which it is not yet known what it speaks.
class Greeting : public Connection, public std::enable_shared_from_this<Greeting> {
 public:
  Greeting(Transport transport, Loop& loop, NetContext& context, std::shared_ptr<Peer> peer)
      : transport_(std::move(transport)), loop_(loop), context_(context), peer_(std::move(peer)) {
    loop_.Add(this);
  }
  ~Greeting() override { loop_.Remove(this); }

  void Start() {
    if (!transport_.tls()) {
      ReadSome();
      return;
    }
    transport_.Handshake([self = shared_from_this()](const ErrorOf& error) {
      if (error || self->closed_) {
        self->Close();
        return;
      }
      SSL* ssl = self->transport_.ssl()->native_handle();
      self->peer_->tls = true;
      self->peer_->certificate_name = CommonName(ssl);
      const unsigned char* protocol = nullptr;
      unsigned int size = 0;
      SSL_get0_alpn_selected(ssl, &protocol, &size);
      if (std::string_view(reinterpret_cast<const char*>(protocol), size) == "h2") {
        self->Hand<Http2Connection>();
      } else {
        self->Hand<Http1Connection>();
      }
    });
  }

  void Tick(std::chrono::steady_clock::time_point now) override {
    if (now - begun_ > std::chrono::seconds(received_ == 0 ? context_.limits.idle_seconds
                                                           : context_.limits.header_seconds) ||
        (transport_.tls() && now - begun_ > std::chrono::seconds(context_.limits.header_seconds))) {
      Close();
    }
  }
  void Drain() override { Close(); }
  void Close() override {
    if (std::exchange(closed_, true)) return;
    transport_.Close();
    loop_.Remove(this);
  }

 private:
  template <typename Kind>
  void Hand() {
    loop_.Remove(this);
    closed_ = true;
    const auto next =
        std::make_shared<Kind>(std::move(transport_), loop_, context_, std::move(peer_));
    next->Start({first_.data(), received_});
  }

  void ReadSome() {
    transport_.Read(asio::buffer(first_.data() + received_, first_.size() - received_),
                    [self = shared_from_this()](const ErrorOf& error, size_t size) {
                      if (self->closed_) return;
                      if (error) {
                        self->Close();
                        return;
                      }
                      if (self->received_ == 0) self->begun_ = std::chrono::steady_clock::now();
                      self->received_ += size;
                      self->Decide();
                    });
  }

  void Decide() {
    const std::string_view got(first_.data(), std::min(received_, kHttp2Preface.size()));
    if (got != kHttp2Preface.substr(0, got.size())) {
      Hand<Http1Connection>();
    } else if (got.size() == kHttp2Preface.size()) {
      Hand<Http2Connection>();
    } else {
      ReadSome();
    }
  }

  Transport transport_;
  Loop& loop_;
  NetContext& context_;
  std::shared_ptr<Peer> peer_;
  std::array<char, 4096> first_;
  size_t received_ = 0;
  bool closed_ = false;
  std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
};

}  // namespace

struct NetServer::Listener {
  explicit Listener(asio::io_context& io) : acceptor(io), retry(io) {}
  Tcp::acceptor acceptor;
  asio::steady_timer retry;
  PortKind kind = PortKind::kHttp;
  std::unique_ptr<asio::ssl::context> tls;
};

NetServer::NetServer(Handler& handler, const NetLimits& limits, int loops)
    : memory_(limits.memory_bytes), unsent_(limits.memory_bytes) {
  context_.handler = &handler;
  context_.limits = limits;
  context_.memory = &memory_;
  context_.unsent = &unsent_;
  for (int i = 0; i < loops; ++i) loops_.push_back(std::make_unique<Loop>(i));
}

NetServer::~NetServer() {
  Stop(0);
}

std::string NetServer::Listen(const std::string& address, uint16_t port, PortKind kind,
                              const TlsFiles& tls) {
  auto listener = std::make_unique<Listener>(loops_[0]->io());
  listener->kind = kind;
  listener->tls = MakeTls(tls);
  const std::string where = address + ":" + std::to_string(port);
  ErrorOf error;
  const auto ip = asio::ip::make_address(address, error);
  if (error) {
    throw Error(ErrorCode::kInvalidInput, "cannot listen on '" + address + "': not an IP address",
                "such as 127.0.0.1, 0.0.0.0 or ::");
  }
  const Tcp::endpoint endpoint(ip, port);
  listener->acceptor.open(endpoint.protocol(), error);
  if (!error) listener->acceptor.set_option(Tcp::acceptor::reuse_address(true), error);
  if (!error) listener->acceptor.bind(endpoint, error);
  if (!error) listener->acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) throw Error(ErrorCode::kIo, "cannot listen on " + where + ": " + error.message());
  const std::string bound = AddressText(listener->acceptor.local_endpoint());
  listeners_.push_back(std::move(listener));
  return bound;
}

std::string NetServer::Adopt(int socket, PortKind kind, const TlsFiles& tls) {
  auto listener = std::make_unique<Listener>(loops_[0]->io());
  listener->kind = kind;
  listener->tls = MakeTls(tls);
  sockaddr_storage name{};
  socklen_t size = sizeof name;
  ::getsockname(socket, reinterpret_cast<sockaddr*>(&name), &size);
  ErrorOf error;
  listener->acceptor.assign(name.ss_family == AF_INET6 ? Tcp::v6() : Tcp::v4(), socket, error);
  if (error) {
    throw Error(ErrorCode::kIo,
                fmt::format("cannot use the inherited socket {}: {}", socket, error.message()));
  }
  const std::string bound = AddressText(listener->acceptor.local_endpoint());
  listeners_.push_back(std::move(listener));
  return bound;
}

void NetServer::Start() {
  for (const auto& listener : listeners_) Accept(*listener);
  for (const auto& loop : loops_) {
    threads_.emplace_back([loop = loop.get()] { loop->Run(); });
  }
}

void NetServer::Accept(Listener& listener) {
  Loop& loop = *loops_[next_loop_++ % loops_.size()];
  listener.acceptor.async_accept(loop.io(), [this, &listener, &loop](const ErrorOf& error,
                                                                     Tcp::socket socket) {
    if (error == asio::error::operation_aborted || !listener.acceptor.is_open()) return;
    if (error) {
      // No descriptors left, most likely: waits for some to be closed.
      listener.retry.expires_after(std::chrono::milliseconds(50));
      listener.retry.async_wait([this, &listener](const ErrorOf& stopped) {
        if (!stopped) Accept(listener);
      });
      return;
    }
    if (connections() >= static_cast<size_t>(context_.limits.connections)) {
      ErrorOf ignored;
      socket.close(ignored);
    } else if (&loop == loops_[0].get()) {
      Begin(std::move(socket), loop, listener);
    } else {
      auto shared = std::make_shared<Tcp::socket>(std::move(socket));
      loop.Post([this, shared, &loop, &listener] { Begin(std::move(*shared), loop, listener); });
    }
    Accept(listener);
  });
}

void NetServer::Begin(Tcp::socket socket, Loop& loop, Listener& listener) {
  ErrorOf error;
  const Tcp::endpoint remote = socket.remote_endpoint(error);
  if (error) return;
  socket.set_option(Tcp::no_delay(true), error);
  socket.non_blocking(true, error);
  auto peer = std::make_shared<Peer>();
  peer->port = listener.kind;
  peer->address = AddressText(remote);
  peer->loopback = remote.address().is_loopback();
  Transport transport =
      listener.tls ? Transport(std::move(socket), *listener.tls) : Transport(std::move(socket));
  std::make_shared<Greeting>(std::move(transport), loop, context_, std::move(peer))->Start();
}

void NetServer::Drain() {
  context_.draining.store(true);
  loops_[0]->Post([this] {
    for (const auto& listener : listeners_) {
      ErrorOf ignored;
      listener->acceptor.close(ignored);
      listener->retry.cancel();
    }
  });
  for (const auto& loop : loops_) loop->Post([loop = loop.get()] { loop->Drain(); });
}

void NetServer::Stop(int seconds) {
  if (std::exchange(stopped_, true)) return;
  if (!threads_.empty()) {
    Drain();
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
    // The first look comes after the drain has been through every loop.
    for (bool first = true;
         std::chrono::steady_clock::now() < until && (first || connections() > 0); first = false) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    for (const auto& loop : loops_) {
      loop->Post([loop = loop.get()] {
        loop->CloseAll();
        loop->Stop();
      });
    }
    for (std::thread& thread : threads_) thread.join();
  }
  listeners_.clear();
}

size_t NetServer::connections() const {
  size_t count = 0;
  for (const auto& loop : loops_) count += loop->connections();
  return count;
}

}  // namespace ingot::serve
