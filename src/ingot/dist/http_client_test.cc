// Answers of servers, good ones and others.
#include "ingot/dist/http_client.h"

#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

namespace ingot::dist {
namespace {

constexpr double kPatience = 60;

// Gives each of its connections one of the answers, byte by byte, and closes it.
class CannedServer {
 public:
  explicit CannedServer(std::vector<std::string> answers) {
    listener_ = Listen({"127.0.0.1", 0}, &endpoint_);
    thread_ = std::thread([this, answers = std::move(answers)] {
      for (const std::string& answer : answers) {
        pollfd poll = {listener_.get(), POLLIN, 0};
        if (::poll(&poll, 1, static_cast<int>(kPatience * 1000)) <= 0) return;
        const FileDescriptor client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
        while (request_.find("{}") == std::string::npos) {
          char buffer[512];
          const ssize_t got = ::recv(client.get(), buffer, sizeof(buffer), 0);
          if (got <= 0) return;
          request_.append(buffer, static_cast<size_t>(got));
        }
        requests_.push_back(std::exchange(request_, ""));
        for (const char c : answer) ::send(client.get(), &c, 1, MSG_NOSIGNAL);
      }
    });
  }
  ~CannedServer() {
    if (thread_.joinable()) thread_.join();
  }
  const Endpoint& endpoint() const { return endpoint_; }
  std::vector<std::string> Requests() {
    thread_.join();
    return requests_;
  }

 private:
  FileDescriptor listener_;
  Endpoint endpoint_;
  std::string request_;
  std::vector<std::string> requests_;
  std::thread thread_;
};

TEST(HttpClient, TakesBodiesWithALengthAndInChunks) {
  CannedServer server({"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{\"a\":1}",
                       "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n"
                       "3\r\nabc\r\n0000a;x=y\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\n"});
  HttpClient client(server.endpoint());
  bool reached = false;
  const auto first = client.Post("/v3/kv/put", "{}", kPatience, &reached);
  ASSERT_TRUE(first.has_value());
  EXPECT_TRUE(reached);
  EXPECT_EQ(first->status, 200);
  EXPECT_EQ(first->body, "{\"a\":1}");
  // The server has closed the connection meanwhile: a new one is made.
  const auto second = client.Post("/v3/kv/range", "{}", kPatience);
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(second->status, 404);
  EXPECT_EQ(second->body, "abc0123456789");
  const std::vector<std::string> requests = server.Requests();
  ASSERT_EQ(requests.size(), 2U);
  EXPECT_THAT(requests[1], testing::StartsWith("POST /v3/kv/range HTTP/1.1\r\n"));
  EXPECT_THAT(requests[1], testing::HasSubstr("Content-Length: 2\r\n\r\n{}"));
}

TEST(HttpClient, WhatIsNoHttpIsNoAnswer) {
  for (const char* answer :
       {"SSH-2.0-OpenSSH_9.2\r\n", "", "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{\"a\"",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"}) {
    CannedServer server({answer});
    HttpClient client(server.endpoint());
    EXPECT_FALSE(client.Post("/", "{}", kPatience).has_value()) << answer;
  }
}

TEST(HttpClient, NobodyThere) {
  Endpoint at;
  { const FileDescriptor probe = Listen({"127.0.0.1", 0}, &at); }
  bool reached = true;
  EXPECT_FALSE(HttpClient(at).Post("/", "{}", kPatience, &reached).has_value());
  EXPECT_FALSE(reached);
}

}  // namespace
}  // namespace ingot::dist
