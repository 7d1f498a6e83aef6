// TLS by OpenSSL: verification of the server's name, and a certificate of the client's own.
#include "ingot/serve/tls_client.h"

#include <algorithm>
#include <climits>

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "ingot/base/error.h"

namespace ingot::serve {

struct TlsClient::Handles {
  SSL_CTX* context = nullptr;
  SSL* connection = nullptr;
  ~Handles() {
    SSL_free(connection);
    SSL_CTX_free(context);
  }
};

namespace {

std::string LastTlsError() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  return reason == nullptr ? "the connection ended" : reason;
}

[[noreturn]] void RefuseFile(const std::string& what, const std::string& file) {
  throw Error(ErrorCode::kInvalidInput, what + " '" + file + "' cannot be used: " + LastTlsError(),
              "expected a PEM file");
}

void LoadFiles(SSL_CTX* context, const TlsClientOptions& options) {
  if (options.ca.empty()) {
    SSL_CTX_set_default_verify_paths(context);
  } else if (SSL_CTX_load_verify_locations(context, options.ca.c_str(), nullptr) != 1) {
    RefuseFile("the certificates of authorities", options.ca);
  }
  if (options.certificate.empty()) return;
  if (SSL_CTX_use_certificate_chain_file(context, options.certificate.c_str()) != 1) {
    RefuseFile("the certificate", options.certificate);
  }
  const std::string& key = options.key.empty() ? options.certificate : options.key;
  if (SSL_CTX_use_PrivateKey_file(context, key.c_str(), SSL_FILETYPE_PEM) != 1) {
    RefuseFile("the key", key);
  }
}

bool IsAddress(const std::string& host) {
  unsigned char bytes[16];
  return ::inet_pton(AF_INET, host.c_str(), bytes) == 1 ||
         ::inet_pton(AF_INET6, host.c_str(), bytes) == 1;
}

void ExpectHost(SSL* connection, const std::string& host) {
  if (IsAddress(host)) {
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(connection), host.c_str());
    return;
  }
  SSL_set_tlsext_host_name(connection, host.c_str());
  SSL_set1_host(connection, host.c_str());
}

}  // namespace

TlsClient::TlsClient(int socket, const std::string& host, const TlsClientOptions& options)
    : handles_(std::make_unique<Handles>()) {
  handles_->context = SSL_CTX_new(TLS_client_method());
  if (handles_->context == nullptr) throw Error(ErrorCode::kIo, "TLS: " + LastTlsError());
  SSL_CTX_set_min_proto_version(handles_->context, TLS1_2_VERSION);
  LoadFiles(handles_->context, options);
  handles_->connection = SSL_new(handles_->context);
  SSL* connection = handles_->connection;
  SSL_set_verify(connection, options.insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, nullptr);
  if (!options.insecure) ExpectHost(connection, host);
  SSL_set_fd(connection, socket);
  if (SSL_connect(connection) == 1) return;
  const long verified = SSL_get_verify_result(connection);
  if (verified != X509_V_OK && !options.insecure) {
    throw Error(
        ErrorCode::kIo,
        "the certificate of " + host + " is refused: " + X509_verify_cert_error_string(verified),
        "--ca FILE names the authority that signed it; --insecure takes any certificate");
  }
  throw Error(ErrorCode::kIo, "no TLS with " + host + ": " + LastTlsError());
}

TlsClient::~TlsClient() = default;

long TlsClient::Write(const char* bytes, size_t count) {
  return SSL_write(handles_->connection, bytes, static_cast<int>(std::min<size_t>(count, INT_MAX)));
}

long TlsClient::Read(char* bytes, size_t count) {
  return SSL_read(handles_->connection, bytes, static_cast<int>(std::min<size_t>(count, INT_MAX)));
}

}  // namespace ingot::serve
