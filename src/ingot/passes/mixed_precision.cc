// Rounding in front of products: see mixed_precision.h.
#include "ingot/passes/mixed_precision.h"

#include <array>
#include <map>

#include "ingot/passes/eliminate_dead_code.h"
#include "ingot/passes/rewrite.h"

namespace ingot::passes {
namespace {

using ir::Node;
using ir::Value;

// The inputs that an op multiplies with each other; null for ops that stay f32.
const std::vector<size_t>* FactorsOf(const Node& node) {
  static const std::map<std::string, std::vector<size_t>, std::less<>> table = {
      {"MatMul", {0, 1}},
      {"Gemm", {0, 1}},
      {"Einsum", {0, 1}},
      {"Conv", {0, 1}},
      {"ConvTranspose", {0, 1}},
      {"ingot.ConvInputGradient", {0, 1}},
      {"ingot.ConvWeightGradient", {0, 1}},
      {"Attention", {0, 1, 2}},
      {"ingot.AttentionGradient", {0, 1, 2, 5}},
      {"LSTM", {0, 1, 2}},
      {"GRU", {0, 1, 2}},
      {"RNN", {0, 1, 2}},
      {"ingot.RecurrentGradient", {0, 1, 2}},
  };
  const auto found = table.find(node.op().FullName());
  return found == table.end() ? nullptr : &found->second;
}

// Ops that only move the elements of their first input: rounding before them is rounding after.
bool OnlyMoves(const Node* node) {
  static constexpr std::array kOps = {"Transpose", "Reshape", "ingot.ReshapeLike",
                                      "Flatten",   "Squeeze", "Unsqueeze"};
  for (const char* op : kOps) {
    if (Is(node, op)) return true;
  }
  return false;
}

class Rounder {
 public:
  Rounder(ir::Graph& body, const ir::OpRegistry& registry, const MixedPrecisionOptions& options)
      : body_(body), registry_(registry), options_(options) {}

  std::vector<std::string> Run() {
    for (Node* node : body_.nodes()) {
      const std::vector<size_t>* factors = FactorsOf(*node);
      if (factors == nullptr) continue;
      if (options_.keeps_f32 && options_.keeps_f32(node->layer())) continue;
      for (const size_t i : *factors) {
        Value* factor = node->input(i);
        if (factor == nullptr || factor->type().dtype() != DType::kF32) continue;
        node->SetInput(i, Rounded(factor, node));
      }
    }
    EliminateDeadCode(body_);
    return std::move(copies_);
  }

 private:
  // The rounded value, made before `user` where it is asked for the first time: users come in the
  // order of the graph.
  Value* Rounded(Value* value, Node* user) {
    Value*& rounded = rounded_[value];
    if (rounded != nullptr) return rounded;
    if (value->producer() == nullptr && value->role() == ir::Role::kParameter &&
        options_.has_copy && options_.has_copy(value->name())) {
      copies_.push_back(value->name());
      rounded = body_.AddInput(CopyName(value->name(), options_.type), value->type(),
                               ir::Role::kParameter);
      return rounded;
    }
    if (OnlyMoves(value->producer())) {
      const Node& move = *value->producer();
      std::vector<Value*> inputs(move.inputs().begin(), move.inputs().end());
      inputs[0] = Rounded(inputs[0], user);
      ir::Builder builder = BuilderBefore(user, registry_);
      builder.set_layer(move.layer());
      // The map may have moved its elements.
      return rounded_[value] =
                 builder.Op(move.op().FullName(), std::move(inputs), move.attributes());
    }
    ir::Builder builder = BuilderBefore(user, registry_);
    if (value->producer() != nullptr) builder.set_layer(value->producer()->layer());
    rounded = builder.Op("ingot.RoundTo", {value}, {{"to", static_cast<int64_t>(options_.type)}});
    return rounded;
  }

  ir::Graph& body_;
  const ir::OpRegistry& registry_;
  const MixedPrecisionOptions& options_;
  std::map<const Value*, Value*> rounded_;
  std::vector<std::string> copies_;
};

}  // namespace

std::string CopyName(const std::string& parameter, DType type) {
  return parameter + "." + std::string(Name(type));
}

std::vector<std::string> MixPrecision(ir::Graph& body, const ir::OpRegistry& registry,
                                      const MixedPrecisionOptions& options) {
  return Rounder(body, registry, options).Run();
}

}  // namespace ingot::passes
