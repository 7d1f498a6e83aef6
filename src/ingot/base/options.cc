// Scalars from and to YAML text, and the messages of OptionTable.
#include "ingot/base/options.h"

#include <array>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <system_error>

#include "ingot/base/error.h"
#include "ingot/base/file.h"
#include "ingot/base/text.h"

namespace ingot {
namespace {

[[noreturn]] void FailType(const ConfigNode& node, const std::string& expected,
                           const std::string& hint = "") {
  node.Fail("expected " + expected + ", got " + node.Describe(), hint);
}

std::string LimitsText(const Limits& limits) {
  const bool has_low = std::isfinite(limits.low);
  const bool has_high = std::isfinite(limits.high);
  if (has_low && has_high) {
    return (limits.low_exclusive ? "above " : "from ") + FormatNumber(limits.low) +
           (limits.low_exclusive ? " up to " : " to ") + FormatNumber(limits.high);
  }
  if (has_low) return (limits.low_exclusive ? "> " : ">= ") + FormatNumber(limits.low);
  if (has_high) return "<= " + FormatNumber(limits.high);
  return "";
}

bool IsDigit(char c) {
  return c >= '0' && c <= '9';
}

// Takes out the underscores between digits and a leading plus; "" where they stand elsewhere.
std::string PlainDigits(const std::string& text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '_') {
      if (i == 0 || i + 1 == text.size() || !IsDigit(text[i - 1]) || !IsDigit(text[i + 1])) {
        return "";
      }
    } else if (i > 0 || text[i] != '+') {
      plain += text[i];
    }
  }
  // from_chars takes a minus that follows the plus.
  return text.starts_with("+-") ? "" : plain;
}

enum class Parsed { kNumber, kOutOfRange, kNotFinite, kNotNumber };

Parsed ParseDouble(const std::string& text, double& value) {
  std::string word;
  for (const char c : text) word += static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  if (word.starts_with('+') || word.starts_with('-')) word.erase(0, 1);
  if (word.starts_with('.')) word.erase(0, 1);
  if (word == "nan" || word == "inf" || word == "infinity") return Parsed::kNotFinite;
  const std::string plain = PlainDigits(text);
  if (plain.empty()) return Parsed::kNotNumber;
  const char* end = plain.data() + plain.size();
  const auto result = std::from_chars(plain.data(), end, value);
  if (result.ptr != end || result.ec == std::errc::invalid_argument) return Parsed::kNotNumber;
  if (result.ec == std::errc::result_out_of_range) return Parsed::kOutOfRange;
  return std::isfinite(value) ? Parsed::kNumber : Parsed::kNotNumber;
}

}  // namespace

template <>
bool ReadScalar<bool>(const ConfigNode& node) {
  constexpr std::array<const char*, 9> kTrue = {"true", "True", "TRUE", "yes", "Yes",
                                                "YES",  "on",   "On",   "ON"};
  constexpr std::array<const char*, 9> kFalse = {"false", "False", "FALSE", "no", "No",
                                                 "NO",    "off",   "Off",   "OFF"};
  if (node.is_scalar()) {
    for (const char* word : kTrue) {
      if (node.scalar() == word) return true;
    }
    for (const char* word : kFalse) {
      if (node.scalar() == word) return false;
    }
  }
  FailType(node, "true or false");
}

template <>
int64_t ReadScalar<int64_t>(const ConfigNode& node) {
  if (!node.is_scalar()) FailType(node, "a whole number");
  const std::string plain = PlainDigits(node.scalar());
  int64_t value = 0;
  const char* end = plain.data() + plain.size();
  const auto result = std::from_chars(plain.data(), end, value);
  if (!plain.empty() && result.ptr == end && result.ec == std::errc()) return value;
  double number = 0;
  const Parsed parsed = ParseDouble(node.scalar(), number);
  const bool is_out_of_range =
      parsed == Parsed::kOutOfRange || (parsed == Parsed::kNumber && std::abs(number) >= 0x1p63);
  if (is_out_of_range) FailType(node, "a whole number of at most 64 bits");
  if (parsed != Parsed::kNumber || number != std::floor(number)) FailType(node, "a whole number");
  return static_cast<int64_t>(number);
}

