// Attributes: kinds, printing and equality.
#include "ingot/ir/attribute.h"

#include <cstring>

#include "ingot/base/text.h"
#include "ingot/ir/graph.h"

namespace ingot::ir {

AttributeKind KindOf(const Attribute& attribute) {
  return static_cast<AttributeKind>(attribute.index());  // declared in the variant's order
}

const char* Name(AttributeKind kind) {
  switch (kind) {
    case AttributeKind::kInt:
      return "int";
    case AttributeKind::kFloat:
      return "float";
    case AttributeKind::kString:
      return "string";
    case AttributeKind::kInts:
      return "ints";
    case AttributeKind::kFloats:
      return "floats";
    case AttributeKind::kStrings:
      return "strings";
    case AttributeKind::kTensor:
      return "tensor";
    case AttributeKind::kType:
      return "type";
    case AttributeKind::kGraph:
      return "graph";
  }
  return "?";
}

namespace {

constexpr int64_t kLargestPrintedTensor = 8;

std::string Quoted(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    if (c == '\n') {
      quoted += "\\n";
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

template <typename T, typename F>
std::string Listed(const std::vector<T>& values, F&& text_of) {
  std::vector<std::string> parts;
  parts.reserve(values.size());
  for (const T& value : values) parts.push_back(text_of(value));
  return "[" + Join(parts, ", ") + "]";
}

struct Printer {
  std::string operator()(int64_t value) const { return std::to_string(value); }
  std::string operator()(double value) const { return FormatNumber(value); }
  std::string operator()(const std::string& value) const { return Quoted(value); }
  std::string operator()(const std::vector<int64_t>& values) const {
    return Listed(values, [](int64_t v) { return std::to_string(v); });
  }
  std::string operator()(const std::vector<double>& values) const {
    return Listed(values, FormatNumber);
  }
  std::string operator()(const std::vector<std::string>& values) const {
    return Listed(values, Quoted);
  }
  std::string operator()(const Tensor& tensor) const {
    if (tensor.empty()) return "empty";
    std::string text = tensor.Describe();
    if (tensor.size() > kLargestPrintedTensor || !IsArithmetic(tensor.dtype())) return text;
    if (IsInteger(tensor.dtype()) || tensor.dtype() == DType::kBool) {
      return text + " " + (*this)(tensor.ToInts());
    }
    return text + " " + (*this)(tensor.ToDoubles());
  }
  std::string operator()(const Type& type) const { return type.ToString(); }
  std::string operator()(const std::shared_ptr<Graph>& graph) const {
    return graph ? "graph " + Quoted(graph->name()) : "no graph";
  }
};

struct Equality {
  template <typename A, typename B>
  bool operator()(const A&, const B&) const {
    return false;
  }
  template <typename T>
  bool operator()(const T& a, const T& b) const {
    return a == b;
  }
  // Bit by bit, so that NaN attributes are equal to themselves and 0 differs from -0.
  bool operator()(double a, double b) const { return std::memcmp(&a, &b, sizeof a) == 0; }
  bool operator()(const std::vector<double>& a, const std::vector<double>& b) const {
    return a.size() == b.size() &&
           (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0);
  }
  bool operator()(const Tensor& a, const Tensor& b) const {
    if (a.dtype() != b.dtype() || a.shape() != b.shape()) return false;
    return a.raw() == b.raw() || a.bytes() == 0 || std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
  }
};

}  // namespace

std::string ToString(const Attribute& attribute) {
  return std::visit(Printer(), attribute);
}

bool Equal(const Attribute& a, const Attribute& b) {
  return std::visit(Equality(), a, b);
}

}  // namespace ingot::ir
