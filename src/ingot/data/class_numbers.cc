// A map from name to number.
#include "ingot/data/class_numbers.h"

#include "ingot/base/error.h"
#include "ingot/base/text.h"

namespace ingot::data {

int64_t ClassesUpTo(int64_t number, const std::function<std::string()>& where) {
  if (number < kMostClasses) return number + 1;
  throw Error(ErrorCode::kInvalidInput, where() + ": " + std::to_string(number) +
                                            " is too large for the number of a class, " +
                                            "which is below " + std::to_string(kMostClasses));
}

ClassNumbers::ClassNumbers(const std::vector<std::string>& names) : names_(names) {
  for (const std::string& name : names) {
    numbers_.emplace(name, static_cast<int64_t>(numbers_.size()));
  }
}

std::optional<int64_t> ClassNumbers::Find(std::string_view name) const {
  const auto found = numbers_.find(name);
  return found != numbers_.end() ? std::optional(found->second) : std::nullopt;
}

int64_t ClassNumbers::Get(std::string_view name, const std::function<std::string()>& where) const {
  if (const auto number = Find(name)) return *number;
  throw Error(ErrorCode::kInvalidInput,
              where() + ": class '" + std::string(name) + "' does not occur in the training data",
              DidYouMean(name, names_));
}

}  // namespace ingot::data
