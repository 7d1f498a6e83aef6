// What fused ops do to a value before it is stored, by name: "none", "relu", "leaky_relu" (alpha),
// "elu" (alpha), "sigmoid", "tanh", "gelu", "gelu_tanh", "clip" (to [alpha, beta]), "silu",
// "hard_swish", "hard_sigmoid" (alpha, beta).
#pragma once

#include <string>
#include <vector>

namespace ingot::ops {

const std::vector<std::string>& EpilogueNames();
// Throws Error(kInvalidInput) for an unknown name.
double ApplyEpilogue(const std::string& name, double alpha, double beta, double x);

}  // namespace ingot::ops
