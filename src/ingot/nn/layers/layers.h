// The layers that Ingot has, one function each, defined in the file of its name.
#pragma once

#include <string>
#include <vector>

#include "ingot/ir/builder.h"
#include "ingot/nn/layer.h"

namespace ingot::nn {

// Layers of layers: several as one, again and again, with a way around them, side by side.
LayerKind SequenceLayer();
LayerKind BlockLayer();
LayerKind RepeatLayer();
LayerKind ResidualLayer();
LayerKind BranchLayer();

// x [batch, ..., in] -> activation(x W + b) [batch, ..., units]; W "weight" [in, units], b "bias"
// [units].
LayerKind DenseLayer();
// [batch, ...] -> [batch, n].
LayerKind FlattenLayer();
// [batch, ...] -> [batch, shape...], the same elements.
LayerKind ReshapeLayer();
// Zeroes elements at random while training, scaling the others by 1 / (1 - ratio).
LayerKind DropoutLayer();
// relu, sigmoid, tanh, gelu, leaky_relu, elu, softmax, log_softmax.
std::vector<LayerKind> ActivationLayers();

// The activations by name with their default options, and "none", for the option `activation` of
// other layers.
std::vector<std::string> ActivationNames();
ir::Value* ApplyActivation(ir::Builder& builder, const std::string& name, ir::Value* x);

}  // namespace ingot::nn
