// The text printer.
#include "ingot/ir/printer.h"

#include <algorithm>
#include <cctype>

#include "ingot/base/text.h"
#include "ingot/ir/op.h"

namespace ingot::ir {

const char* Name(Role role) {
  switch (role) {
    case Role::kData:
      return "data";
    case Role::kParameter:
      return "parameter";
    case Role::kState:
      return "state";
    case Role::kScalar:
      return "scalar";
  }
  return "?";
}

namespace {

// A name that is only digits would read as a value's number.
bool IsPlainName(const std::string& name) {
  const auto plain = [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == '.' || c == '/' || c == '-';
  };
  return std::all_of(name.begin(), name.end(), plain) &&
         !std::all_of(name.begin(), name.end(), [](unsigned char c) { return std::isdigit(c); });
}

class TextPrinter {
 public:
  explicit TextPrinter(const Graph& graph) : graph_(graph) {
    for (const Value* input : graph.inputs()) ++count_[input->name()];
    for (const Node* node : graph.nodes()) {
      for (const Value* output : node->outputs()) ++count_[output->name()];
    }
  }

  std::string PrintGraph(const std::string& indent) const {
    std::string text = "graph \"" + graph_.name() + "\" {\n";
    const std::string inner = indent + "  ";
    for (const Value* input : graph_.inputs()) {
      text += inner + "input " + Typed(input);
      if (input->role() != Role::kData) text += "  (" + std::string(Name(input->role())) + ")";
      text += "\n";
    }
    for (const Node* node : graph_.nodes()) {
      text += inner + PrintNode(*node) + "\n";
      for (const auto& entry : node->attributes()) {
        const auto* body = std::get_if<std::shared_ptr<Graph>>(&entry.second);
        if (body == nullptr || *body == nullptr) continue;
        text += inner + "  " + entry.first + " = " + TextPrinter(**body).PrintGraph(inner + "  ");
      }
    }
    for (size_t i = 0; i < graph_.outputs().size(); ++i) {
      text += inner + "output " + graph_.output_names()[i] + " = " + Ref(graph_.outputs()[i]);
      const auto alias = graph_.aliases().find(i);
      if (alias != graph_.aliases().end()) text += "  (replaces " + Ref(alias->second) + ")";
      text += "\n";
    }
    return text + indent + "}\n";
  }

  std::string PrintNode(const Node& node) const {
    std::vector<std::string> outputs, inputs, attributes;
    for (const Value* output : node.outputs()) outputs.push_back(Typed(output));
    for (const Value* input : node.inputs()) inputs.push_back(Ref(input));
    for (const auto& entry : node.attributes()) {
      attributes.push_back(entry.first + "=" + ToString(entry.second));
    }
    std::string text =
        Join(outputs, ", ") + " = " + node.op().FullName() + "(" + Join(inputs, ", ") + ")";
    if (!attributes.empty()) text += " {" + Join(attributes, ", ") + "}";
    std::vector<std::string> remarks;
    if (!node.name().empty()) remarks.push_back(node.name());
    if (!node.layer().empty()) remarks.push_back("layer " + node.layer());
    if (!remarks.empty()) text += "  # " + Join(remarks, ", ");
    return text;
  }

 private:
  std::string Ref(const Value* value) const {
    if (value == nullptr) return "_";
    const std::string& name = value->name();
    const auto found = count_.find(name);
    const bool by_name =
        !name.empty() && found != count_.end() && found->second == 1 && IsPlainName(name);
    return "%" + (by_name ? name : std::to_string(value->id()));
  }

  std::string Typed(const Value* value) const {
    return Ref(value) + ": " + value->type().ToString();
  }

  const Graph& graph_;
  std::map<std::string, int> count_;
};

}  // namespace

std::string Print(const Graph& graph) {
  return TextPrinter(graph).PrintGraph("");
}

std::string Print(const Node& node) {
  return TextPrinter(*node.graph()).PrintNode(node);
}

}  // namespace ingot::ir
