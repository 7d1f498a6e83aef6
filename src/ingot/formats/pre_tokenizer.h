// Pre-tokenisation as GPT-2 does it: text is cut into pieces that byte-pair encoding never joins.
//
// The rule is the regular expression of Radford et al. (2019, "Language models are unsupervised
// multitask learners", encoder.py), first alternative that matches:
//   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
// Bytes that are no UTF-8 count as characters that are neither letter, number nor space.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace ingot::formats {

// The bytes of the piece that begins at `at` < text.size(); at least 1. Looks no further than the
// piece and the character behind it.
size_t PieceLength(std::string_view text, size_t at);

// GPT-2's alphabet: every byte as a printable character, so that tokens are text. Bytes that are
// printable in Latin-1 (33-126, 161-172, 174-255) stand for themselves, the others for 256, 257,
// ... in order.
const std::array<uint32_t, 256>& ByteCharacters();

// The bytes behind text in that alphabet; false where a character is not of it.
bool BytesOfCharacters(std::string_view text, std::string& bytes);
// The inverse.
std::string CharactersOfBytes(std::string_view bytes);

}  // namespace ingot::formats
