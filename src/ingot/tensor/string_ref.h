// StringRef: an element of a string tensor, a handle on text that the tensor keeps alive.
//
// Handles are moved as bytes, so that whatever moves elements (Gather, Concat, Transpose) moves
// strings too; zeroed memory is a tensor of empty strings.
#pragma once

#include <string>
#include <string_view>

namespace ingot {

class StringRef {
 public:
  StringRef() = default;
  // The text must stay where it is for as long as the handle is used.
  explicit StringRef(const std::string* text) : text_(text) {}

  std::string_view view() const {
    return text_ == nullptr ? std::string_view() : std::string_view(*text_);
  }
  bool operator==(const StringRef& other) const { return view() == other.view(); }

 private:
  const std::string* text_ = nullptr;
};

}  // namespace ingot
