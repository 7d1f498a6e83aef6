// Layer: a named piece of a network with its own options, built as IR; and LayerRegistry.
//
// Each kind of layer is a file in layers/ with one OptionTable and one Build function, and a line
// in layers/standard_layers.cc. A program that links Ingot adds its own with registry.Add(...).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "ingot/base/config.h"
#include "ingot/base/options.h"
#include "ingot/ir/builder.h"
#include "ingot/ir/graph.h"
#include "ingot/nn/initializer.h"

namespace ingot::nn {

// A trained tensor of a network.
struct ParameterSpec {
  std::string name;  // "layers.0.weight"
  Shape shape;
  DType dtype = DType::kF32;
  Initializer initializer;
  Fans fans;
  std::string layer;  // "0 (dense 64)"
};

// The first value of a parameter for a job's seed.
Tensor InitialValue(const ParameterSpec& parameter, uint64_t seed);

// What a layer sees while it adds itself to a network's graph.
class LayerContext {
 public:
  // `prefix` names the layer's parameters: "layers.0". References must outlive the context.
  LayerContext(ir::Builder& builder, std::vector<ParameterSpec>& parameters, std::string prefix,
               std::string layer, int64_t stream, bool training, DType precision);

  ir::Builder& builder() { return builder_; }
  // Random layers do nothing where this is false.
  bool training() const { return training_; }
  DType precision() const { return precision_; }

  // A graph input of Role::kParameter of the network's precision, named PREFIX.NAME.
  ir::Value* AddParameter(const std::string& name, const Shape& shape,
                          const Initializer& initializer, Fans fans);
  // The graph's input "random_key" i64[3]: seed, step, index in the batch of row 0.
  ir::Value* RandomKey();
  // A number that tells the random numbers of this layer from those of others; stable.
  int64_t stream() const { return stream_; }

 private:
  ir::Builder& builder_;
  std::vector<ParameterSpec>& parameters_;
  std::string prefix_;
  std::string layer_;
  int64_t stream_;
  bool training_;
  DType precision_;
};

// A layer whose options have been read.
struct Layer {
  std::string description;  // "dense 64"
  ConfigNode resolved;      // {dense: {units: 64, activation: relu, ...}}, every option written out
  // Adds nodes after `input` [batch, ...] and returns the layer's output [batch, ...]. Throws
  // Error(kInvalidInput) saying what it takes where the input does not fit.
  std::function<ir::Value*(LayerContext& context, ir::Value* input)> build;
};

struct LayerKind {
  std::string name;
  std::string summary;
  std::function<std::vector<OptionHelp>()> help;
  std::function<Layer(const ConfigNode& options)> read;
};

// A kind from its option table, which must outlive it.
template <typename Options>
LayerKind DefineLayer(const OptionTable<Options>& table, std::string (*describe)(const Options&),
                      ir::Value* (*build)(const Options&, LayerContext&, ir::Value*)) {
  LayerKind kind;
  kind.name = table.name();
  kind.summary = table.summary();
  kind.help = [&table] { return table.Help(table.name()); };
  kind.read = [&table, describe, build](const ConfigNode& node) {
    const Options options = table.Read(node);
    Layer layer;
    layer.description = describe(options);
    layer.resolved = ConfigNode::Map({{table.name(), table.Write(options)}});
    layer.build = [options, build](LayerContext& context, ir::Value* input) {
      return build(options, context, input);
    };
    return layer;
  };
  return kind;
}

class LayerRegistry {
 public:
  // Throws Error(kInvalidInput) where the name is taken.
  void Add(LayerKind kind);
  const LayerKind* Find(const std::string& name) const;  // null where unknown
  std::vector<std::string> Names() const;
  // Reads `- flatten`, `- dense: 64` or `- dense: {units: 64}`. Throws Error(kInvalidInput) at the
  // place of the fault, with the nearest name for an unknown layer.
  Layer Read(const ConfigNode& node) const;

 private:
  std::map<std::string, LayerKind> kinds_;
};

// dense, flatten, reshape, dropout and the activations.
const LayerRegistry& StandardLayers();

}  // namespace ingot::nn
