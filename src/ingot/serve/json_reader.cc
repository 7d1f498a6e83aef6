// JSON text, value by value.
#include "ingot/serve/json_reader.h"

#include <charconv>
#include <cmath>
#include <cstring>
#include <optional>

#include "ingot/base/error.h"

namespace ingot::serve {
namespace {

// 1.0 and 1e3 are whole, too.
std::optional<int64_t> WholeNumber(std::string_view text) {
  double wide = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), wide);
  if (error != std::errc() || wide != std::floor(wide) || std::fabs(wide) > 9007199254740992.0) {
    return std::nullopt;
  }
  return static_cast<int64_t>(wide);
}

void AppendUtf8(uint32_t code, std::string& out) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0 | code >> 6);
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0 | code >> 12);
    out += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | code >> 18);
    out += static_cast<char>(0x80 | (code >> 12 & 0x3F));
    out += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  }
}

}  // namespace

bool IsUtf8(std::string_view text) {
  size_t i = 0;
  const auto byte = [&](size_t at) { return static_cast<unsigned char>(text[at]); };
  while (i < text.size()) {
    const unsigned char lead = byte(i);
    if (lead < 0x80) {
      ++i;
      continue;
    }
    size_t length = 0;
    uint32_t code = 0;
    if (lead >= 0xC2 && lead < 0xE0) {
      length = 2, code = lead & 0x1F;
    } else if (lead >= 0xE0 && lead < 0xF0) {
      length = 3, code = lead & 0x0F;
    } else if (lead >= 0xF0 && lead < 0xF5) {
      length = 4, code = lead & 0x07;
    } else {
      return false;
    }
    if (text.size() - i < length) return false;
    for (size_t k = 1; k < length; ++k) {
      if ((byte(i + k) & 0xC0) != 0x80) return false;
      code = code << 6 | (byte(i + k) & 0x3F);
    }
    if (length == 3 && (code < 0x800 || (code >= 0xD800 && code < 0xE000))) return false;
    if (length == 4 && (code < 0x10000 || code > 0x10FFFF)) return false;
    i += length;
  }
  return true;
}

void JsonReader::Fail(const std::string& what) const {
  throw Error(ErrorCode::kInvalidInput, "JSON, byte " + std::to_string(at_) + ": " + what);
}

char JsonReader::Next(const char* expected) {
  SkipSpace();
  if (at_ >= text_.size()) Fail("expected " + std::string(expected) + ", but the text ends");
  return text_[at_];
}

JsonReader::Kind JsonReader::Peek() {
  switch (const char c = Next("a value")) {
    case '{':
      return Kind::kObject;
    case '[':
      return Kind::kArray;
    case '"':
      return Kind::kString;
    case 't':
    case 'f':
      return Kind::kBool;
    case 'n':
      return Kind::kNull;
    default:
      if (c == '-' || (c >= '0' && c <= '9')) return Kind::kNumber;
      Fail("expected a value");
  }
}

void JsonReader::Enter() {
  if (++depth_ > max_depth_) Fail("nested deeper than " + std::to_string(max_depth_) + " levels");
  ++at_;
  first_ = true;
}

void JsonReader::BeginObject() {
  if (Next("an object") != '{') Fail("expected an object");
  Enter();
}

void JsonReader::BeginArray() {
  if (Next("an array") != '[') Fail("expected an array");
  Enter();
}

bool JsonReader::NextKey(std::string& key) {
  char c = Next("'}' or a key");
  if (c == '}') {
    ++at_;
    --depth_;
    first_ = false;
    return false;
  }
  if (!first_) {
    if (c != ',') Fail("expected ',' or '}'");
    ++at_;
    c = Next("a key");
  }
  if (c != '"') Fail("expected a key in quotes");
  String(key);
  if (Next("':'") != ':') Fail("expected ':' after the key \"" + key + "\"");
  ++at_;
  first_ = false;
  return true;
}

bool JsonReader::NextElement() {
  const char c = Next("']' or a value");
  if (c == ']') {
    ++at_;
    --depth_;
    first_ = false;
    return false;
  }
  if (!first_) {
    if (c != ',') Fail("expected ',' or ']'");
    ++at_;
    if (Next("a value") == ']') Fail("expected a value after ','");
  }
  first_ = false;
  return true;
}

void JsonReader::String(std::string& out) {
  if (Next("a string") != '"') Fail("expected a string");
  const size_t begin = ++at_;
  out.clear();
  bool plain = true;  // ASCII so far
  size_t run = at_;
  for (;;) {
    if (at_ >= text_.size()) Fail("the text ends within a string");
    const unsigned char c = static_cast<unsigned char>(text_[at_]);
    if (c == '"') break;
    if (c < 0x20) Fail("a control character within a string must be escaped");
    if (c == '\\') {
      out.append(text_, run, at_ - run);
      ++at_;
      Escape(out);
      run = at_;
      continue;
    }
    plain = plain && c < 0x80;
    ++at_;
  }
  out.append(text_, run, at_ - run);
  if (!plain && !IsUtf8(text_.substr(begin, at_ - begin))) Fail("a string is not UTF-8");
  ++at_;
}

