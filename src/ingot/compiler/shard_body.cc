// The passes over what one shard computes.
#include "ingot/compiler/shard_body.h"

#include <set>
#include <string>

#include "ingot/ir/builder.h"
#include "ingot/passes/canonicalize.h"
#include "ingot/passes/channels_last.h"
#include "ingot/passes/eliminate_dead_code.h"
#include "ingot/passes/fold_constants.h"
#include "ingot/passes/fuse_elementwise.h"
#include "ingot/passes/fuse_matmul.h"
#include "ingot/passes/merge_common_subexpressions.h"
#include "ingot/passes/resolve_like.h"

namespace ingot::compiler {
namespace {

// The symbol of the body's rows: the first extent of its first sharded input.
std::string BatchSymbol(const ir::Graph& body) {
  const ir::Dimension& rows = body.inputs().at(0)->type().dim(0);
  return rows.symbol();
}

// An output that is an input or another output gets bytes of its own.
void SeparateOutputs(ir::Graph& body, const ir::OpRegistry& registry) {
  std::set<const ir::Value*> seen;
  for (size_t i = 0; i < body.outputs().size(); ++i) {
    ir::Value* value = body.outputs()[i];
    const bool constant =
        value->producer() != nullptr && value->producer()->op_type() == "Constant";
    if (seen.insert(value).second && value->producer() != nullptr && !constant) continue;
    ir::Builder builder(body, registry);
    body.SetOutput(i, builder.Op("Identity", {value}));
  }
}

}  // namespace

namespace {

double Elements(const ir::Value* value) {
  return static_cast<double>(value->type().shape().size());
}

// Of a convolution or one of its gradients: a multiply-add for each element of the output `y` and
// each weight of its channel.
double ConvolutionFlops(const ir::Node& node, const ir::Value* y, const ir::Value* weights) {
  const bool last = node.GetInt("channels_last", 0) != 0;
  const auto channels = static_cast<double>(y->type().dim(last ? -1 : 1).value());
  return 2 * Elements(y) * Elements(weights) / channels;
}

double ProductFlops(const ir::Node& node) {
  const std::string& op = node.op_type();
  const bool transposed = (op == "Gemm" && node.GetInt("transA") != 0) ||
                          (op == "FusedMatMul" && node.GetInt("trans_a") != 0);
  const auto inner = static_cast<double>(node.input(0)->type().dim(transposed ? -2 : -1).value());
  return 2 * inner * Elements(node.output());
}

// Q K^T and its product with V; a mask that hides the future leaves half of it. The gradient has
// five such products instead of two.
double AttentionFlops(const ir::Node& node) {
  const double keys =
      Elements(node.input(1)) / static_cast<double>(node.input(1)->type().dim(0).value() *
                                                    node.input(1)->type().dim(-1).value());
  const bool grouped = node.input(0)->type().rank() == 4;
  const double length = grouped ? static_cast<double>(node.input(1)->type().dim(2).value()) : keys;
  const double pair = 2 * Elements(node.input(0)) * length;
  const double products = node.op_type() == "Attention" ? 2 : 5;
  return pair * products * (node.GetInt("is_causal", 0) != 0 ? 0.5 : 1);
}

}  // namespace

double CountFlops(const ir::Graph& graph) {
  double flops = 0;
  for (const ir::Node* node : graph.nodes()) {
    const std::string& op = node->op_type();
    if (op == "MatMul" || op == "Gemm" || op == "FusedMatMul") flops += ProductFlops(*node);
    if (op == "Conv") flops += ConvolutionFlops(*node, node->output(), node->input(1));
    if (op == "ConvInputGradient") {
      flops += ConvolutionFlops(*node, node->input(0), node->input(1));
    }
    if (op == "ConvWeightGradient") {
      flops += ConvolutionFlops(*node, node->input(1), node->output());
    }
    if (op == "Attention" || op == "AttentionGradient") flops += AttentionFlops(*node);
  }
  return flops;
}

ShardBody MakeShardBody(const ir::Graph& original, int64_t rows, const ir::OpRegistry& registry,
                        passes::PassRunner& passes) {
  ShardBody body;
  body.rows = rows;
  body.graph = ir::Specialize(original, {{BatchSymbol(original), rows}});
  ir::Graph& graph = *body.graph;
  passes.Run("resolve_like", graph, [&](ir::Graph& g) { passes::ResolveLike(g, registry); });
  passes.Run("canonicalize", graph, [&](ir::Graph& g) { passes::Canonicalize(g, registry); });
  passes.Run("fold_constants", graph, [&](ir::Graph& g) { passes::FoldConstants(g, registry); });
  passes.Run("merge_common_subexpressions", graph,
             [&](ir::Graph& g) { passes::MergeCommonSubexpressions(g); });
  passes.Run("eliminate_dead_code", graph, [&](ir::Graph& g) { passes::EliminateDeadCode(g); });
  passes.Run("channels_last", graph, [&](ir::Graph& g) { passes::ChannelsLast(g, registry); });
  passes.Run("merge_common_subexpressions", graph,
             [&](ir::Graph& g) { passes::MergeCommonSubexpressions(g); });
  passes.Run("eliminate_dead_code", graph, [&](ir::Graph& g) { passes::EliminateDeadCode(g); });
  passes.Run("fuse_matmul", graph, [&](ir::Graph& g) { passes::FuseMatMul(g, registry); });
  passes.Run("fuse_elementwise", graph,
             [&](ir::Graph& g) { passes::FuseElementwise(g, registry); });
  passes.Run("eliminate_dead_code", graph, [&](ir::Graph& g) { passes::EliminateDeadCode(g); });
  SeparateOutputs(graph, registry);
  passes::MemoryPlanOptions options;
  options.placed_outside.insert(graph.outputs().begin(), graph.outputs().end());
  body.plan = passes::PlanMemory(graph, options);
  return body;
}

}  // namespace ingot::compiler
