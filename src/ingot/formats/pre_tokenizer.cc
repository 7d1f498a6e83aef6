// The rule by hand: a table of classes and one look ahead take the place of a regular expression.
#include "ingot/formats/pre_tokenizer.h"

#include "ingot/formats/unicode.h"

namespace ingot::formats {

namespace {

CharacterClass ClassAt(std::string_view text, size_t at, size_t* bytes) {
  const Character character = ReadUtf8(text, at);
  *bytes = character.bytes;
  return character.valid ? ClassOf(character.code) : CharacterClass::kOther;
}

size_t Contraction(std::string_view text, size_t at) {
  for (const std::string_view ending : {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"}) {
    if (text.substr(at, ending.size()) == ending) return ending.size();
  }
  return 0;
}

// The end of the run of characters of `wanted` that begins at `at`; `last`: its last character.
size_t RunEnd(std::string_view text, size_t at, CharacterClass wanted, size_t* last) {
  size_t bytes = 0;
  while (at < text.size() && ClassAt(text, at, &bytes) == wanted) {
    *last = at;
    at += bytes;
  }
  return at;
}

}  // namespace

size_t PieceLength(std::string_view text, size_t at) {
  if (text[at] == '\'') {
    if (const size_t length = Contraction(text, at); length > 0) return length;
  }
  size_t bytes = 0;
  size_t last = at;
  const size_t begin = text[at] == ' ' && at + 1 < text.size() ? at + 1 : at;
  CharacterClass first = ClassAt(text, begin, &bytes);
  if (first != CharacterClass::kSpace) return RunEnd(text, begin, first, &last) - at;
  first = ClassAt(text, at, &bytes);
  const size_t end = RunEnd(text, at, CharacterClass::kSpace, &last);
  // The last space before a word belongs to the word, unless it is the only one.
  const bool keeps_all = end == text.size() || last == at;
  return (keeps_all ? end : last) - at;
}

const std::array<uint32_t, 256>& ByteCharacters() {
  static const std::array<uint32_t, 256> characters = [] {
    std::array<uint32_t, 256> all{};
    uint32_t next = 256;
    for (uint32_t b = 0; b < 256; ++b) {
      const bool printable = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
      all[b] = printable ? b : next++;
    }
    return all;
  }();
  return characters;
}

bool BytesOfCharacters(std::string_view text, std::string& bytes) {
  static const std::array<int, 512> inverse = [] {
    std::array<int, 512> all{};
    all.fill(-1);
    for (size_t b = 0; b < 256; ++b) all[ByteCharacters()[b]] = static_cast<int>(b);
    return all;
  }();
  bytes.clear();
  for (size_t at = 0; at < text.size();) {
    const Character character = ReadUtf8(text, at);
    if (!character.valid || character.code >= inverse.size() || inverse[character.code] < 0) {
      return false;
    }
    bytes.push_back(static_cast<char>(inverse[character.code]));
    at += character.bytes;
  }
  return true;
}

std::string CharactersOfBytes(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) AppendUtf8(text, ByteCharacters()[static_cast<uint8_t>(c)]);
  return text;
}

}  // namespace ingot::formats
