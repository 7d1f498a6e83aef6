// The passes over what one shard computes.
#include "ingot/compiler/shard_body.h"

#include <string>

#include "ingot/compiler/separate_outputs.h"
#include "ingot/passes/canonicalize.h"
#include "ingot/passes/channels_last.h"
#include "ingot/passes/eliminate_dead_code.h"
#include "ingot/passes/fold_constants.h"
#include "ingot/passes/fuse_elementwise.h"
#include "ingot/passes/fuse_matmul.h"
#include "ingot/passes/lower_conv_transpose.h"
#include "ingot/passes/merge_common_subexpressions.h"
#include "ingot/passes/recompute_activations.h"
#include "ingot/passes/resolve_like.h"

namespace ingot::compiler {
namespace {

// The symbol of the body's rows: the first extent of its first sharded input.
std::string BatchSymbol(const ir::Graph& body) {
  const ir::Dimension& rows = body.inputs().at(0)->type().dim(0);
  return rows.symbol();
}

}  // namespace

ShardBody MakeShardBody(const ir::Graph& original, int64_t rows, const ir::OpRegistry& registry,
                        passes::PassRunner& passes, int recompute_segments) {
  ShardBody body;
  body.rows = rows;
  body.graph = ir::Specialize(original, {{BatchSymbol(original), rows}});
  ir::Graph& graph = *body.graph;
  passes.Run("resolve_like", graph, [&](ir::Graph& g) { passes::ResolveLike(g, registry); });
  passes.Run("lower_conv_transpose", graph,
             [&](ir::Graph& g) { passes::LowerConvTranspose(g, registry); });
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
  if (recompute_segments > 1) {
    passes.Run("recompute_activations", graph, [&](ir::Graph& g) {
      passes::RecomputeActivations(g, "loss_sum", recompute_segments);
    });
    passes.Run("eliminate_dead_code", graph, [&](ir::Graph& g) { passes::EliminateDeadCode(g); });
  }
  SeparateOutputs(graph, registry);
  passes::MemoryPlanOptions options;
  options.placed_outside.insert(graph.outputs().begin(), graph.outputs().end());
  body.plan = passes::PlanMemory(graph, options);
  return body;
}

}  // namespace ingot::compiler
