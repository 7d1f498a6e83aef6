// The list of layers.
#include "ingot/nn/layers/embed_columns.h"
#include "ingot/nn/layers/layers.h"

namespace ingot::nn {

const LayerRegistry& StandardLayers() {
  static const LayerRegistry registry = [] {
    LayerRegistry layers;
    layers.Add(OnnxLayer());
    layers.Add(SequenceLayer());
    layers.Add(BlockLayer());
    layers.Add(RepeatLayer());
    layers.Add(ResidualLayer());
    layers.Add(BranchLayer());
    layers.Add(DenseLayer());
    layers.Add(FlattenLayer());
    layers.Add(ReshapeLayer());
    layers.Add(DropoutLayer());
    layers.Add(PReluLayer());
    layers.Add(EmbedColumnsLayer());
    layers.Add(EmbeddingLayer());
    layers.Add(PositionEmbeddingLayer());
    layers.Add(TiedDenseLayer());
    layers.Add(SelectLayer());
    layers.Add(ReduceLayer());
    layers.Add(PatchifyLayer());
    layers.Add(PadLayer());
    layers.Add(FeedForwardLayer());
    layers.Add(SwigluLayer());
    layers.Add(ConvLayer());
    layers.Add(ConvTransposeLayer());
    layers.Add(ResizeLayer());
    layers.Add(BatchNormLayer());
    for (LayerKind& kind : SampleNormLayers()) layers.Add(std::move(kind));
    for (LayerKind& kind : PoolingLayers()) layers.Add(std::move(kind));
    layers.Add(AttentionLayer());
    layers.Add(TransformerBlockLayer());
    for (LayerKind& kind : RecurrentLayers()) layers.Add(std::move(kind));
    for (LayerKind& kind : LastAxisNormLayers()) layers.Add(std::move(kind));
    for (LayerKind& kind : ActivationLayers()) layers.Add(std::move(kind));
    return layers;
  }();
  return registry;
}

}  // namespace ingot::nn
