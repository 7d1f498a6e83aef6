// JsonReader: pulls values out of JSON text in the order in which they stand, without a tree.
//
// Strict (RFC 8259): UTF-8 is checked, numbers have JSON's grammar, nothing follows the value.
// Every fault is Error(kInvalidInput) that names the byte.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace ingot::serve {

class JsonReader {
 public:
  enum class Kind { kObject, kArray, kString, kNumber, kBool, kNull };

  // `text` must outlive the reader. Deeper nesting than `max_depth` is refused.
  explicit JsonReader(std::string_view text, int max_depth = 64)
      : text_(text), max_depth_(max_depth) {}

  Kind Peek();  // what the next value is
  size_t position() const { return at_; }

  // reader.BeginObject(); while (reader.NextKey(key)) { ...one value... }
  void BeginObject();
  bool NextKey(std::string& key);
  // reader.BeginArray(); while (reader.NextElement()) { ...one value... }
  void BeginArray();
  bool NextElement();

  void String(std::string& out);  // replaces `out`
  bool Bool();
  void Null();
  double Double();
  float Float();
  int64_t Int();  // a number that is whole and fits
  uint64_t Uint();
  // The text of the next value, checked; the reader goes on after it.
  std::string_view Skip();
  // Nothing but white space may follow.
  void End();

  [[noreturn]] void Fail(const std::string& what) const;

 private:
  void SkipSpace() {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t' || text_[at_] == '\r')) {
      ++at_;
    }
  }
  char Next(const char* expected);
  std::string_view NumberText();
  void Literal(std::string_view word);
  void Escape(std::string& out);
  uint32_t Hex4();
  void Enter();

  std::string_view text_;
  size_t at_ = 0;
  int depth_ = 0;
  int max_depth_;
  bool first_ = false;  // the container was just opened
  std::string scratch_;
};

// Whether the text is UTF-8 (no surrogates, no overlong forms).
bool IsUtf8(std::string_view text);

}  // namespace ingot::serve
