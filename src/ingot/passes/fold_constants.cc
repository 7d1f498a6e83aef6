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

bool AllConstant(const Node& node) {
  return !Is(&node, "Constant") && !node.inputs().empty() &&
         std::all_of(node.inputs().begin(), node.inputs().end(), [](const Value* input) {
           return input == nullptr || ConstantOf(input) != nullptr;
         });
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

void Replace(Node* node, std::vector<Tensor> results, const ir::OpRegistry& registry) {
  ir::Builder builder = BuilderBefore(node, registry);
  for (size_t i = 0; i < results.size(); ++i) {
    Value* constant = builder.Constant(std::move(results[i]));
    constant->set_name(node->output(i)->name());
    node->graph()->ReplaceAllUses(node->output(i), constant);
  }
  node->graph()->RemoveNode(node);
}

}  // namespace

bool FoldNode(Node* node, const ir::OpRegistry& registry, const FoldOptions& options) {
  if (CanFold(*node, options)) {
    Replace(node, Evaluate(*node), registry);
    return true;
  }
  // Extents that depend on values, as those of Range, are known once the values are.
  const ir::OpDefinition& op = node->op();
  const bool dynamic = op.dynamic_reference && !op.never_merged && !HasSubgraph(*node) &&
                       AllConstant(*node) && !node->output()->type().is_static();
  if (!dynamic) return false;
  std::vector<Tensor> inputs;
  for (const Value* input : node->inputs()) {
    inputs.push_back(input == nullptr ? Tensor() : *ConstantOf(input));
  }
  std::vector<Tensor> results;
  try {
    results = op.dynamic_reference(*node, inputs);
  } catch (const Error& error) {
    throw error.In(node->Describe());
  }
  size_t made = 0;
  for (const Tensor& result : results) {
    if (result.empty() || !IsArithmetic(result.dtype())) return false;
    made += result.bytes();
  }
  if (made > options.largest_result) return false;
  Replace(node, std::move(results), registry);
  return true;
}

void FoldShapeOf(Node* node, const ir::OpRegistry& registry) {
  const ir::Type& output = node->output()->type();
  const std::vector<int64_t> dims = node->input(0)->type().shape().dims();
  Tensor result(output.dtype(), output.shape());
  const TensorView input{nullptr, node->input(0)->type().dtype(), dims};
  const TensorView to = result.view();
  node->op().reference({*node, {&input, 1}, {&to, 1}});
  ir::Builder builder = BuilderBefore(node, registry);
  Value* constant = builder.Constant(std::move(result));
  constant->set_name(node->output()->name());
  node->graph()->ReplaceAllUses(node->output(), constant);
  node->graph()->RemoveNode(node);
}

void FoldConstants(ir::Graph& graph, const ir::OpRegistry& registry, const FoldOptions& options) {
  ForEachGraph(graph, [&](ir::Graph& each) {
    for (Node* node : each.nodes()) {
      if (CanFold(*node, options)) Replace(node, Evaluate(*node), registry);
    }
  });
}

}  // namespace ingot::passes
