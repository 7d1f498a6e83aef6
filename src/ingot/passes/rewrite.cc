// Helpers of the passes.
#include "ingot/passes/rewrite.h"

#include <algorithm>

namespace ingot::passes {

void ForEachGraph(ir::Graph& graph, const std::function<void(ir::Graph&)>& change) {
  for (ir::Node* node : graph.nodes()) {
    if (Is(node, "ingot.FusedElementwise")) continue;
    for (const auto& entry : node->attributes()) {
      const auto* body = std::get_if<std::shared_ptr<ir::Graph>>(&entry.second);
      if (body != nullptr && *body != nullptr) ForEachGraph(**body, change);
    }
  }
  change(graph);
}

bool Is(const ir::Node* node, std::string_view full_name) {
  if (node == nullptr) return false;
  const std::string& domain = node->domain();
  if (domain.empty()) return node->op_type() == full_name;
  return full_name.size() == domain.size() + 1 + node->op_type().size() &&
         full_name.starts_with(domain) && full_name[domain.size()] == '.' &&
         full_name.ends_with(node->op_type());
}

ir::Node* OnlyUser(const ir::Value* value) {
  return value->uses().size() == 1 && !value->is_graph_output() ? value->uses()[0].node : nullptr;
}

const Tensor* ConstantOf(const ir::Value* value) {
  if (value == nullptr || !Is(value->producer(), "Constant")) return nullptr;
  const ir::Attributes& attributes = value->producer()->attributes();
  const auto found = attributes.find("value");
  return found == attributes.end() ? nullptr : std::get_if<Tensor>(&found->second);
}

bool IsFilledWith(const ir::Value* value, double number) {
  const Tensor* tensor = ConstantOf(value);
  if (tensor == nullptr || tensor->size() == 0 || !IsArithmetic(tensor->dtype())) return false;
  if (tensor->dtype() == DType::kComplex64 || tensor->dtype() == DType::kComplex128) return false;
  // Most are not: one look spares converting all of a large tensor.
  double first = 0;
  ConvertElements(tensor->raw(), tensor->dtype(), &first, DType::kF64, 1);
  if (first != number) return false;
  const std::vector<double> elements = tensor->ToDoubles();
  return std::all_of(elements.begin(), elements.end(),
                     [number](double element) { return element == number; });
}

bool SurelySameShape(const ir::Type& a, const ir::Type& b) {
  if (!a.is_tensor() || !b.is_tensor() || !a.has_rank() || !b.has_rank()) return false;
  if (a.rank() != b.rank()) return false;
  for (int i = 0; i < a.rank(); ++i) {
    if (!a.dim(i).SurelyEquals(b.dim(i))) return false;
  }
  return true;
}

bool MayBeEqual(const ir::Type& a, const ir::Type& b) {
  if (a.kind() != b.kind() || a.dtype() != b.dtype()) return false;
  if (!a.is_tensor()) return a == b;
  if (!a.has_rank() || !b.has_rank()) return true;
  if (a.rank() != b.rank()) return false;
  for (int i = 0; i < a.rank(); ++i) {
    if (a.dim(i).is_static() && b.dim(i).is_static() && a.dim(i) != b.dim(i)) return false;
  }
  return true;
}

ir::Builder BuilderBefore(ir::Node* node, const ir::OpRegistry& registry) {
  ir::Builder builder(*node->graph(), registry, node);
  builder.set_layer(node->layer());
  return builder;
}

void ReplaceNode(ir::Node* node, ir::Value* value) {
  ir::Graph& graph = *node->graph();
  if (value->name().empty()) value->set_name(node->output()->name());
  graph.ReplaceAllUses(node->output(), value);
  graph.RemoveNode(node);
}

bool MayBeReplacedBy(const ir::Node* node, const ir::Value* value) {
  if (!node->output()->is_graph_output()) return true;
  return value->producer() != nullptr && !value->is_graph_output() &&
         !Is(value->producer(), "Constant");
}

std::vector<int64_t> PermutationOf(const ir::Node& transpose) {
  if (const std::vector<int64_t>* perm = transpose.FindInts("perm"); perm && !perm->empty()) {
    return *perm;
  }
  std::vector<int64_t> reversed;
  for (int axis = transpose.input(0)->type().rank(); axis-- > 0;) reversed.push_back(axis);
  return reversed;
}

}  // namespace ingot::passes
