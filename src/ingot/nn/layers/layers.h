// The layers that Ingot has, one function each, defined in the file of its name.
#pragma once

#include <string>
#include <vector>

#include "ingot/ir/builder.h"
#include "ingot/nn/layer.h"

namespace ingot::nn {

// Layers of layers: several as one, again and again, with a way around them, side by side.
LayerKind OnnxLayer();
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
// A rectifier with trained slopes: "slope" [C, 1, 1] for pictures, [n] for vectors and sequences.
LayerKind PReluLayer();

// Tokens [batch, ...] -> vectors [batch, ..., width]; "weight" [vocabulary, width].
LayerKind EmbeddingLayer();
// x [batch, T, width] + "weight" [T, width].
LayerKind PositionEmbeddingLayer();
// x [batch, ..., width] -> [batch, ..., vocabulary] by the transposed table of an embedding.
LayerKind TiedDenseLayer();
// One place of an axis; sum, mean or largest along an axis: the axis is gone then.
LayerKind SelectLayer();
LayerKind ReduceLayer();
// [batch, C, H, W] -> [batch, patches, C * size * size].
LayerKind PatchifyLayer();
// Zeros around the last axes.
LayerKind PadLayer();
// x [batch, ..., n] -> the same shape; "up.weight" [n, hidden], "down.weight" [hidden, n], their
// biases; "gate.weight" [n, hidden] of swiglu.
LayerKind FeedForwardLayer();
LayerKind SwigluLayer();

// x [batch, C, spatial...] -> [batch, filters, spatial'...]; "weight" [filters, C / groups,
// kernel...], "bias" [filters].
LayerKind ConvLayer();
// x [batch, C, spatial...] -> [batch, filters, spatial'...]; "weight" [C, filters / groups,
// kernel...], "bias" [filters].
LayerKind ConvTransposeLayer();
// [batch, C, spatial...] -> [batch, C, spatial'...].
LayerKind ResizeLayer();
// max_pool, average_pool: [batch, C, spatial...] -> [batch, C, spatial'...];
// global_average_pool: -> [batch, C].
std::vector<LayerKind> PoolingLayers();
// x [batch, T, width] -> the same shape; "qkv.weight" [width, width + 2 * kv_heads * width / heads]
// (queries, keys, values; in each the heads one after another), "output.weight" [width, width].
LayerKind AttentionLayer();
// The same shape; "norm_1.scale", "attention.qkv.weight", "feed_forward.up.weight", ...
LayerKind TransformerBlockLayer();
// lstm, gru: x [batch, T, n] -> [batch, D * units] or [batch, T, D * units], with D directions;
// "input_weight" [D, G * units, n], "state_weight" [D, G * units, units], "bias" [D, 2 * G * units]
// as ONNX has them: gates i, o, f, c of an LSTM, z, r, h of a GRU, whose reset gate is applied
// after the product.
std::vector<LayerKind> RecurrentLayers();
// [batch, C, ...]: the same shape; "scale", "bias", "running_mean" and "running_var" [C].
LayerKind BatchNormLayer();
// group_norm, instance_norm: [batch, C, places...], the same shape; "scale" and "bias" [C].
std::vector<LayerKind> SampleNormLayers();
// layer_norm, rms_norm: the same shape; "scale" and "bias" [n] of the last axis.
std::vector<LayerKind> LastAxisNormLayers();

// relu, sigmoid, tanh, gelu, gelu_tanh, swish, hard_swish, mish, softplus, leaky_relu, elu,
// softmax, log_softmax.
std::vector<LayerKind> ActivationLayers();

// The activations by name with their default options, and "none", for the option `activation` of
// other layers.
std::vector<std::string> ActivationNames();
ir::Value* ApplyActivation(ir::Builder& builder, const std::string& name, ir::Value* x);

}  // namespace ingot::nn
