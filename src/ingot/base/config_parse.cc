// Reading YAML into ConfigNode: from yaml-cpp's events, not its node type, which knows neither
// duplicate keys nor where an alias came from.
#include <algorithm>
#include <map>
#include <sstream>
#include <unordered_set>

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include "ingot/base/config.h"
#include "ingot/base/config_builder.h"
#include "ingot/base/error.h"
#include "ingot/base/file.h"
#include "ingot/base/text.h"

namespace ingot {
namespace {

constexpr size_t kMaxTextBytes = size_t{4} << 20;
constexpr size_t kMaxNodes = 100'000;
constexpr size_t kMaxScalarBytes = size_t{16} << 20;  // after aliases are expanded

// The length of the UTF-8 sequence at `text[i]`, 0 where there is none (overlong forms, surrogates
// and values above U+10FFFF are none).
size_t Utf8Length(std::string_view text, size_t i) {
  const auto byte = [&](size_t k) -> unsigned {
    return i + k < text.size() ? static_cast<unsigned char>(text[i + k]) : 0u;
  };
  const unsigned lead = byte(0);
  if (lead < 0x80) return 1;
  const size_t length = lead >= 0xC2 && lead <= 0xDF   ? 2
                        : lead >= 0xE0 && lead <= 0xEF ? 3
                        : lead >= 0xF0 && lead <= 0xF4 ? 4
                                                       : 0;
  for (size_t k = 1; k < length; ++k) {
    if ((byte(k) & 0xC0) != 0x80) return 0;
  }
  if (lead == 0xE0 && byte(1) < 0xA0) return 0;
  if (lead == 0xED && byte(1) > 0x9F) return 0;
  if (lead == 0xF0 && byte(1) < 0x90) return 0;
  if (lead == 0xF4 && byte(1) > 0x8F) return 0;
  return length;
}

// yaml-cpp guesses encodings and takes the byte 4 for the end of the text, so what is not plain
// UTF-8 text is refused before it sees it.
void CheckText(std::string_view text, const std::string& file) {
  if (text.size() > kMaxTextBytes) {
    throw Error(ErrorCode::kInvalidInput,
                file + ": " + HumanBytes(text.size()) + " of YAML, expected at most " +
                    HumanBytes(kMaxTextBytes),
                "is this the right file?");
  }
  int line = 1;
  int column = 1;
  for (size_t i = 0; i < text.size();) {
    const unsigned char c = static_cast<unsigned char>(text[i]);
    const size_t length = Utf8Length(text, i);
    if (length == 0 || (c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7F) {
      constexpr char kHex[] = "0123456789abcdef";
      ConfigBuilder::FailAt(
          file, line, column,
          std::string("byte 0x") + kHex[c >> 4] + kHex[c & 15] + " is not UTF-8 text",
          "save the file as plain text in UTF-8");
    }
    ++column;
    if (c == '\n') {
      ++line;
      column = 1;
    }
    i += length;
  }
}

std::string SyntaxHint(const std::string& text_line, const std::string& message) {
  const size_t first = text_line.find_first_not_of(" \t");
  if (first != std::string::npos && text_line.substr(0, first).find('\t') != std::string::npos) {
    return "YAML is indented with spaces, not with tabs";
  }
  if (message.find("illegal map value") != std::string::npos) {
    return "text that contains ': ' needs quotes";
  }
  return "";
}

std::string LineOf(std::string_view text, int line) {
  for (int i = 0; i < line; ++i) {
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) return "";
    text.remove_prefix(end + 1);
  }
  return std::string(text.substr(0, text.find('\n')));
}

}  // namespace

class ConfigBuilder::Handler : public YAML::EventHandler {
 public:
  // `text` must outlive the handler.
  Handler(std::string_view text, std::string file) : text_(text), file_(std::move(file)) {
    if (text_.starts_with("\xEF\xBB\xBF")) text_.remove_prefix(3);  // as yaml-cpp counts
    root_.file_ = file_;
    root_.line_ = root_.column_ = 1;
  }
  ConfigNode TakeRoot() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) {
      Fail(mark, "a second document begins here, expected one", "remove the line '---'");
    }
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (WantsKey()) Fail(mark, "a key is missing in front of ':'");
    // Where no value is written at all, yaml-cpp names the place of what follows.
    const std::string_view here = TextAt(mark);
    const bool is_written = here.starts_with("~") || here.starts_with("n") ||
                            here.starts_with("N") || here.starts_with("&") || here.starts_with("!");
    const bool has_key = !stack_.empty() && stack_.back().node.is_map();
    const YAML::Mark& place = has_key && !is_written ? stack_.back().key_mark : mark;
    Place(Make(ConfigNode::Kind::kNull, place), 0, anchor, mark);
  }

  void OnScalar(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                const std::string& value) override {
    CheckQuotes(mark);
    ConfigNode node = Make(ConfigNode::Kind::kScalar, mark);
    node.scalar_ = value;
    Place(std::move(node), 0, anchor, mark);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) Fail(mark, "the alias refers to a value that contains it");
    if (stack_.size() + found->second.depth > kMaxDepth) FailDepth(mark);
    // What it multiplies counts: a kilobyte of YAML could stand for gigabytes.
    Charge(found->second.node, mark);
    Place(found->second.node, found->second.depth, 0, mark);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Open(ConfigNode::Kind::kList, mark, anchor);
  }
  void OnSequenceEnd() override { Close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    Open(ConfigNode::Kind::kMap, mark, anchor);
  }
  void OnMapEnd() override { Close(); }

 private:
  struct Frame {
    ConfigNode node;
    YAML::anchor_t anchor = 0;
    YAML::Mark mark;
    bool has_key = false;
    std::string key;
    YAML::Mark key_mark;
    std::unordered_set<std::string> keys;
    size_t depth = 1;  // levels of what is in it, itself included
  };
  struct Anchored {
    ConfigNode node;
    size_t depth = 0;
  };

  [[noreturn]] void Fail(const YAML::Mark& mark, const std::string& message,
                         const std::string& hint = "") const {
    FailAt(file_, mark.line + 1, mark.column + 1, message, hint);
  }
  [[noreturn]] void FailDepth(const YAML::Mark& mark) const {
    Fail(mark, "nested deeper than " + std::to_string(kMaxDepth) + " levels");
  }

  std::string_view TextAt(const YAML::Mark& mark) const {
    const size_t position = static_cast<size_t>(std::max(mark.pos, 0));
    return text_.substr(std::min(position, text_.size()));
  }

  // yaml-cpp takes a quoted scalar whose end is missing when the text ends with a line break.
  void CheckQuotes(const YAML::Mark& mark) const {
    const std::string_view text = TextAt(mark);
    if (text.empty() || (text[0] != '"' && text[0] != '\'')) return;
    for (size_t i = 1; i < text.size(); ++i) {
      if (text[0] == '"' && text[i] == '\\') {
        ++i;
      } else if (text[i] == text[0]) {
        if (text[0] == '"' || i + 1 == text.size() || text[i + 1] != '\'') return;
        ++i;  // '' stands for a quote
      }
    }
    Fail(mark, "the quote that opens here is not closed");
  }

  bool WantsKey() const {
    return !stack_.empty() && stack_.back().node.is_map() && !stack_.back().has_key;
  }

  ConfigNode Make(ConfigNode::Kind kind, const YAML::Mark& mark) const {
    ConfigNode node;
    node.kind_ = kind;
    node.file_ = file_;
    node.line_ = mark.line + 1;
    node.column_ = mark.column + 1;
    return node;
  }

  void Open(ConfigNode::Kind kind, const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (WantsKey()) Fail(mark, "a list or map stands where a key is expected");
    if (stack_.size() >= kMaxDepth) FailDepth(mark);
    Frame frame;
    frame.node = Make(kind, mark);
    frame.anchor = anchor;
    frame.mark = mark;
    stack_.push_back(std::move(frame));
  }

  void Close() {
    Frame frame = std::move(stack_.back());
    stack_.pop_back();
    Place(std::move(frame.node), frame.depth, frame.anchor, frame.mark);
  }

  // Counts a value and everything in it against the limits.
  void Charge(const ConfigNode& node, const YAML::Mark& mark) {
    ChargeOne(node, mark);
    for (const ConfigNode& item : node.items_) Charge(item, mark);
    for (const ConfigNode::Entry& entry : node.entries_) {
      scalar_bytes_ += entry.first.size();
      Charge(entry.second, mark);
    }
  }

  void ChargeOne(const ConfigNode& node, const YAML::Mark& mark) {
    nodes_ += 1;
    scalar_bytes_ += node.scalar_.size();
    if (nodes_ > kMaxNodes) Fail(mark, "more than " + WithThousands(kMaxNodes) + " values");
    if (scalar_bytes_ > kMaxScalarBytes) {
      Fail(mark, "more than " + HumanBytes(kMaxScalarBytes) + " of text");
    }
  }

  void SetKey(const ConfigNode& node, const YAML::Mark& mark) {
    Frame& frame = stack_.back();
    if (!node.is_scalar()) Fail(mark, "a list or map stands where a key is expected");
    if (node.scalar_.size() > kMaxKeyBytes) {
      Fail(mark, "a key of " + std::to_string(node.scalar_.size()) + " bytes, expected at most " +
                     std::to_string(kMaxKeyBytes));
    }
    if (!frame.keys.insert(node.scalar_).second) {
      Fail(mark, "the key " + InQuotes(node.scalar_) + " is given twice",
           "it is first given in line " + std::to_string(frame.node.Find(node.scalar_)->key_line_) +
               "; remove one of them");
    }
    frame.key = node.scalar_;
    frame.key_mark = mark;
    frame.has_key = true;
  }

  // A finished value of `depth` levels goes to where it belongs: root, key, entry or item.
  void Place(ConfigNode node, size_t depth, YAML::anchor_t anchor, const YAML::Mark& mark) {
    ChargeOne(node, mark);
    if (anchor != 0) {
      Charge(node, mark);
      anchors_[anchor] = {node, depth};
    }
    if (stack_.empty()) {
      root_ = std::move(node);
      return;
    }
    if (WantsKey()) return SetKey(node, mark);
    Frame& frame = stack_.back();
    frame.depth = std::max(frame.depth, depth + 1);
    if (frame.node.is_map()) {
      node.key_line_ = frame.key_mark.line + 1;
      node.key_column_ = frame.key_mark.column + 1;
      frame.node.entries_.emplace_back(std::move(frame.key), std::move(node));
      frame.has_key = false;
    } else {
      frame.node.items_.push_back(std::move(node));
    }
  }

  std::string_view text_;
  std::string file_;
  ConfigNode root_;
  std::vector<Frame> stack_;
  std::map<YAML::anchor_t, Anchored> anchors_;
  size_t nodes_ = 0;
  size_t scalar_bytes_ = 0;
  int documents_ = 0;
};

ConfigNode ParseConfig(std::string_view text, const std::string& file) {
  CheckText(text, file);
  std::istringstream stream{std::string(text)};
  ConfigBuilder::Handler handler(text, file);
  try {
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(handler)) {
    }
  } catch (const YAML::Exception& exception) {
    ConfigBuilder::FailAt(file, std::max(exception.mark.line, 0) + 1,
                          std::max(exception.mark.column, 0) + 1, exception.msg,
                          SyntaxHint(LineOf(text, exception.mark.line), exception.msg));
  }
  ConfigNode root = handler.TakeRoot();
  ConfigBuilder::SetPaths(root, "");
  return root;
}

ConfigNode LoadConfig(const std::string& path) {
  return ParseConfig(ReadFile(path), path);
}

}  // namespace ingot
