// The order of the passes of inference.
#include "ingot/compiler/inference_passes.h"

#include "ingot/compiler/separate_outputs.h"
#include "ingot/passes/canonicalize.h"
#include "ingot/passes/channels_last.h"
#include "ingot/passes/eliminate_dead_code.h"
#include "ingot/passes/fold_batch_norm.h"
#include "ingot/passes/fold_constants.h"
#include "ingot/passes/fuse_attention.h"
#include "ingot/passes/fuse_byte_ops.h"
#include "ingot/passes/fuse_convolution.h"
#include "ingot/passes/fuse_elementwise.h"
#include "ingot/passes/fuse_matmul.h"
#include "ingot/passes/fuse_quantized.h"
#include "ingot/passes/lower_conv_transpose.h"
#include "ingot/passes/merge_common_subexpressions.h"
#include "ingot/passes/propagate_shapes.h"
#include "ingot/passes/recognize.h"

namespace ingot::compiler {

void PrepareForInference(ir::Graph& graph, const ir::OpRegistry& registry,
                         passes::PassRunner& passes) {
  passes.Run("fuse_quantized", graph, [&](ir::Graph& g) { passes::FuseQuantized(g, registry); });
  passes.Run("fuse_byte_ops", graph, [&](ir::Graph& g) { passes::FuseByteOps(g, registry); });
  passes.Run("fold_batch_norm", graph, [&](ir::Graph& g) { passes::FoldBatchNorm(g, registry); });
  passes.Run("eliminate_dead_code", graph, [](ir::Graph& g) { passes::EliminateDeadCode(g); });
}

void OptimizeForInference(ir::Graph& graph, const ir::OpRegistry& registry,
                          passes::PassRunner& passes) {
  const auto run = [&](const char* name, auto pass) { passes.Run(name, graph, pass); };
  const auto clean = [&] {
    run("merge_common_subexpressions", [](ir::Graph& g) { passes::MergeCommonSubexpressions(g); });
    run("eliminate_dead_code", [](ir::Graph& g) { passes::EliminateDeadCode(g); });
  };
  // Masks of attention, made of positions, are constants too.
  const passes::FoldOptions large = {.largest_result = size_t{1} << 20};
  run("propagate_shapes", [&](ir::Graph& g) { passes::PropagateShapes(g, registry, large); });
  run("canonicalize", [&](ir::Graph& g) { passes::Canonicalize(g, registry); });
  run("fold_constants", [&](ir::Graph& g) { passes::FoldConstants(g, registry); });
  clean();
  run("recognize", [&](ir::Graph& g) { passes::Recognize(g, registry); });
  run("eliminate_dead_code", [](ir::Graph& g) { passes::EliminateDeadCode(g); });
  run("fuse_attention", [&](ir::Graph& g) { passes::FuseAttention(g, registry); });
  run("fuse_convolution", [&](ir::Graph& g) { passes::FuseConvolution(g, registry); });
  run("eliminate_dead_code", [](ir::Graph& g) { passes::EliminateDeadCode(g); });
  run("lower_conv_transpose", [&](ir::Graph& g) { passes::LowerConvTranspose(g, registry); });
  run("channels_last", [&](ir::Graph& g) { passes::ChannelsLast(g, registry); });
  run("fold_constants", [&](ir::Graph& g) { passes::FoldConstants(g, registry); });
  clean();
  run("fuse_matmul", [&](ir::Graph& g) { passes::FuseMatMul(g, registry, {.stacked = true}); });
  run("fuse_elementwise", [&](ir::Graph& g) { passes::FuseElementwise(g, registry); });
  run("eliminate_dead_code", [](ir::Graph& g) { passes::EliminateDeadCode(g); });
  SeparateOutputs(graph, registry);
}

}  // namespace ingot::compiler
