// The counts of flops.h.
#include "ingot/compiler/flops.h"

#include <string>

namespace ingot::compiler {

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

double FlopsOf(const ir::Node& node) {
  const std::string& op = node.op_type();
  if (op == "MatMul" || op == "Gemm" || op == "FusedMatMul" || op == "QuantizedMatMul") {
    return ProductFlops(node);
  }
  if (op == "Conv" || op == "FusedConv" || op == "QuantizedConv") {
    return ConvolutionFlops(node, node.output(), node.input(1));
  }
  if (op == "ConvInputGradient") return ConvolutionFlops(node, node.input(0), node.input(1));
  if (op == "ConvWeightGradient") return ConvolutionFlops(node, node.input(1), node.output());
  if (op == "Attention" || op == "AttentionGradient") return AttentionFlops(node);
  return 0;
}

double CountFlops(const ir::Graph& graph) {
  double flops = 0;
  for (const ir::Node* node : graph.nodes()) flops += FlopsOf(*node);
  return flops;
}

}  // namespace ingot::compiler
