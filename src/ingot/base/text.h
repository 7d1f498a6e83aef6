// Text helpers: nearest spellings, joining, numbers in texts and as people read them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ingot {

// Levenshtein distance with transpositions (Damerau), in bytes.
size_t EditDistance(std::string_view a, std::string_view b);

// The candidate nearest to `word`, or "" when none is near enough to be a misspelling of it.
std::string Nearest(std::string_view word, std::span<const std::string> candidates);

// A hint: "did you mean 'epochs'?" when one is near, else "expected one of: a, b, c".
std::string DidYouMean(std::string_view word, std::span<const std::string> candidates);

// Joins with a separator: Join({"a", "b"}, ", ") == "a, b".
std::string Join(std::span<const std::string> parts, std::string_view separator);

std::vector<std::string> Split(std::string_view text, char separator);
std::string_view Trim(std::string_view text);
// ASCII letters in lower case; other bytes stay as they are, whatever the locale.
std::string LowerCase(std::string text);
// The number that the whole of a text is, as std::from_chars reads it: no blanks, no plus sign. T:
// int, int64_t, uint64_t, double.
template <typename T>
std::optional<T> ParseWhole(std::string_view text);

// 50890 -> "50,890".
std::string WithThousands(int64_t value);
// 1536 -> "1.5 KiB".
std::string HumanBytes(uint64_t bytes);
// 0.000153 -> "153 us"; 75.2 -> "1 min 15 s".
std::string HumanSeconds(double seconds);

// The shortest decimal text that reads back as the same value.
std::string FormatNumber(double value);

}  // namespace ingot
