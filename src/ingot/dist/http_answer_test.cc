// Answers in pieces of every size, one after another, and what is none.
#include "ingot/dist/http_answer.h"

#include <algorithm>

#include <gtest/gtest.h>

namespace ingot::dist {
namespace {

// Gives `text` in pieces of `step` bytes, then ends.
HttpAnswerReader::Receive Pieces(std::string text, size_t step) {
  return [text = std::move(text), step, at = size_t{0}](std::string& received) mutable {
    const size_t size = std::min(step, text.size() - at);
    received.append(text, at, size);
    at += size;
    return size > 0;
  };
}

TEST(HttpAnswerReader, ReadsOneAnswerAfterAnother) {
  const std::string both =
      "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-Name:  Some Value \r\n\r\nabc"
      "HTTP/1.1 503 Service Unavailable\r\ntransfer-encoding: Chunked\r\nConnection: CLOSE\r\n\r\n"
      "2;extension\r\nde\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n"
      "HTTP/1.1 204 No Content\r\n\r\n";
  for (size_t step = 1; step <= both.size(); ++step) {
    HttpAnswerReader reader(1 << 10);
    const HttpAnswerReader::Receive receive = Pieces(both, step);
    HttpAnswer answer;
    ASSERT_TRUE(reader.Read(receive, answer));
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.body, "abc");
    EXPECT_EQ(answer.Header("x-name"), "Some Value");
    EXPECT_EQ(answer.Header("absent"), "");
    EXPECT_FALSE(answer.Says("connection", "close"));
    ASSERT_TRUE(reader.Read(receive, answer));
    EXPECT_EQ(answer.status, 503);
    EXPECT_EQ(answer.body, "de0123456789");
    EXPECT_TRUE(answer.Says("connection", "close"));
    ASSERT_TRUE(reader.Read(receive, answer));
    EXPECT_EQ(answer.status, 204);
    EXPECT_EQ(answer.body, "");
    EXPECT_FALSE(reader.Read(receive, answer));
    EXPECT_EQ(answer.status, 0);
  }
}

TEST(HttpAnswerReader, WhatIsNoAnswer) {
  const std::string head = "HTTP/1.1 200 OK\r\n";
  const std::string chunked = head + "Transfer-Encoding: chunked\r\n\r\n";
  for (const std::string& text :
       {std::string(), std::string("SSH-2.0-OpenSSH_9.2\r\n"), std::string("HTTP/1.1\r\n"), head,
        head + "no colon\r\n\r\n", head + "Content-Length: 4\r\n\r\nabc",
        head + "Content-Length: 2000\r\n\r\n" + std::string(2000, 'x'),
        head + "Content-Length: many\r\n\r\n", chunked + "zz\r\n", chunked + "3\r\nab",
        chunked + "3\r\nabc\r\n0\r\n", head + "X: " + std::string(2000, 'x') + "\r\n\r\n"}) {
    HttpAnswerReader reader(1 << 10);
    HttpAnswer answer;
    EXPECT_FALSE(reader.Read(Pieces(text, 100), answer)) << text;
  }
}

TEST(HttpAnswerReader, ANewConnectionBeginsAnew) {
  HttpAnswerReader reader(1 << 10);
  HttpAnswer answer;
  EXPECT_FALSE(reader.Read(Pieces("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", 99), answer));
  EXPECT_EQ(answer.status, 200);
  reader.Reset();
  EXPECT_TRUE(reader.Read(Pieces("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nd", 99), answer));
  EXPECT_EQ(answer.body, "d");
}

}  // namespace
}  // namespace ingot::dist
