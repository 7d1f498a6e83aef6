// Recognises activations.
#include "ingot/passes/activation_epilogue.h"

#include <limits>

#include "ingot/passes/rewrite.h"

namespace ingot::passes {

namespace {

// A bound of Clip: absent is none.
std::optional<double> Bound(const ir::Value* value, double none) {
  if (value == nullptr) return none;
  const Tensor* constant = ConstantOf(value);
  if (constant == nullptr || constant->size() != 1) return std::nullopt;
  return constant->ToDoubles()[0];
}

}  // namespace

std::optional<ActivationEpilogue> EpilogueOf(const ir::Node* node, const ir::Value* x) {
  if (node == nullptr || node->inputs().empty() || node->input(0) != x) return std::nullopt;
  if (Is(node, "Relu")) return ActivationEpilogue{"relu"};
  if (Is(node, "Sigmoid")) return ActivationEpilogue{"sigmoid"};
  if (Is(node, "Tanh")) return ActivationEpilogue{"tanh"};
  if (Is(node, "HardSwish")) return ActivationEpilogue{"hard_swish"};
  if (Is(node, "LeakyRelu")) return ActivationEpilogue{"leaky_relu", node->GetFloat("alpha")};
  if (Is(node, "Elu")) return ActivationEpilogue{"elu", node->GetFloat("alpha")};
  if (Is(node, "Gelu")) {
    return ActivationEpilogue{node->GetString("approximate") == "tanh" ? "gelu_tanh" : "gelu"};
  }
  if (Is(node, "Swish") && node->GetFloat("alpha") == 1) return ActivationEpilogue{"silu"};
  if (Is(node, "HardSigmoid")) {
    return ActivationEpilogue{"hard_sigmoid", node->GetFloat("alpha"), node->GetFloat("beta")};
  }
  if (Is(node, "Clip")) {
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    const auto low = Bound(node->input(1), -kInfinity), high = Bound(node->input(2), kInfinity);
    if (low && high) return ActivationEpilogue{"clip", *low, *high};
  }
  return std::nullopt;
}

}  // namespace ingot::passes
