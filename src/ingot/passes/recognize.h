// What exporters spell out in several ops becomes the one op that it means.
#pragma once

#include "ingot/ir/graph.h"
#include "ingot/ir/op.h"

namespace ingot::passes {

// x * sigmoid(x) -> Swish; x * HardSigmoid(x, 1/6, 1/2) -> HardSwish;
// x * (1 + erf(x / sqrt(2))) / 2 in any order -> Gelu;
// (x - mean) / sqrt(mean of its squares + epsilon) * scale [+ bias] over the last axis ->
// LayerNormalization, and the same without the mean -> RMSNormalization, with any of Pow, Mul,
// Sqrt, Div and Reciprocal for the parts.
void Recognize(ir::Graph& graph, const ir::OpRegistry& registry);

// The two halves, by family.
void RecognizeActivations(ir::Graph& graph, const ir::OpRegistry& registry);
void RecognizeNormalizations(ir::Graph& graph, const ir::OpRegistry& registry);

}  // namespace ingot::passes
