// ClassNumbers: the number of a class is the place of its name among those of the training data;
// and how many classes there are where the data hold numbers.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ingot::data {

// The most classes, and the most tokens of a vocabulary.
inline constexpr int64_t kMostClasses = int64_t{1} << 30;

// How many classes there are at least where one has this number (which may be negative, and then
// is none). Throws Error(kInvalidInput) saying what where() gives for a number that is too large.
int64_t ClassesUpTo(int64_t number, const std::function<std::string()>& where);

class ClassNumbers {
 public:
  // `names` must outlive this.
  explicit ClassNumbers(const std::vector<std::string>& names);

  std::optional<int64_t> Find(std::string_view name) const;
  // Throws Error(kInvalidInput) for a name that is none of them, saying what where() gives and
  // which is near.
  int64_t Get(std::string_view name, const std::function<std::string()>& where) const;

 private:
  const std::vector<std::string>& names_;
  std::map<std::string_view, int64_t> numbers_;
};

}  // namespace ingot::data
