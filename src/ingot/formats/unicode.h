// UTF-8 and the classes of characters that pre-tokenisation asks for. Pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace ingot::formats {

enum class CharacterClass : uint8_t {
  kOther,
  kLetter,  // general category L*
  kNumber,  // general category N*
  kSpace,   // the property White_Space
};

struct Character {
  uint32_t code = 0;
  size_t bytes = 1;    // that it takes, 1 to 4
  bool valid = false;  // false: a byte that is no UTF-8, taken by itself; code is that byte
};

// The character that begins at `at` < text.size(). Overlong forms, surrogates and codes above
// 10FFFF are not valid.
Character ReadUtf8(std::string_view text, size_t at);

// Appends the UTF-8 of a code up to 10FFFF.
void AppendUtf8(std::string& out, uint32_t code);

// kOther for what is no code point.
CharacterClass ClassOf(uint32_t code);

// The table behind ClassOf (unicode_classes.cc), sorted: first code << 2 | class for each run.
std::span<const uint32_t> CharacterClassRuns();

}  // namespace ingot::formats