template <>
double ReadScalar<double>(const ConfigNode& node) {
  if (!node.is_scalar()) FailType(node, "a number");
  double value = 0;
  switch (ParseDouble(node.scalar(), value)) {
    case Parsed::kNumber:
      return value;
    case Parsed::kOutOfRange:
      FailType(node, "a number that a 64-bit float can hold");
    case Parsed::kNotFinite:
      FailType(node, "a finite number");
    case Parsed::kNotNumber:
      break;
  }
  FailType(node, "a number");
}

template <>
std::string ReadScalar<std::string>(const ConfigNode& node) {
  if (!node.is_scalar()) FailType(node, "text");
  return node.scalar();
}

ConfigNode WriteScalar(bool value) {
  return ConfigNode::Scalar(value ? "true" : "false");
}
ConfigNode WriteScalar(int64_t value) {
  return ConfigNode::Scalar(std::to_string(value));
}
ConfigNode WriteScalar(double value) {
  return ConfigNode::Scalar(FormatNumber(value));
}
ConfigNode WriteScalar(const std::string& value) {
  return ConfigNode::Scalar(value);
}

void CheckLimits(const ConfigNode& node, double value, const Limits& limits) {
  const bool is_too_low = limits.low_exclusive ? value <= limits.low : value < limits.low;
  if (!is_too_low && !(value > limits.high)) return;
  const std::string got = node.is_scalar() ? node.scalar() : FormatNumber(value);
  node.Fail("expected a number " + LimitsText(limits) + ", got " + got);
}

namespace options_internal {

void FailUnknownKey(const ConfigNode& value, const std::string& key,
                    const std::vector<std::string>& names) {
  value.FailKey("unknown key", DidYouMean(key, names));
}

void FailMissing(const ConfigNode& map, const OptionHelp& option) {
  map.FailKey("'" + option.path + "' is missing",
              "add '" + option.path + ": ...' (" + option.type + "): " + option.help);
}

void FailNotMap(const ConfigNode& node, const std::string& table) {
  FailType(node, "a map of the options of '" + table + "'");
}

const ConfigNode* ShortFormOf(const ConfigNode& node) {
  return node.is_scalar() || node.is_list() ? &node : node.Find(ConfigNode::kShortForm);
}

void CheckIsList(const ConfigNode& node, const std::string& type) {
  if (node.is_list()) return;
  FailType(node, "a " + type, node.is_scalar() ? "write it in brackets: [...]" : "");
}

std::string CheckChoice(const ConfigNode& node, const std::vector<std::string>& choices) {
  const std::string expected = "one of: " + Join(choices, ", ");
  if (!node.is_scalar()) FailType(node, expected);
  for (const std::string& choice : choices) {
    if (node.scalar() == choice) return choice;
  }
  const std::string nearest = Nearest(node.scalar(), choices);
  node.Fail("expected " + expected + "; got " + node.Describe(),
            nearest.empty() ? "" : "did you mean '" + nearest + "'?");
}

std::string FileInFull(const ConfigNode& node) {
  namespace fs = std::filesystem;
  fs::path path = ReadScalar<std::string>(node);
  if (path.empty()) return "";
  if (node.line() > 0 && path.is_relative()) path = fs::path(ParentDirectory(node.file())) / path;
  return fs::absolute(path).lexically_normal().string();
}

std::string ChoiceType(const std::vector<std::string>& choices) {
  return "one of: " + Join(choices, ", ");
}

void CheckDeclared(const std::string& table, const std::string& name, bool declared, bool wanted) {
  INGOT_ASSERT(declared == wanted, "option '" + name + "' of table '" + table + "' is declared " +
                                       (declared ? "twice" : "nowhere"));
}

std::string NumberType(const char* noun, const Limits& limits) {
  const std::string text = LimitsText(limits);
  return text.empty() ? noun : noun + (" " + text);
}

std::string DefaultText(const ConfigNode& node) {
  if (node.is_null()) return "";
  if (!node.is_list()) return std::string(Trim(node.ToYaml()));
  std::vector<std::string> parts;
  for (const ConfigNode& item : node.items()) parts.push_back(DefaultText(item));
  return std::string("[").append(Join(parts, ", ")).append("]");
}

std::string PathOf(const std::string& prefix, const std::string& name) {
  return prefix.empty() ? name : prefix + "." + name;
}

}  // namespace options_internal
}  // namespace ingot
