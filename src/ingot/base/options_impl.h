// The template part of OptionTable (options.h includes it); what needs no type is in options.cc.
#pragma once

#include <type_traits>

#include "ingot/base/options.h"

namespace ingot {
namespace options_internal {

[[noreturn]] void FailUnknownKey(const ConfigNode& value, const std::string& key,
                                 const std::vector<std::string>& names);
[[noreturn]] void FailMissing(const ConfigNode& map, const OptionHelp& option);
[[noreturn]] void FailNotMap(const ConfigNode& node, const std::string& table);
// What stands in place of a map, or in it beside other keys; null where nothing does.
const ConfigNode* ShortFormOf(const ConfigNode& node);
void CheckIsList(const ConfigNode& node, const std::string& type);
std::string CheckChoice(const ConfigNode& node, const std::vector<std::string>& choices);
std::string FileInFull(const ConfigNode& node);
std::string ChoiceType(const std::vector<std::string>& choices);
// Asserts that an option is declared once and that one which is named was declared.
void CheckDeclared(const std::string& table, const std::string& name, bool declared, bool wanted);
std::string NumberType(const char* noun, const Limits& limits);
// One line of YAML, "" for null.
std::string DefaultText(const ConfigNode& node);
std::string PathOf(const std::string& prefix, const std::string& name);

// How the type M of a member is named, read and written.
template <typename M>
struct Codec;

template <>
struct Codec<bool> {
  static std::string Type(const Limits&, bool plural) {
    return plural ? "true or false values" : "true or false";
  }
  static bool Read(const ConfigNode& node, const Limits&) { return ReadScalar<bool>(node); }
  static ConfigNode Write(bool value) { return WriteScalar(value); }
};

template <>
struct Codec<int64_t> {
  static std::string Type(const Limits& limits, bool plural) {
    return NumberType(plural ? "whole numbers" : "whole number", limits);
  }
  static int64_t Read(const ConfigNode& node, const Limits& limits) {
    const int64_t value = ReadScalar<int64_t>(node);
    CheckLimits(node, static_cast<double>(value), limits);
    return value;
  }
  static ConfigNode Write(int64_t value) { return WriteScalar(value); }
};

template <>
struct Codec<double> {
  static std::string Type(const Limits& limits, bool plural) {
    return NumberType(plural ? "numbers" : "number", limits);
  }
  static double Read(const ConfigNode& node, const Limits& limits) {
    const double value = ReadScalar<double>(node);
    CheckLimits(node, value, limits);
    return value;
  }
  static ConfigNode Write(double value) { return WriteScalar(value); }
};

template <>
struct Codec<std::string> {
  static std::string Type(const Limits&, bool plural) { return plural ? "texts" : "text"; }
  static std::string Read(const ConfigNode& node, const Limits&) {
    return ReadScalar<std::string>(node);
  }
  static ConfigNode Write(const std::string& value) { return WriteScalar(value); }
};

template <typename E>
struct Codec<std::vector<E>> {
  static std::string Type(const Limits& limits, bool) {
    return "list of " + Codec<E>::Type(limits, true);
  }
  static std::vector<E> Read(const ConfigNode& node, const Limits& limits) {
    CheckIsList(node, Type(limits, false));
    std::vector<E> values;
    for (const ConfigNode& item : node.items()) values.push_back(Codec<E>::Read(item, limits));
    return values;
  }
  static ConfigNode Write(const std::vector<E>& values) {
    std::vector<ConfigNode> items;
    for (size_t i = 0; i < values.size(); ++i) items.push_back(Codec<E>::Write(values[i]));
    return ConfigNode::List(std::move(items));
  }
};

template <typename E>
struct Codec<std::optional<E>> {
  static std::string Type(const Limits& limits, bool plural) {
    return Codec<E>::Type(limits, plural);
  }
  static std::optional<E> Read(const ConfigNode& node, const Limits& limits) {
    if (node.is_null()) return std::nullopt;
    return Codec<E>::Read(node, limits);
  }
  static ConfigNode Write(const std::optional<E>& value) {
    return value ? Codec<E>::Write(*value) : ConfigNode();
  }
};

}  // namespace options_internal

template <typename T>
OptionTable<T>& OptionTable<T>::Declare(Option option) {
  options_internal::CheckDeclared(name_, option.name, Find(option.name) != nullptr, false);
  options_.push_back(std::move(option));
  return *this;
}

template <typename T>
typename OptionTable<T>::Option* OptionTable<T>::Find(const std::string& name) {
  for (Option& option : options_) {
    if (option.name == name) return &option;
  }
  return nullptr;
}

template <typename T>
template <typename M, typename B>
OptionTable<T>& OptionTable<T>::Add(std::string name, M B::*member, std::string help,
                                    Limits limits) {
  using Codec = options_internal::Codec<M>;
  Option option;
  option.name = std::move(name);
  option.type = Codec::Type(limits, false);
  option.help = std::move(help);
  option.read = [member, limits](const ConfigNode& node, T& value) {
    value.*member = Codec::Read(node, limits);
  };
  option.write = [member](const T& value) { return Codec::Write(value.*member); };
  return Declare(std::move(option));
}

template <typename T>
template <typename B>
OptionTable<T>& OptionTable<T>::AddChoice(std::string name, std::string B::*member,
                                          std::string help, std::vector<std::string> choices) {
  Option option;
  option.name = std::move(name);
  option.type = options_internal::ChoiceType(choices);
  option.help = std::move(help);
  option.read = [member, choices = std::move(choices)](const ConfigNode& node, T& value) {
    value.*member = options_internal::CheckChoice(node, choices);
  };
  option.write = [member](const T& value) { return WriteScalar(value.*member); };
  return Declare(std::move(option));
}

template <typename T>
template <typename B>
OptionTable<T>& OptionTable<T>::AddFile(std::string name, std::string B::*member,
                                        std::string help) {
  Option option;
  option.name = std::move(name);
  option.type = "text";
  option.help = std::move(help);
  option.read = [member](const ConfigNode& node, T& value) {
    value.*member = options_internal::FileInFull(node);
  };
  option.write = [member](const T& value) { return WriteScalar(value.*member); };
  return Declare(std::move(option));
}

template <typename T>
template <typename U, typename B>
OptionTable<T>& OptionTable<T>::AddTable(std::string name, U B::*member,
                                         const OptionTable<U>& table, std::string help) {
  Option option;
  option.name = std::move(name);
  option.type = "map";
  option.help = std::move(help);
  option.read = [member, &table](const ConfigNode& node, T& value) {
    value.*member = table.Read(node);
  };
  option.write = [member, &table](const T& value) { return table.Write(value.*member); };
  option.nested = [&table](const std::string& path) { return table.Help(path); };
  return Declare(std::move(option));
}

template <typename T>
template <typename U, typename B>
OptionTable<T>& OptionTable<T>::AddTable(std::string name, std::optional<U> B::*member,
                                         const OptionTable<U>& table, std::string help) {
  Option option;
  option.name = std::move(name);
  option.type = "map";
  option.help = std::move(help);
  option.read = [member, &table](const ConfigNode& node, T& value) {
    value.*member = table.Read(node);
  };
  option.write = [member, &table](const T& value) {
    return value.*member ? table.Write(*(value.*member)) : ConfigNode();
  };
  option.nested = [&table](const std::string& path) { return table.Help(path); };
  return Declare(std::move(option));
}

template <typename T>
template <typename U, typename B>
OptionTable<T>& OptionTable<T>::AddList(std::string name, std::vector<U> B::*member,
                                        const OptionTable<U>& table, std::string help) {
  Option option;
  option.name = std::move(name);
  option.type = "list of maps";
  option.help = std::move(help);
  option.read = [member, &table](const ConfigNode& node, T& value) {
    options_internal::CheckIsList(node, "list of maps");
    (value.*member).clear();
    for (const ConfigNode& item : node.items()) (value.*member).push_back(table.Read(item));
  };
  option.write = [member, &table](const T& value) {
    std::vector<ConfigNode> items;
    for (const U& item : value.*member) items.push_back(table.Write(item));
    return ConfigNode::List(std::move(items));
  };
  option.nested = [&table](const std::string& path) { return table.Help(path + "[]"); };
  return Declare(std::move(option));
}

template <typename T>
OptionTable<T>& OptionTable<T>::AddSection(
    std::string name, std::string help, std::function<void(const ConfigNode&, T&)> read,
    std::function<ConfigNode(const T&)> write,
    std::function<std::vector<OptionHelp>(const std::string&)> nested) {
  Option option;
  option.name = std::move(name);
  option.type = "map";
  option.help = std::move(help);
  option.read = std::move(read);
  option.write = std::move(write);
  option.nested = std::move(nested);
  return Declare(std::move(option));
}

template <typename T>
template <typename B>
OptionTable<T>& OptionTable<T>::AddNode(std::string name, ConfigNode B::*member, std::string help) {
  Option option;
  option.name = std::move(name);
  option.type = "YAML";
  option.help = std::move(help);
  option.read = [member](const ConfigNode& node, T& value) { value.*member = node; };
  option.write = [member](const T& value) { return value.*member; };
  return Declare(std::move(option));
}

template <typename T>
OptionTable<T>& OptionTable<T>::Shorthand(std::string name) {
  options_internal::CheckDeclared(name_, name, Find(name) != nullptr, true);
  shorthand_ = std::move(name);
  return *this;
}

template <typename T>
OptionTable<T>& OptionTable<T>::Required(std::string name) {
  Option* option = Find(name);
  options_internal::CheckDeclared(name_, name, option != nullptr, true);
  option->required = true;
  return *this;
}

template <typename T>
T OptionTable<T>::Read(const ConfigNode& node) const {
  T value{};
  const ConfigNode* short_form = options_internal::ShortFormOf(node);
  if (short_form != nullptr && shorthand_.empty()) {
    options_internal::FailNotMap(node, name_);
  }
  for (const ConfigNode::Entry& entry : node.entries()) {
    std::vector<std::string> names;
    bool known = &entry.second == short_form;
    for (const Option& option : options_) known = known || option.name == entry.first;
    if (known) continue;
    for (const Option& option : options_) names.push_back(option.name);
    options_internal::FailUnknownKey(entry.second, entry.first, names);
  }
  for (const Option& option : options_) {
    const ConfigNode* given = node.Find(option.name);
    if (given == nullptr && option.name == shorthand_) given = short_form;
    if (given != nullptr) {
      option.read(*given, value);
    } else if (option.required) {
      options_internal::FailMissing(node, {option.name, option.type, "", option.help});
    }
  }
  return value;
}

template <typename T>
ConfigNode OptionTable<T>::Write(const T& value) const {
  std::vector<ConfigNode::Entry> entries;
  for (const Option& option : options_) {
    ConfigNode node = option.write(value);
    if (!node.is_null()) entries.emplace_back(option.name, std::move(node));
  }
  return ConfigNode::Map(std::move(entries));
}

template <typename T>
std::vector<OptionHelp> OptionTable<T>::Help(const std::string& prefix) const {
  const T defaults{};
  std::vector<OptionHelp> rows;
  for (const Option& option : options_) {
    OptionHelp row{options_internal::PathOf(prefix, option.name), option.type, "", option.help};
    if (!option.nested && !option.required) {
      row.default_value = options_internal::DefaultText(option.write(defaults));
    }
    const std::string path = row.path;
    rows.push_back(std::move(row));
    if (option.nested) {
      for (OptionHelp& nested : option.nested(path)) rows.push_back(std::move(nested));
    }
  }
  return rows;
}

}  // namespace ingot
