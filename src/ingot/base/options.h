// OptionTable: the options of a struct, each declared once with name, default, help and limits.
// Reading YAML strictly, writing the resolved YAML and the reference documentation all come from
// it.
//
//   struct AdamOptions { double learning_rate = 0.001; double beta1 = 0.9; };
//   const OptionTable<AdamOptions>& Table() {
//     static const auto table = OptionTable<AdamOptions>("adam", "Adam (Kingma & Ba 2015)")
//         .Add("learning_rate", &AdamOptions::learning_rate, "step size", AtLeast(0))
//         .Add("beta1", &AdamOptions::beta1, "decay of the first moment", Between(0, 1));
//     return table;
//   }
//   AdamOptions options = Table().Read(node);   // strict: unknown keys are errors with a
//   suggestion
//
// The default of an option is the value that the member has in a default-constructed struct.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ingot/base/config.h"

namespace ingot {

// Limits of a number, both inclusive unless said.
struct Limits {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  bool low_exclusive = false;
};
inline Limits AtLeast(double low) {
  return {.low = low};
}
inline Limits MoreThan(double low) {
  return {.low = low, .low_exclusive = true};
}
inline Limits Between(double low, double high) {
  return {.low = low, .high = high};
}

// Scalars from and to YAML text. Read throws Error(kInvalidInput) at the node's place, saying what
// was expected and what stands there.
template <typename T>
T ReadScalar(const ConfigNode& node);
template <>
bool ReadScalar<bool>(const ConfigNode& node);  // true/false/yes/no/on/off
template <>
int64_t ReadScalar<int64_t>(const ConfigNode& node);  // also 1_000 and 1e6 when whole
template <>
double ReadScalar<double>(const ConfigNode& node);  // nan and inf are refused
template <>
std::string ReadScalar<std::string>(const ConfigNode& node);
ConfigNode WriteScalar(bool value);
ConfigNode WriteScalar(int64_t value);
ConfigNode WriteScalar(double value);
ConfigNode WriteScalar(const std::string& value);

void CheckLimits(const ConfigNode& node, double value, const Limits& limits);

// One row of the reference documentation.
struct OptionHelp {
  std::string path;           // "adam.learning_rate"
  std::string type;           // "number > 0", "one of: f32, f64", "list of whole numbers"
  std::string default_value;  // YAML; "" where there is none
  std::string help;
};

template <typename T>
class OptionTable {
 public:
  OptionTable(std::string name, std::string summary)
      : name_(std::move(name)), summary_(std::move(summary)) {}

  // The members may be those of a base B of T: what `&Derived::inherited` names is one of the base.
  //
  // M: bool, int64_t, double, std::string, std::vector of those, or std::optional of a scalar
  // (absent or null in YAML: none).
  template <typename M, typename B>
  OptionTable& Add(std::string name, M B::*member, std::string help, Limits limits = {});
  // A string that must be one of `choices`.
  template <typename B>
  OptionTable& AddChoice(std::string name, std::string B::*member, std::string help,
                         std::vector<std::string> choices);
  // The name of a file, written in full: a relative one in a YAML file stands beside that file, one
  // of the command line in the current folder.
  template <typename B>
  OptionTable& AddFile(std::string name, std::string B::*member, std::string help);
  // A nested struct with its own table (a reference that must outlive this table).
  template <typename U, typename B>
  OptionTable& AddTable(std::string name, U B::*member, const OptionTable<U>& table,
                        std::string help);
  // A nested struct that may be absent.
  template <typename U, typename B>
  OptionTable& AddTable(std::string name, std::optional<U> B::*member, const OptionTable<U>& table,
                        std::string help);
  // A list of structs.
  template <typename U, typename B>
  OptionTable& AddList(std::string name, std::vector<U> B::*member, const OptionTable<U>& table,
                       std::string help);
  // A nested section that functions read, write (null: absent) and document.
  OptionTable& AddSection(std::string name, std::string help,
                          std::function<void(const ConfigNode&, T&)> read,
                          std::function<ConfigNode(const T&)> write,
                          std::function<std::vector<OptionHelp>(const std::string&)> nested);
  // YAML that something else reads.
  template <typename B>
  OptionTable& AddNode(std::string name, ConfigNode B::*member, std::string help);
  // The member may be given as a bare scalar in place of the whole map: `dense: 64` for
  // `dense: {units: 64}`; also beside other options, as ConfigNode::kShortForm. Names an option
  // added before.
  OptionTable& Shorthand(std::string name);
  // The option must be given.
  OptionTable& Required(std::string name);

  const std::string& name() const { return name_; }
  const std::string& summary() const { return summary_; }

  // Null reads as all defaults. Throws Error(kInvalidInput) at the place of the fault: unknown key
  // (with the nearest), wrong type, outside the limits, missing.
  T Read(const ConfigNode& node) const;
  ConfigNode Write(const T& value) const;
  std::vector<OptionHelp> Help(const std::string& prefix = "") const;

 private:
  struct Option {
    std::string name;
    std::string type;
    std::string help;
    bool required = false;
    std::function<void(const ConfigNode&, T&)> read;
    std::function<ConfigNode(const T&)> write;
    std::function<std::vector<OptionHelp>(const std::string&)> nested;  // null for plain options
  };
  OptionTable& Declare(Option option);
  Option* Find(const std::string& name);  // null where there is none

  std::string name_;
  std::string summary_;
  std::string shorthand_;
  std::vector<Option> options_;
};

}  // namespace ingot

#include "ingot/base/options_impl.h"
