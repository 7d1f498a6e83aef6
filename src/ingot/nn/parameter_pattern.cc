// Matching with one step back to the last star, in time proportional to pattern times text.
#include "ingot/nn/parameter_pattern.h"

#include "ingot/base/error.h"
#include "ingot/base/text.h"

namespace ingot::nn {

bool MatchesPattern(std::string_view pattern, std::string_view text) {
  size_t p = 0, t = 0;
  size_t star = std::string_view::npos, star_text = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      star_text = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++star_text;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

void CheckPattern(const std::string& pattern, const std::vector<ParameterSpec>& parameters,
                  const std::string& whose) {
  std::vector<std::string> names;
  for (const ParameterSpec& parameter : parameters) {
    if (MatchesPattern(pattern, parameter.name)) return;
    names.push_back(parameter.name);
  }
  throw Error(ErrorCode::kInvalidInput,
              whose + ": '" + pattern + "' matches no parameter of the network",
              DidYouMean(pattern, names));
}

}  // namespace ingot::nn