uint32_t JsonReader::Hex4() {
  if (text_.size() - at_ < 4) Fail("expected four hexadecimal digits");
  uint32_t code = 0;
  const auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + at_ + 4, code, 16);
  if (error != std::errc() || end != text_.data() + at_ + 4) {
    Fail("expected four hexadecimal digits");
  }
  at_ += 4;
  return code;
}

void JsonReader::Escape(std::string& out) {
  if (at_ >= text_.size()) Fail("the text ends within a string");
  switch (text_[at_++]) {
    case '"':
      out += '"';
      return;
    case '\\':
      out += '\\';
      return;
    case '/':
      out += '/';
      return;
    case 'b':
      out += '\b';
      return;
    case 'f':
      out += '\f';
      return;
    case 'n':
      out += '\n';
      return;
    case 'r':
      out += '\r';
      return;
    case 't':
      out += '\t';
      return;
    case 'u':
      break;
    default:
      --at_;
      Fail("unknown escape in a string");
  }
  uint32_t code = Hex4();
  if (code >= 0xDC00 && code < 0xE000) Fail("a low surrogate without its high one");
  if (code >= 0xD800 && code < 0xDC00) {
    if (text_.substr(at_, 2) != "\\u") Fail("a high surrogate without its low one");
    at_ += 2;
    const uint32_t low = Hex4();
    if (low < 0xDC00 || low >= 0xE000) Fail("a high surrogate without its low one");
    code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
  }
  AppendUtf8(code, out);
}

void JsonReader::Literal(std::string_view word) {
  if (text_.substr(at_, word.size()) != word) Fail("expected a value");
  at_ += word.size();
}

bool JsonReader::Bool() {
  const char c = Next("true or false");
  if (c == 't') {
    Literal("true");
    return true;
  }
  if (c != 'f') Fail("expected true or false");
  Literal("false");
  return false;
}

void JsonReader::Null() {
  if (Next("null") != 'n') Fail("expected null");
  Literal("null");
}

std::string_view JsonReader::NumberText() {
  const char first = Next("a number");
  const size_t begin = at_;
  size_t i = at_;
  const auto digits = [&] {
    const size_t from = i;
    while (i < text_.size() && text_[i] >= '0' && text_[i] <= '9') ++i;
    return i - from;
  };
  if (first == '-') ++i;
  const size_t whole = i;
  const size_t count = digits();
  if (count == 0) Fail("expected a number");
  if (count > 1 && text_[whole] == '0') Fail("a number must not begin with 0");
  if (i < text_.size() && text_[i] == '.') {
    ++i;
    if (digits() == 0) Fail("expected a digit after '.'");
  }
  if (i < text_.size() && (text_[i] == 'e' || text_[i] == 'E')) {
    ++i;
    if (i < text_.size() && (text_[i] == '+' || text_[i] == '-')) ++i;
    if (digits() == 0) Fail("expected a digit in the exponent");
  }
  at_ = i;
  return text_.substr(begin, i - begin);
}

double JsonReader::Double() {
  const std::string_view text = NumberText();
  double value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec == std::errc::result_out_of_range) {
    // Too large for any double, or so small that it is 0.
    value = std::strtod(std::string(text).c_str(), nullptr);
    if (std::isinf(value)) Fail("the number " + std::string(text) + " is too large");
  }
  return value;
}

float JsonReader::Float() {
  const std::string_view text = NumberText();
  float value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec == std::errc::result_out_of_range) {
    value = std::strtof(std::string(text).c_str(), nullptr);
    if (std::isinf(value)) Fail("the number " + std::string(text) + " is too large for FP32");
  }
  return value;
}

int64_t JsonReader::Int() {
  const std::string_view text = NumberText();
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && end == text.data() + text.size()) return value;
  if (const std::optional<int64_t> whole = WholeNumber(text)) return *whole;
  Fail("expected a whole number of 64 bits, got " + std::string(text));
}

uint64_t JsonReader::Uint() {
  const std::string_view text = NumberText();
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && end == text.data() + text.size()) return value;
  const std::optional<int64_t> whole = WholeNumber(text);
  if (whole && *whole >= 0) return static_cast<uint64_t>(*whole);
  Fail("expected a whole number from 0, got " + std::string(text));
}

std::string_view JsonReader::Skip() {
  const Kind kind = Peek();
  const size_t begin = at_;
  switch (kind) {
    case Kind::kObject:
      BeginObject();
      while (NextKey(scratch_)) Skip();
      break;
    case Kind::kArray:
      BeginArray();
      while (NextElement()) Skip();
      break;
    case Kind::kString:
      String(scratch_);
      break;
    case Kind::kNumber:
      NumberText();
      break;
    case Kind::kBool:
      Bool();
      break;
    case Kind::kNull:
      Null();
      break;
  }
  return text_.substr(begin, at_ - begin);
}

void JsonReader::End() {
  SkipSpace();
  if (at_ != text_.size()) Fail("something follows the end of the JSON value");
}

}  // namespace ingot::serve
