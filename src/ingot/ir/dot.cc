// The Graphviz writer.
#include "ingot/ir/dot.h"

#include "ingot/base/text.h"
#include "ingot/ir/op.h"
#include "ingot/ir/printer.h"

namespace ingot::ir {

namespace {

constexpr size_t kLongestLine = 60;

// Text inside a double-quoted DOT string. '\n' becomes DOT's line break.
std::string Escape(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '\n') {
      escaped += "\\n";
    } else if (c == '"' || c == '\\') {
      escaped += '\\';
      escaped += c;
    } else if (static_cast<unsigned char>(c) >= 0x20) {
      escaped += c;
    } else {
      escaped += ' ';
    }
  }
  return escaped;
}

std::string Quote(const std::string& text) {
  return "\"" + Escape(text) + "\"";
}

// Cuts long texts at a character boundary of UTF-8.
std::string Shorten(std::string text) {
  if (text.size() <= kLongestLine) return text;
  size_t cut = kLongestLine;
  while (cut > 0 && (static_cast<unsigned char>(text[cut]) & 0xc0u) == 0x80u) --cut;
  text.resize(cut);
  return text + "...";
}

const Tensor* SmallConstant(const Value* value) {
  if (value == nullptr || value->producer() == nullptr) return nullptr;
  const Node& node = *value->producer();
  if (node.op().FullName() != "Constant") return nullptr;
  const auto found = node.attributes().find("value");
  if (found == node.attributes().end()) return nullptr;
  const Tensor* tensor = std::get_if<Tensor>(&found->second);
  return tensor != nullptr && tensor->size() == 1 ? tensor : nullptr;
}

class DotWriter {
 public:
  std::string Write(const Graph& graph) {
    text_ = "digraph " + Quote(graph.name()) + " {\n";
    text_ += "  node [fontname=\"Helvetica\", fontsize=11];\n";
    text_ += "  edge [fontname=\"Helvetica\", fontsize=9];\n";
    WriteGraph(graph, "g", "  ");
    return text_ + "}\n";
  }

 private:
  // `prefix` makes the ids of a subgraph's values and nodes unique.
  void WriteGraph(const Graph& graph, const std::string& prefix, const std::string& indent) {
    for (const Value* input : graph.inputs()) {
      const std::string role = input->role() == Role::kData ? "" : std::string(Name(input->role()));
      Line(indent, Quote(Id(prefix, input)) + " [shape=ellipse, label=" +
                       Quote(input->name() + "\n" + input->type().ToString() +
                             (role.empty() ? "" : "\n" + role)) +
                       "];");
    }
    int number = 0;
    for (const Node* node : graph.nodes()) {
      if (node->outputs().empty()) continue;  // it can have no effect
      if (SmallConstant(node->output()) != nullptr && !node->output()->is_graph_output()) continue;
      const std::string id = Id(prefix, node->output());
      Line(indent, Quote(id) + " [shape=box, label=" + Quote(Label(*node)) + "];");
      for (const Value* input : node->inputs()) {
        if (input != nullptr && SmallConstant(input) == nullptr)
          WriteEdge(prefix, input, id, indent);
        if (SmallConstant(input) != nullptr && input->is_graph_output()) {
          WriteEdge(prefix, input, id, indent);
        }
      }
      WriteBodies(*node, prefix + "_" + std::to_string(number++), id, indent);
    }
    for (size_t i = 0; i < graph.outputs().size(); ++i) {
      const std::string id = prefix + "_out" + std::to_string(i);
      Line(indent, Quote(id) + " [shape=ellipse, style=bold, label=" +
                       Quote(graph.output_names()[i]) + "];");
      WriteEdge(prefix, graph.outputs()[i], id, indent);
    }
  }

  void WriteBodies(const Node& node, const std::string& prefix, const std::string& id,
                   const std::string& indent) {
    for (const auto& entry : node.attributes()) {
      const auto* body = std::get_if<std::shared_ptr<Graph>>(&entry.second);
      if (body == nullptr || *body == nullptr) continue;
      const std::string inner = prefix + "_" + entry.first;
      Line(indent, "subgraph " + Quote("cluster_" + inner) + " {");
      Line(indent + "  ", "label=" + Quote(node.op().FullName() + " " + entry.first) + ";");
      WriteGraph(**body, inner, indent + "  ");
      Line(indent, "}");
      // A dashed line from the node to its body, so that the cluster is drawn beside it.
      if (!(*body)->outputs().empty()) {
        Line(indent,
             Quote(inner + "_out0") + " -> " + Quote(id) + " [style=dashed, arrowhead=none];");
      }
    }
  }

  void WriteEdge(const std::string& prefix, const Value* from, const std::string& to,
                 const std::string& indent) {
    Line(indent, Quote(Id(prefix, from)) + " -> " + Quote(to) +
                     " [label=" + Quote(from->type().ToString()) + "];");
  }

  static std::string Label(const Node& node) {
    std::string label = node.op().FullName();
    if (!node.name().empty()) label += " " + node.name();
    for (size_t i = 0; i < node.inputs().size(); ++i) {
      if (const Tensor* tensor = SmallConstant(node.input(i))) {
        label += "\n" + std::string("input ") + std::to_string(i) + " = " +
                 FormatNumber(tensor->ToDoubles()[0]);
      }
    }
    for (const auto& entry : node.attributes()) {
      if (std::holds_alternative<std::shared_ptr<Graph>>(entry.second)) continue;
      label += "\n" + Shorten(entry.first + "=" + ToString(entry.second));
    }
    if (!node.layer().empty()) label += "\nlayer " + node.layer();
    return label;
  }

  // All outputs of a node are drawn as the node; graph inputs as themselves.
  static std::string Id(const std::string& prefix, const Value* value) {
    if (value->producer() == nullptr) return prefix + "_in" + std::to_string(value->id());
    return prefix + "_n" + std::to_string(value->producer()->output()->id());
  }

  void Line(const std::string& indent, const std::string& line) { text_ += indent + line + "\n"; }

  std::string text_;
};

}  // namespace

std::string ToDot(const Graph& graph) {
  return DotWriter().Write(graph);
}

}  // namespace ingot::ir
