// Casts around the operands of products.
#include "ingot/infer/precision.h"

#include <algorithm>
#include <array>
#include <map>
#include <string_view>

#include "ingot/ir/builder.h"

namespace ingot::infer {
namespace {

constexpr std::array<std::string_view, 5> kProducts = {"MatMul", "Gemm", "Conv", "ConvTranspose",
                                                       "Einsum"};

bool IsProduct(const ir::Node& node) {
  return node.domain().empty() &&
         std::find(kProducts.begin(), kProducts.end(), node.op_type()) != kProducts.end();
}

// Of a bias, the third input, nothing is multiplied.
size_t Operands(const ir::Node& node) {
  return node.op_type() == "Einsum" ? node.inputs().size()
                                    : std::min<size_t>(2, node.inputs().size());
}

ir::Value* Rounded(ir::Builder& builder, ir::Value* value) {
  const ir::Attributes to_bf16 = {{"to", static_cast<int64_t>(DType::kBf16)}};
  const ir::Attributes to_f32 = {{"to", static_cast<int64_t>(DType::kF32)}};
  const ir::Node* producer = value->producer();
  if (producer != nullptr && producer->op_type() == "Constant" && producer->HasAttribute("value")) {
    return builder.Constant(producer->GetTensor("value").Cast(DType::kBf16).Cast(DType::kF32));
  }
  return builder.Op("Cast", {builder.Op("Cast", {value}, to_bf16)}, to_f32);
}

}  // namespace

void RoundProductsToBf16(ir::Graph& graph, const ir::OpRegistry& registry) {
  std::map<ir::Value*, ir::Value*> rounded;  // a value that several products take is rounded once
  for (ir::Node* node : graph.nodes()) {
    for (const auto& attribute : node->attributes()) {
      const auto* body = std::get_if<std::shared_ptr<ir::Graph>>(&attribute.second);
      if (body != nullptr) RoundProductsToBf16(**body, registry);
    }
    if (!IsProduct(*node)) continue;
    for (size_t i = 0; i < Operands(*node); ++i) {
      ir::Value* value = node->input(i);
      if (value == nullptr || value->type().dtype() != DType::kF32) continue;
      ir::Value*& replacement = rounded[value];
      if (replacement == nullptr) {
        ir::Builder builder(graph, registry, node);
        replacement = Rounded(builder, value);
      }
      node->SetInput(i, replacement);
    }
  }
}

}  // namespace ingot::infer
