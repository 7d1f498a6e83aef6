// Decoding UTF-8, and looking a character's class up.
#include "ingot/formats/unicode.h"

#include <algorithm>
#include <array>

namespace ingot::formats {

Character ReadUtf8(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<uint8_t>(text[i])); };
  const uint32_t first = byte(at);
  if (first < 0x80) return {first, 1, true};
  const Character broken{first, 1, false};
  const size_t count = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || at + count > text.size()) return broken;
  uint32_t code = first & (0xFFu >> (count + 1));
  for (size_t i = 1; i < count; ++i) {
    if ((byte(at + i) & 0xC0) != 0x80) return broken;
    code = code << 6 | (byte(at + i) & 0x3F);
  }
  constexpr std::array<uint32_t, 5> kLowest = {0, 0, 0x80, 0x800, 0x10000};
  const bool is_surrogate = code >= 0xD800 && code < 0xE000;
  if (code < kLowest[count] || code > 0x10FFFF || is_surrogate) return broken;
  return {code, count, true};
}

void AppendUtf8(std::string& out, uint32_t code) {
  const auto put = [&out](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | code >> 6);
    put(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    put(0xE0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  } else {
    put(0xF0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3F));
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  }
}

namespace {

CharacterClass LookUp(uint32_t code) {
  const std::span<const uint32_t> runs = CharacterClassRuns();
  const auto behind = std::upper_bound(runs.begin(), runs.end(), code << 2 | 3);
  return behind == runs.begin() ? CharacterClass::kOther
                                : static_cast<CharacterClass>(*(behind - 1) & 3);
}

}  // namespace

CharacterClass ClassOf(uint32_t code) {
  // Most text is ASCII.
  static const std::array<CharacterClass, 128> ascii = [] {
    std::array<CharacterClass, 128> classes{};
    for (uint32_t c = 0; c < 128; ++c) classes[c] = LookUp(c);
    return classes;
  }();
  if (code < 128) return ascii[code];
  return code > 0x10FFFF ? CharacterClass::kOther : LookUp(code);
}

}  // namespace ingot::formats
