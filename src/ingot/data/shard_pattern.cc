// Braces by hand, wildcards by glob(3).
#include "ingot/data/shard_pattern.h"

#include <algorithm>
#include <cstdint>
#include <optional>

#include <glob.h>

#include "ingot/base/error.h"
#include "ingot/base/text.h"

namespace ingot::data {

namespace {

constexpr size_t kMostNames = 1'000'000;

std::optional<int64_t> WholeNumber(const std::string& text) {
  const std::optional<int64_t> value = ParseWhole<int64_t>(text);
  return value && *value >= 0 ? value : std::nullopt;
}

// What stands between two braces: "000..015" or "a,b".
std::vector<std::string> Alternatives(const std::string& inside, const std::string& pattern) {
  std::vector<std::string> all;
  const size_t dots = inside.find("..");
  if (dots != std::string::npos && inside.find_first_of(",{") == std::string::npos) {
    const std::string first = inside.substr(0, dots);
    const auto from = WholeNumber(first);
    const auto to = WholeNumber(inside.substr(dots + 2));
    if (!from || !to || *to < *from || *to - *from >= static_cast<int64_t>(kMostNames)) {
      throw Error(ErrorCode::kInvalidInput,
                  "'" + pattern + "': {" + inside + "} is no range such as {000..015}");
    }
    for (int64_t i = *from; i <= *to; ++i) {
      std::string digits = std::to_string(i);
      if (digits.size() < first.size()) digits.insert(0, first.size() - digits.size(), '0');
      all.push_back(digits);
    }
    return all;
  }
  int depth = 0;
  all.emplace_back();
  for (const char c : inside) {
    depth += c == '{' ? 1 : c == '}' ? -1 : 0;
    if (c == ',' && depth == 0) {
      all.emplace_back();
    } else {
      all.back() += c;
    }
  }
  return all;
}

std::vector<std::string> ExpandBraces(const std::string& pattern) {
  const size_t open = pattern.find('{');
  if (open == std::string::npos) return {pattern};
  size_t close = open + 1;
  for (int depth = 1; close < pattern.size(); ++close) {
    depth += pattern[close] == '{' ? 1 : pattern[close] == '}' ? -1 : 0;
    if (depth == 0) break;
  }
  if (close >= pattern.size()) {
    throw Error(ErrorCode::kInvalidInput, "'" + pattern + "': a brace is not closed");
  }
  std::vector<std::string> names;
  for (const std::string& part :
       Alternatives(pattern.substr(open + 1, close - open - 1), pattern)) {
    for (std::string& name :
         ExpandBraces(pattern.substr(0, open) + part + pattern.substr(close + 1))) {
      names.push_back(std::move(name));
    }
    if (names.size() > kMostNames) {
      throw Error(ErrorCode::kInvalidInput, "'" + pattern + "' names more than a million files");
    }
  }
  return names;
}

}  // namespace

std::vector<std::string> ExpandPattern(const std::string& pattern) {
  std::vector<std::string> files;
  for (const std::string& name : ExpandBraces(pattern)) {
    if (name.find_first_of("*?[") == std::string::npos) {
      files.push_back(name);
      continue;
    }
    glob_t found = {};
    const int status = ::glob(name.c_str(), 0, nullptr, &found);
    for (size_t i = 0; status == 0 && i < found.gl_pathc; ++i)
      files.emplace_back(found.gl_pathv[i]);
    ::globfree(&found);
    if (status != 0) {
      throw Error(ErrorCode::kNotFound, "no file matches '" + name + "'",
                  "names are relative to data.folder, or to the job file");
    }
  }
  return files;
}

}  // namespace ingot::data
