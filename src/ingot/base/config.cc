// ConfigNode itself, and setting its values by path. Reading YAML is in config_parse.cc, writing in
// config_writer.cc.
#include "ingot/base/config.h"

#include <algorithm>
#include <charconv>

#include "ingot/base/config_builder.h"
#include "ingot/base/error.h"
#include "ingot/base/text.h"

namespace ingot {
namespace {

std::string Place(const std::string& file, int line, int column) {
  if (line <= 0) return file;
  return file + ":" + std::to_string(line) + ":" + std::to_string(column);
}

std::string PlaceAndPath(const std::string& file, int line, int column, const std::string& path) {
  const std::string place = Place(file, line, column);
  if (place.empty()) return path.empty() ? "configuration" : path;
  return path.empty() ? place : place + ": " + path;
}

std::string Shortened(const std::string& text) {
  constexpr size_t kLongest = 60;
  std::string shown;
  for (const char c : text.substr(0, kLongest)) {
    shown += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return text.size() > kLongest ? shown + "..." : shown;
}

}  // namespace

void ConfigBuilder::SetPaths(ConfigNode& node, const std::string& path, Paths which) {
  if (which == Paths::kOfNoPlace && node.has_place()) return;
  if (path.size() > kMaxPathBytes) {
    FailAt(node.file_, node.line_, node.column_,
           "the keys above this value are longer than " + std::to_string(kMaxPathBytes) +
               " bytes together");
  }
  node.path_ = path;
  for (size_t i = 0; i < node.items_.size(); ++i) {
    SetPaths(node.items_[i], path + "[" + std::to_string(i) + "]", which);
  }
  for (ConfigNode::Entry& entry : node.entries_) {
    const bool has_own_path = entry.first != ConfigNode::kShortForm && !path.empty();
    SetPaths(entry.second, has_own_path ? path + "." + entry.first : path + entry.first, which);
  }
}

void ConfigBuilder::SetFile(ConfigNode& node, const std::string& file) {
  node.file_ = file;
  node.line_ = node.column_ = node.key_line_ = node.key_column_ = 0;
  for (ConfigNode& item : node.items_) SetFile(item, file);
  for (ConfigNode::Entry& entry : node.entries_) SetFile(entry.second, file);
}

void ConfigBuilder::MakeShortFormMap(ConfigNode& node) {
  ConfigNode map = node;
  map.kind_ = ConfigNode::Kind::kMap;
  map.scalar_.clear();
  map.items_.clear();
  map.entries_.emplace_back(ConfigNode::kShortForm, std::move(node));
  node = std::move(map);
}

void ConfigBuilder::FailAt(const std::string& file, int line, int column,
                           const std::string& message, const std::string& hint) {
  throw Error(ErrorCode::kInvalidInput, PlaceAndPath(file, line, column, "") + ": " + message,
              hint);
}

std::string ConfigBuilder::InQuotes(const std::string& text) {
  return "'" + Shortened(text) + "'";
}

ConfigNode ConfigNode::Scalar(std::string text) {
  ConfigNode node;
  node.kind_ = Kind::kScalar;
  node.scalar_ = std::move(text);
  return node;
}

ConfigNode ConfigNode::List(std::vector<ConfigNode> items) {
  ConfigNode node;
  node.kind_ = Kind::kList;
  node.items_ = std::move(items);
  ConfigBuilder::SetPaths(node, "", ConfigBuilder::Paths::kOfNoPlace);
  return node;
}

ConfigNode ConfigNode::Map(std::vector<Entry> entries) {
  ConfigNode node;
  node.kind_ = Kind::kMap;
  node.entries_ = std::move(entries);
  ConfigBuilder::SetPaths(node, "", ConfigBuilder::Paths::kOfNoPlace);
  return node;
}

const ConfigNode* ConfigNode::Find(std::string_view key) const {
  for (const Entry& entry : entries_) {
    if (entry.first == key) return &entry.second;
  }
  return nullptr;
}

ConfigNode ConfigNode::WithScalars(
    const std::function<std::optional<ConfigNode>(const ConfigNode& scalar)>& replace) const {
  if (is_scalar()) return replace(*this).value_or(*this);
  ConfigNode copy = *this;
  for (ConfigNode& item : copy.items_) item = item.WithScalars(replace);
  for (Entry& entry : copy.entries_) entry.second = entry.second.WithScalars(replace);
  return copy;
}

ConfigNode ConfigNode::At(const ConfigNode& place) const {
  ConfigNode copy = *this;
  copy.file_ = place.file_;
  copy.line_ = place.line_;
  copy.column_ = place.column_;
  copy.key_line_ = place.key_line_;
  copy.key_column_ = place.key_column_;
  copy.path_ = place.path_;
  return copy;
}

ConfigNode ConfigNode::Without(std::string_view key) const {
  ConfigNode copy = *this;
  std::erase_if(copy.entries_, [&](const Entry& entry) { return entry.first == key; });
  return copy;
}

std::string ConfigNode::Where() const {
  return PlaceAndPath(file_, line_, column_, path_);
}

std::string ConfigNode::WhereKey() const {
  return key_line_ > 0 ? PlaceAndPath(file_, key_line_, key_column_, path_) : Where();
}

std::string ConfigNode::Describe() const {
  if (is_scalar()) return ConfigBuilder::InQuotes(scalar_);
  if (is_null()) return "nothing";
  if (is_list()) {
    return items_.empty() ? "an empty list" : "a list of " + std::to_string(items_.size());
  }
  if (entries_.empty()) return "an empty map";
  const ConfigNode* short_form = Find(kShortForm);
  if (short_form != nullptr) return short_form->Describe() + " with keys set below it";
  std::vector<std::string> keys;
  for (const Entry& entry : entries_) keys.push_back(Shortened(entry.first));
  constexpr size_t kShown = 6;
  const bool many = keys.size() > kShown;
  if (many) keys.resize(kShown);
  return std::string("a map with the key") + (keys.size() == 1 ? " " : "s ") + Join(keys, ", ") +
         (many ? ", ..." : "");
}

void ConfigNode::Fail(const std::string& message, const std::string& hint) const {
  throw Error(ErrorCode::kInvalidInput, Where() + ": " + message, hint);
}

void ConfigNode::FailKey(const std::string& message, const std::string& hint) const {
  throw Error(ErrorCode::kInvalidInput, WhereKey() + ": " + message, hint);
}

namespace {

// One step of a path: a key, or an index into a list.
struct Step {
  std::string key = {};
  size_t index = 0;
  bool is_index = false;
};

[[noreturn]] void FailPath(std::string_view path, const std::string& message,
                           const std::string& hint = "") {
  throw Error(ErrorCode::kInvalidInput,
              "--set: " + ConfigBuilder::InQuotes(std::string(path)) + ": " + message, hint);
}

std::vector<Step> ParsePath(std::string_view path) {
  constexpr const char* kHint = "a path looks like train.epochs or model.layers[0].dense.units";
  std::vector<Step> steps;
  for (const std::string& part : Split(path, '.')) {
    const size_t bracket = part.find('[');
    std::string_view rest = std::string_view(part).substr(std::min(bracket, part.size()));
    if (bracket == 0 || part.empty()) FailPath(path, "a name is missing in the path", kHint);
    if (bracket > ConfigBuilder::kMaxKeyBytes && part.size() > ConfigBuilder::kMaxKeyBytes)
      FailPath(path, "a name is too long");
    steps.push_back({.key = part.substr(0, bracket)});
    while (!rest.empty()) {
      Step step{.is_index = true};
      const size_t end = rest.find(']');
      if (rest[0] != '[' || end == std::string_view::npos) {
        FailPath(path, "expected '[index]' after '" + steps.front().key + "'", kHint);
      }
      const auto result = std::from_chars(rest.data() + 1, rest.data() + end, step.index);
      if (result.ec != std::errc() || result.ptr != rest.data() + end) {
        FailPath(path,
                 ConfigBuilder::InQuotes(std::string(rest.substr(1, end - 1))) + " is not an index",
                 kHint);
      }
      steps.push_back(step);
      rest.remove_prefix(end + 1);
    }
  }
  if (steps.size() > ConfigBuilder::kMaxDepth || path.size() > ConfigBuilder::kMaxPathBytes)
    FailPath(path, "the path is too long");
  return steps;
}

ConfigNode* Descend(ConfigNode* node, const Step& step, std::string_view path,
                    const std::string& reached) {
  const std::string name = reached.empty() ? "the document" : ConfigBuilder::InQuotes(reached);
  if (step.is_index) {
    if (!node->is_list()) FailPath(path, name + " is " + node->Describe() + ", not a list");
    std::vector<ConfigNode>& items = ConfigBuilder::Items(*node);
    if (step.index > items.size()) {
      FailPath(path, name + " is " + node->Describe() + ", so it has no index " +
                         std::to_string(step.index));
    }
    if (step.index == items.size()) items.emplace_back();
    return &items[step.index];
  }
  if (node->is_null()) ConfigBuilder::MakeEmptyMap(*node);
  if (!node->is_map()) ConfigBuilder::MakeShortFormMap(*node);
  std::vector<ConfigNode::Entry>& entries = ConfigBuilder::Entries(*node);
  for (ConfigNode::Entry& entry : entries) {
    if (entry.first == step.key) return &entry.second;
  }
  for (auto& [key, value] : entries) {
    if (key != ConfigNode::kShortForm || !value.is_scalar() || value.scalar() != step.key) continue;
    key = step.key;
    value = ConfigNode().At(value);
    return &value;
  }
  entries.emplace_back(step.key, ConfigNode());
  ConfigBuilder::SetFile(entries.back().second, "--set");
  return &entries.back().second;
}

}  // namespace

void ConfigNode::SetPath(std::string_view path, std::string_view yaml_text) {
  const std::vector<Step> steps = ParsePath(path);
  ConfigNode value;
  try {
    value = ParseConfig(yaml_text, "value");
  } catch (const Error& error) {
    throw error.In("--set: " + ConfigBuilder::InQuotes(std::string(path)));
  }
  ConfigBuilder::SetFile(value, "--set");

  ConfigNode changed = *this;  // so that a failure half way leaves this one as it was
  ConfigNode* node = &changed;
  std::string reached = path_;
  for (const Step& step : steps) {
    node = Descend(node, step, path, reached);
    if (step.is_index) {
      reached.append("[").append(std::to_string(step.index)).append("]");
    } else {
      reached.append(reached.empty() ? "" : ".").append(step.key);
    }
  }
  *node = std::move(value);
  ConfigBuilder::SetPaths(changed, path_);
  *this = std::move(changed);
}

}  // namespace ingot
