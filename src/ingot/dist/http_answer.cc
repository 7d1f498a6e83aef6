// The status line, the headers, and a body with a length or in chunks.
#include "ingot/dist/http_answer.h"

#include <charconv>
#include <optional>
#include <string_view>

#include "ingot/base/text.h"

namespace ingot::dist {
namespace {

// What follows the number, such as the extension of a chunk, is passed over.
std::optional<size_t> ParseSize(std::string_view text, int base, size_t most) {
  text = Trim(text);
  size_t value = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (failed != std::errc() || end == text.data() || value > most) return std::nullopt;
  return value;
}

}  // namespace

std::string HttpAnswer::Header(const std::string& name) const {
  for (const auto& [key, value] : headers) {
    if (key == name) return value;
  }
  return "";
}

bool HttpAnswer::Says(const std::string& name, const std::string& word) const {
  return LowerCase(Header(name)).find(word) != std::string::npos;
}

bool HttpAnswerReader::ReadLine(const Receive& receive, std::string& line) {
  size_t end = 0;
  while ((end = received_.find('\n')) == std::string::npos) {
    if (received_.size() >= longest_ || !receive(received_)) return false;
  }
  line = received_.substr(0, end);
  if (!line.empty() && line.back() == '\r') line.pop_back();
  received_.erase(0, end + 1);
  return true;
}

bool HttpAnswerReader::ReadBytes(const Receive& receive, size_t count, std::string& into) {
  while (received_.size() < count) {
    if (!receive(received_)) return false;
  }
  into.append(received_, 0, count);
  received_.erase(0, count);
  return true;
}

bool HttpAnswerReader::ReadHead(const Receive& receive, HttpAnswer& answer) {
  std::string line;
  if (!ReadLine(receive, line) || !line.starts_with("HTTP/1.")) return false;
  const size_t space = line.find(' ');
  if (space == std::string::npos) return false;
  answer.status =
      static_cast<int>(ParseSize(std::string_view(line).substr(space), 10, 999).value_or(0));
  while (true) {
    if (!ReadLine(receive, line)) return false;
    if (line.empty()) return true;
    const size_t colon = line.find(':');
    if (colon == std::string::npos) return false;
    answer.headers.emplace_back(LowerCase(line.substr(0, colon)),
                                Trim(std::string_view(line).substr(colon + 1)));
  }
}

bool HttpAnswerReader::ReadChunks(const Receive& receive, std::string& body) {
  std::string line;
  while (true) {
    if (!ReadLine(receive, line)) return false;
    const auto size = ParseSize(line, 16, longest_);
    if (!size || !ReadBytes(receive, *size, body)) return false;
    if (*size == 0) break;
    if (!ReadLine(receive, line)) return false;
  }
  do {  // trailers
    if (!ReadLine(receive, line)) return false;
  } while (!line.empty());
  return true;
}

bool HttpAnswerReader::Read(const Receive& receive, HttpAnswer& answer) {
  answer = {};
  if (!ReadHead(receive, answer)) return false;
  if (answer.Says("transfer-encoding", "chunked")) return ReadChunks(receive, answer.body);
  const std::string length = answer.Header("content-length");
  if (length.empty()) return true;
  const auto size = ParseSize(length, 10, longest_);
  return size && ReadBytes(receive, *size, answer.body);
}

}  // namespace ingot::dist
