// ConfigNode::ToYaml: text that parses back to an equal tree. Scalars are quoted unless they are
// plainly harmless; everything that YAML could take for null, a tag, an anchor or syntax is quoted.
#include <array>

#include "ingot/base/config.h"

namespace ingot {
namespace {

constexpr size_t kLineWidth = 96;

bool IsAlphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// Whether YAML reads the bare text, in block and in flow style alike, as that very scalar.
bool IsPlain(const std::string& text) {
  if (text.empty() || text == "null" || text == "Null" || text == "NULL") return false;
  const bool signed_number =
      text.size() > 1 && (text[0] == '-' || text[0] == '+' || text[0] == '.') &&
      (IsAlphanumeric(text[1]) || (text[0] != '.' && text[1] == '.' && text.size() > 2));
  if (!IsAlphanumeric(text[0]) && text[0] != '_' && text[0] != '/' && !signed_number) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool inner_space = c == ' ' && text[i - 1] != ' ' && i + 1 < text.size();
    const bool mark = c == '_' || c == '.' || c == '/' || c == '+' || c == '-' || c == '%' ||
                      c == '(' || c == ')' || c == '=' || c == ';' || c == '$' || c == '^';
    if (!IsAlphanumeric(c) && !mark && !inner_space) return false;
  }
  return true;
}

std::string Quoted(const std::string& text) {
  constexpr std::array<char, 17> kHex = {"0123456789abcdef"};
  std::string quoted = "\"";
  for (const char c : text) {
    const unsigned char byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (c == '\n') {
      quoted += "\\n";
    } else if (c == '\t') {
      quoted += "\\t";
    } else if (byte < 0x20 || byte == 0x7F) {
      quoted += "\\x";
      quoted += kHex[byte >> 4];
      quoted += kHex[byte & 15];
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

std::string ScalarText(const std::string& text) {
  return IsPlain(text) ? text : Quoted(text);
}

// The value on one line; "" where it needs several.
std::string Inline(const ConfigNode& node, size_t indent) {
  switch (node.kind()) {
    case ConfigNode::Kind::kNull:
      return "null";
    case ConfigNode::Kind::kScalar:
      return ScalarText(node.scalar());
    case ConfigNode::Kind::kMap:
      return node.entries().empty() ? "{}" : "";
    case ConfigNode::Kind::kList:
      break;
  }
  std::string text = "[";
  for (const ConfigNode& item : node.items()) {
    if (!item.is_scalar()) return "";
    if (text.size() > 1) text += ", ";
    text += ScalarText(item.scalar());
    if (indent + text.size() > kLineWidth) return "";
  }
  return text + "]";
}

// Writes a list or map, each line behind `indent` spaces; the first line's indentation is already
// there where `first_is_indented`.
void WriteBlock(const ConfigNode& node, size_t indent, bool first_is_indented, std::string& out) {
  bool indented = first_is_indented;
  const auto begin_line = [&] {
    if (!indented) out.append(indent, ' ');
    indented = false;
  };
  for (const ConfigNode& item : node.items()) {
    begin_line();
    const std::string text = Inline(item, indent + 2);
    if (!text.empty()) {
      out += "- " + text + "\n";
    } else {
      out += "- ";
      WriteBlock(item, indent + 2, true, out);
    }
  }
  for (const ConfigNode::Entry& entry : node.entries()) {
    begin_line();
    out += ScalarText(entry.first) + ":";
    const std::string text = Inline(entry.second, indent + entry.first.size() + 2);
    if (!text.empty()) {
      out += " " + text + "\n";
    } else {
      out += "\n";
      WriteBlock(entry.second, indent + 2, false, out);
    }
  }
}

}  // namespace

std::string ConfigNode::ToYaml() const {
  const std::string text = Inline(*this, 0);
  if (!text.empty()) return text + "\n";
  std::string out;
  WriteBlock(*this, 0, false, out);
  return out;
}

}  // namespace ingot
