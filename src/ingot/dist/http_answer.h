// HttpAnswerReader: answers of HTTP/1.1 out of the bytes of a connection, whatever carries those.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace ingot::dist {

struct HttpAnswer {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
  std::string body;

  // "" for one that is not there.
  std::string Header(const std::string& name) const;
  // Whether the header's value has the word, in any case: "Connection: keep-alive, Close".
  bool Says(const std::string& name, const std::string& word) const;
};

class HttpAnswerReader {
 public:
  // Appends more bytes of the connection; false where none will come.
  using Receive = std::function<bool(std::string& received)>;

  // `longest`: bytes of a line, or of a body that is said to be so long.
  explicit HttpAnswerReader(size_t longest) : longest_(longest) {}

  // The next answer; its body is empty where it does not say how long it is. False where the
  // connection ends before, or what comes is no HTTP; `answer.status` is 0 where not even the
  // first line came.
  bool Read(const Receive& receive, HttpAnswer& answer);
  // Forgets what has been received: the connection is a new one.
  void Reset() { received_.clear(); }

 private:
  bool ReadLine(const Receive& receive, std::string& line);
  bool ReadBytes(const Receive& receive, size_t count, std::string& into);
  bool ReadHead(const Receive& receive, HttpAnswer& answer);
  bool ReadChunks(const Receive& receive, std::string& body);

  size_t longest_;
  std::string received_;
};

}  // namespace ingot::dist
