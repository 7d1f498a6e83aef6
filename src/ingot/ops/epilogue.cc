// The formulas of the epilogues, in double.
#include "ingot/ops/epilogue.h"

#include <algorithm>
#include <cmath>

#include "ingot/base/error.h"
#include "ingot/base/text.h"

namespace ingot::ops {

const std::vector<std::string>& EpilogueNames() {
  static const std::vector<std::string> names = {"none",    "relu", "leaky_relu", "elu",
                                                 "sigmoid", "tanh", "gelu",       "gelu_tanh",
                                                 "clip",    "silu", "hard_swish", "hard_sigmoid"};
  return names;
}

double ApplyEpilogue(const std::string& name, double alpha, double beta, double x) {
  if (std::isnan(x)) return x;
  if (name == "none") return x;
  if (name == "relu") return x < 0 ? 0 : x;
  if (name == "leaky_relu") return x < 0 ? alpha * x : x;
  if (name == "elu") return x < 0 ? alpha * std::expm1(x) : x;
  if (name == "sigmoid") return 1 / (1 + std::exp(-x));
  if (name == "tanh") return std::tanh(x);
  if (name == "gelu") return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
  if (name == "gelu_tanh") {
    return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
  }
  if (name == "clip") return std::min(std::max(x, alpha), beta);
  if (name == "silu") return x / (1 + std::exp(-x));
  if (name == "hard_swish") return x * std::clamp(x / 6 + 0.5, 0.0, 1.0);
  if (name == "hard_sigmoid") return std::clamp(alpha * x + beta, 0.0, 1.0);
  throw Error(ErrorCode::kInvalidInput, "unknown epilogue '" + name + "'",
              DidYouMean(name, EpilogueNames()));
}

}  // namespace ingot::ops
