// mixed_precision: products of a network multiply numbers of 16 bits and sum in f32; everything
// else stays f32.
//
//   y = Conv(x, w)      becomes      y = Conv(ingot.RoundTo(x), w.bf16)
//
// What is rounded are the factors of matrix products, convolutions, attention and recurrence and of
// their gradients. Sums inside of those ops, reductions, norms, softmax, losses and the optimizer
// see f32, and so do the parameters, whose rounded copies are inputs of their own: whoever updates
// a parameter rounds it too, once a step.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "ingot/ir/graph.h"
#include "ingot/ir/op.h"

namespace ingot::passes {

struct MixedPrecisionOptions {
  DType type = DType::kBf16;  // or kF16
  // Layers whose products stay f32, by the name that nodes carry; null: none.
  std::function<bool(const std::string& layer)> keeps_f32;
  // Parameters that get a rounded input; others are rounded where they are used. Null: none.
  std::function<bool(const std::string& parameter)> has_copy;
};

// "layers.0.weight" -> "layers.0.weight.bf16".
std::string CopyName(const std::string& parameter, DType type);

// Rounds in `body`: one shard's forward and backward computation. Returns the parameters whose
// copy, named CopyName, is an input of the body now.
std::vector<std::string> MixPrecision(ir::Graph& body, const ir::OpRegistry& registry,
                                      const MixedPrecisionOptions& options);

}  // namespace ingot::passes
