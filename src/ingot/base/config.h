// ConfigNode: a YAML document with the place of every value, for strict reading.
//
// Nothing is interpreted here: scalars stay text until an option table (options.h) reads them.
// Duplicate keys, anchors that recurse and documents nested deeper than 64 levels are errors; so
// are more than one document, text that is not UTF-8, more than 4 MiB of text and more than 100,000
// values (aliases expanded), so that no file can exhaust memory.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ingot {

class ConfigNode {
 public:
  enum class Kind { kNull, kScalar, kList, kMap };
  using Entry = std::pair<std::string, ConfigNode>;
  // The key under which a map holds a short form that keys were set beside: `dense: 64` with
  // dense.activation set to relu is dense: {"": 64, activation: relu}. What 64 stands for is up to
  // who reads the map: see OptionTable::Shorthand.
  static constexpr std::string_view kShortForm = "";

  ConfigNode() = default;  // null
  // What a program makes has paths from the list or map that it is put into; what stands in a file,
  // and all that is in it, keeps its place.
  static ConfigNode Scalar(std::string text);
  static ConfigNode List(std::vector<ConfigNode> items);
  static ConfigNode Map(std::vector<Entry> entries);

  Kind kind() const { return kind_; }
  bool is_null() const { return kind_ == Kind::kNull; }
  bool is_scalar() const { return kind_ == Kind::kScalar; }
  bool is_list() const { return kind_ == Kind::kList; }
  bool is_map() const { return kind_ == Kind::kMap; }
  const std::string& scalar() const { return scalar_; }
  const std::vector<ConfigNode>& items() const { return items_; }
  const std::vector<Entry>& entries() const { return entries_; }  // in the order of the file
  const ConfigNode* Find(std::string_view key) const;             // null where absent

  // Where the value stands; line and column count from 1, and are 0 for a value made by a program
  // or given on the command line (then `file` says "--set").
  const std::string& file() const { return file_; }
  int line() const { return line_; }
  int column() const { return column_; }
  // "train.optimizer.adam", "model.layers[2]".
  const std::string& path() const { return path_; }
  // "mnist.yaml:12:5: train.epochs".
  std::string Where() const;
  // The place of the key in front of the value; the value's own place where there is no key.
  std::string WhereKey() const;

  // What stands here, for messages: "'ten'", "a list of 3", "a map with the keys a, b", "nothing",
  // "'ten' with keys set below it".
  std::string Describe() const;

  // Throws Error(kInvalidInput) "WHERE: message".
  [[noreturn]] void Fail(const std::string& message, const std::string& hint = "") const;
  // The same at the place of the key.
  [[noreturn]] void FailKey(const std::string& message, const std::string& hint = "") const;

  // Sets a value by its path, making maps on the way: SetPath("optimizer.adam.learning_rate",
  // "0.01"); "layers[1].units" reaches into a list (the index one past the end appends).
  // The text is parsed as YAML, so that lists and maps can be given. A scalar or list on the way
  // may be short for a map: `adam` becomes {adam: {...}} where the path goes on with adam, and else
  // it stands under kShortForm, where who has no short form refuses it. Throws
  // Error(kInvalidInput).
  void SetPath(std::string_view path, std::string_view yaml_text);

  // The same tree, every node in its own place, with each scalar for which `replace` gives a node
  // replaced by that.
  ConfigNode WithScalars(
      const std::function<std::optional<ConfigNode>(const ConfigNode& scalar)>& replace) const;
  // The same tree at the place of another; what is in it keeps its own.
  ConfigNode At(const ConfigNode& place) const;
  // Whether it stands in a file or was given on the command line.
  bool has_place() const { return line_ > 0 || !file_.empty(); }
  // The same map, in its place, without a key.
  ConfigNode Without(std::string_view key) const;

  // YAML text that parses back to an equal tree: block style, but short lists of scalars stand in
  // brackets on one line.
  std::string ToYaml() const;

 private:
  friend ConfigNode ParseConfig(std::string_view text, const std::string& file);
  friend struct ConfigBuilder;
  Kind kind_ = Kind::kNull;
  std::string scalar_;
  std::vector<ConfigNode> items_;
  std::vector<Entry> entries_;
  std::string file_;
  int line_ = 0;
  int column_ = 0;
  int key_line_ = 0;
  int key_column_ = 0;
  std::string path_;
};

// Throws Error(kInvalidInput) with file, line and column for a syntax error.
ConfigNode ParseConfig(std::string_view text, const std::string& file);

// Throws Error(kNotFound) or Error(kIo) where the file cannot be read.
ConfigNode LoadConfig(const std::string& path);

}  // namespace ingot
