// See align_constants.h.
#include "ingot/passes/align_constants.h"

#include <algorithm>

#include "ingot/passes/rewrite.h"

namespace ingot::passes {
namespace {

// Whether all that use it pack it.
bool IsPacked(const ir::Value* value, const Tensor& tensor) {
  if (tensor.dtype() != DType::kF32 || value->is_graph_output()) return false;
  return std::all_of(value->uses().begin(), value->uses().end(), [&](const ir::Value::Use& use) {
    const bool is_matrix = tensor.shape().rank() == 2;
    return use.input == 1 && (Is(use.node, "Conv") ||
                              (is_matrix && (Is(use.node, "MatMul") || Is(use.node, "Gemm"))));
  });
}

}  // namespace

bool IsAligned(const Tensor& tensor) {
  const size_t item = std::max<size_t>(ItemSize(tensor.dtype()), 1);
  return reinterpret_cast<uintptr_t>(tensor.raw()) % item == 0;
}

void AlignConstants(ir::Graph& graph, AlignFor purpose) {
  ForEachGraph(graph, [&](ir::Graph& each) {
    for (ir::Node* node : each.nodes()) {
      const Tensor* tensor = node->outputs().empty() ? nullptr : ConstantOf(node->output());
      if (tensor == nullptr || IsAligned(*tensor)) continue;
      const bool stays =
          purpose == AlignFor::kPacking && &each == &graph && IsPacked(node->output(), *tensor);
      if (!stays) node->SetAttribute("value", tensor->Clone());
    }
  });
}

}  // namespace ingot::passes
