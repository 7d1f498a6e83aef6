// Names of epilogues.
#include "backends/cpu/epilogue_names.h"

#include <map>
#include <string>

#include "ingot/ir/op.h"

namespace ingot::cpu {

bool FindEpilogue(const ir::Node& node, Epilogue& epilogue) {
  using Kind = Epilogue::Kind;
  static const std::map<std::string, Kind, std::less<>> kinds = {
      {"none", Kind::kNone},
      {"relu", Kind::kRelu},
      {"leaky_relu", Kind::kLeakyRelu},
      {"elu", Kind::kElu},
      {"sigmoid", Kind::kSigmoid},
      {"tanh", Kind::kTanh},
      {"gelu", Kind::kGelu},
      {"gelu_tanh", Kind::kGeluTanh},
      {"relu_gradient", Kind::kReluGradient},
      {"clip", Kind::kClip},
      {"silu", Kind::kSilu},
      {"hard_swish", Kind::kHardSwish},
      {"hard_sigmoid", Kind::kHardSigmoid},
  };
  const auto entry = kinds.find(node.GetString("epilogue"));
  if (entry == kinds.end()) return false;
  epilogue.kind = entry->second;
  epilogue.alpha = static_cast<float>(node.GetFloat("alpha"));
  if (node.op().FindAttribute("beta") != nullptr) {
    epilogue.beta = static_cast<float>(node.GetFloat("beta"));
  }
  return true;
}

}  // namespace ingot::cpu
