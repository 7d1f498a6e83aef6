// Muon: momentum of matrices, made orthogonal; AdamW for everything else.
#include "ingot/nn/optimizer_kind.h"
#include "ingot/nn/optimizers/optimizers.h"
#include "ingot/nn/parameter_pattern.h"

namespace ingot::nn {
namespace {

struct MuonOptions : CommonOptimizerOptions {
  MuonOptions() { weight_decay = 0.1; }
  double momentum = 0.95;
  bool nesterov = true;
  std::vector<std::string> adamw;  // patterns of parameters
  double beta1 = 0.9;
  double beta2 = 0.95;
  double epsilon = 1e-8;
};

const OptionTable<MuonOptions>& MuonTable() {
  static const auto table =
      CommonOptimizerTable<MuonOptions>(
          "muon", "Muon for matrices (Jordan et al. 2024), AdamW for all else", true)
          .Add("momentum", &MuonOptions::momentum, "share of the momentum that is kept",
               Between(0, kLargestDecay))
          .Add("nesterov", &MuonOptions::nesterov, "look ahead")
          .Add("adamw", &MuonOptions::adamw,
               "patterns of matrices that AdamW changes too, such as tables of embeddings and the "
               "last layer: \"tokens.*\"")
          .Add("beta1", &MuonOptions::beta1, "AdamW's decay of the first moment",
               Between(0, kLargestDecay))
          .Add("beta2", &MuonOptions::beta2, "AdamW's decay of the second moment",
               Between(0, kLargestDecay))
          .Add("epsilon", &MuonOptions::epsilon, "AdamW's, added to the root of the second moment",
               AtLeast(0));
  return table;
}

void MakeMuon(const MuonOptions& options, const ConfigNode& /*node*/, OptimizerOptions& result) {
  result.op = "ingot.Sgd";
  result.decoupled = true;
  result.states = {{"momentum"}};
  result.direction = [options](ir::Builder& builder, const UpdateInputs& inputs, double /*decay*/) {
    const std::vector<ir::Value*> made =
        builder.Ops("ingot.OrthogonalMomentum", {inputs.gradient, inputs.state[0]}, 2,
                    {{"momentum", options.momentum}, {"nesterov", int64_t{options.nesterov}}});
    return Direction{made[0], {made[1]}};
  };
  result.takes = [options](const ParameterSpec& parameter) {
    if (parameter.shape.rank() < 2) return false;
    for (const std::string& pattern : options.adamw) {
      if (MatchesPattern(pattern, parameter.name)) return false;
    }
    return true;
  };
  OptimizerOptions others = result;
  others.op = "ingot.Adam";
  others.direction = nullptr;
  others.takes = nullptr;
  others.counts_steps = true;
  others.states = {{"m"}, {"v"}};
  others.attributes = {
      {"beta1", options.beta1}, {"beta2", options.beta2}, {"epsilon", options.epsilon}};
  result.others = std::make_shared<const OptimizerOptions>(std::move(others));
  result.counts_steps = true;  // the step's number is there for AdamW
}

}  // namespace

OptimizerKind MuonOptimizer() {
  return DefineOptimizer(MuonTable(), MakeMuon);
}

}  // namespace ingot::nn
