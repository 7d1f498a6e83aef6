// Lowering: ops that few programs read, and steps of Ingot's own, as ops that all of them have.
#pragma once

#include "ingot/ir/graph.h"
#include "ingot/ir/op.h"

namespace ingot::onnx {

// The version of ONNX's ops that exported models use.
inline constexpr int64_t kExportOpset = 21;

// Attention, RMSNormalization, RotaryEmbedding and recurrent ops with the batch first become ops of
// opset 21 that ONNX Runtime and OpenVINO have. Throws Error(kUnsupported) that lists what has no
// such form (steps of training).
void LowerForExport(ir::Graph& graph, const ir::OpRegistry& registry);

}  // namespace ingot::onnx
