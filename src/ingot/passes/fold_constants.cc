// Constant folding with the reference kernels.
#include "ingot/passes/fold_constants.h"

#include <algorithm>

#include "ingot/base/error.h"
#include "ingot/passes/rewrite.h"

namespace ingot::passes {

namespace {

using ir::Node;
using ir::Value;

bool HasSubgraph(const Node& node) {
  return std::any_of(node.attributes().begin(), node.attributes().end(), [](const auto& entry) {
    return std::holds_alternative<std::shared_ptr<ir::Graph>>(entry.second);
  });
}

bool IsStored(const ir::Type& type) {
  return type.is_static() && IsArithmetic(type.dtype());
}

bool CanFold(const Node& node, const FoldOptions& options) {
  if (!node.op().reference || node.op().never_merged || HasSubgraph(node)) return false;
  if (Is(&node, "Constant") || node.inputs().empty()) return false;
  size_t given = 0;
  for (const Value* input : node.inputs()) {
    if (input == nullptr) continue;
    const Tensor* constant = ConstantOf(input);
    if (constant == nullptr) return false;
    given += constant->bytes();
  }
  size_t made = 0;
  for (const Value* output : node.outputs()) {
    if (!IsStored(output->type())) return false;
    made += static_cast<size_t>(output->type().shape().size()) * ItemSize(output->type().dtype());
  }
  return made <= std::max(given, options.largest_result);
}

std::vector<Tensor> Evaluate(const Node& node) {
  std::vector<Tensor> inputs;
  std::vector<TensorView> input_views;
  for (const Value* input : node.inputs()) {
    inputs.push_back(input == nullptr ? Tensor() : *ConstantOf(input));
  }
  for (const Tensor& tensor : inputs) {
    input_views.push_back(tensor.empty() ? TensorView() : tensor.view());
  }
  std::vector<Tensor> outputs;
  for (const Value* output : node.outputs()) {
    outputs.emplace_back(output->type().dtype(), output->type().shape());
  }
  std::vector<TensorView> output_views;
  for (Tensor& tensor : outputs) output_views.push_back(tensor.view());
  try {
    node.op().reference({node, input_views, output_views});
  } catch (const Error& error) {
    throw error.In(node.Describe());
  }
  return outputs;
}

void Fold(Node* node, const ir::OpRegistry& registry) {
  std::vector<Tensor> results = Evaluate(*node);
  ir::Builder builder = BuilderBefore(node, registry);
  for (size_t i = 0; i < results.size(); ++i) {
    Value* constant = builder.Constant(std::move(results[i]));
    constant->set_name(node->output(i)->name());
    node->graph()->ReplaceAllUses(node->output(i), constant);
  }
  node->graph()->RemoveNode(node);
}

}  // namespace

void FoldConstants(ir::Graph& graph, const ir::OpRegistry& registry, const FoldOptions& options) {
  ForEachGraph(graph, [&](ir::Graph& each) {
    for (Node* node : each.nodes()) {
      if (CanFold(*node, options)) Fold(node, registry);
    }
  });
}

}  // namespace ingot::passes
