// Layer: a named piece of a network with its own options, built as IR; and LayerRegistry.
//
// Each kind of layer is a file in layers/ with one OptionTable and one Build function, and a line
// in layers/standard_layers.cc. A program that links Ingot adds its own with registry.Add(...).
//
// Layers nest: repeat, residual, branch and sequence have layers of their own. A layer's place is a
// path of indices and given names: "3.1" is the second layer of the fourth, and its parameters are
// "layers.3.1.weight"; a name that the job gives stands for the index ("layers." included at the
// top: "head.weight").
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

enum class ParameterKind {
  kTrained,    // by its gradient
  kFrozen,     // stays as it is
  kStatistic,  // follows the batches (StatisticUpdate)
};

// A tensor of a network that is kept between steps and saved with the model.
struct ParameterSpec {
  std::string name;  // "layers.0.weight"
  Shape shape;
  DType dtype = DType::kF32;
  Initializer initializer;
  Fans fans;
  std::string layer;  // "0 (dense 64)"
  ParameterKind kind = ParameterKind::kTrained;
};

// How running statistics follow the batches: after each step, outside of the shards,
// statistics' = op(statistics..., sum), where `sum` is an output of the network's graph that an
// ingot.ShardSum gives.
struct StatisticUpdate {
  std::string op;  // "ingot.BatchNormUpdate"
  ir::Attributes attributes;
  std::vector<std::string> statistics;  // names of parameters; the op has an output for each
  std::string sum;                      // name of the graph's output
  std::string layer;
};

// The first value of a parameter for a job's seed.
Tensor InitialValue(const ParameterSpec& parameter, uint64_t seed);

class LayerContext;
class LayerReader;  // layer_reader.h

// A layer whose options have been read.
struct Layer {
  std::string description;  // "dense 64"
  ConfigNode resolved;      // {dense: {units: 64, activation: relu, ...}}, every option written out
  // Adds nodes after `input` [batch, ...] and returns the layer's output [batch, ...]. Throws
  // Error(kInvalidInput) saying what it takes where the input does not fit.
  std::function<ir::Value*(LayerContext& context, ir::Value* input)> build;
  // Of its kind: whether the input may be of another type than the network's precision (class
  // numbers, tokens, bytes); for a layer that does not say so it is cast.
  bool takes_any_type = false;
  std::string name;  // given in the job: `- {dense: 10, name: head}`; else ""
  ConfigNode node;   // where it stands in the job
};

// One layer of a built network, for `--explain`. Layers with layers of their own stand before them.
struct LayerSummary {
  std::string name;        // "2 (dense 10)", "3.1 (relu)"
  ir::Type output;         // f32[batch, 10]
  int64_t parameters = 0;  // numbers, not tensors; those of inner layers included
  int depth = 0;           // of nesting
  bool has_layers = false;
};

// What the layers of one network add to together. References must outlive it.
struct NetworkParts {
  ir::Builder& builder;
  std::vector<ParameterSpec>& parameters;
  std::vector<StatisticUpdate>& statistics;
  std::vector<LayerSummary>& layers;
  bool training = false;
  DType precision = DType::kF32;
  int64_t layers_built = 0;
};

// Adds layers one after another to the network and returns what the last gives. Their parameters
// are named PREFIX.0.weight, PREFIX.1.weight, ..., or with a given name in place of the index (at
// the top, where `path` is empty, in place of PREFIX too); `path` is the place of these layers for
// messages ("3" gives "3.0"), `before` says what gives the input. Throws Error at the place of the
// fault in the job, naming the layer's path, the layer before it and its shape.
ir::Value* BuildLayers(NetworkParts& parts, const std::vector<Layer>& layers,
                       const std::string& prefix, const std::string& path, int depth,
                       std::string before, ir::Value* input);

// What a layer sees while it adds itself to a network's graph.
class LayerContext {
 public:
  // `prefix` names the layer's parameters ("layers.0"), `path` its place ("0"), `layer` both with
  // what it is ("0 (dense 64)"). `parts` must outlive the context.
  LayerContext(NetworkParts& parts, std::string prefix, std::string path, std::string layer,
               int depth);

  ir::Builder& builder() { return parts_.builder; }
  // Random layers do nothing where this is false.
  bool training() const { return parts_.training; }
  DType precision() const { return parts_.precision; }

  // A graph input of Role::kParameter of the network's precision, named PREFIX.NAME.
  ir::Value* AddParameter(const std::string& name, const Shape& shape,
                          const Initializer& initializer, Fans fans);
  // The same for a running statistic, which no gradient changes.
  ir::Value* AddStatistic(const std::string& name, const Shape& shape,
                          const Initializer& initializer);
  // A parameter whose first values are given, by its full name. Throws Error(kInvalidInput) where
  // the name is taken.
  ir::Value* AddGiven(const std::string& full_name, Tensor values, ParameterKind kind);
  // After each training step the statistics become op(statistics..., sum). `sum` is the output of
  // an ingot.ShardSum.
  void UpdateStatistics(const std::string& op, ir::Attributes attributes,
                        const std::vector<ir::Value*>& statistics, ir::Value* sum);
  // A parameter that a layer before this one added, by its full name; null where there is none.
  ir::Value* FindParameter(const std::string& full_name);
  // Adds this layer's own layers after `input`; `part` tells several lists of them apart
  // ("shortcut": parameters are PREFIX.shortcut.0.weight) and may be empty.
  ir::Value* Build(const std::vector<Layer>& layers, const std::string& part, ir::Value* input);
  // The graph's input "random_key" i64[3]: seed, step, index in the batch of row 0.
  ir::Value* RandomKey();
  // A number that tells the random numbers of this layer from those of others: how many layers
  // stand before it.
  int64_t stream() const { return stream_; }

 private:
  void CheckNameIsFree(const std::string& parameter);

  NetworkParts& parts_;
  std::string prefix_;
  std::string path_;
  std::string layer_;
  int depth_;
  int64_t stream_;
};

struct LayerKind {
  std::string name;
  std::string summary;
  std::function<std::vector<OptionHelp>()> help;
  // See Layer::takes_any_type.
  bool takes_any_type = false;
  // `reader` reads layers inside this one.
  std::function<Layer(const ConfigNode& options, const LayerReader& reader)> read;
};

// A kind from its option table, which must outlive it.
template <typename Options>
LayerKind DefineLayer(const OptionTable<Options>& table, std::string (*describe)(const Options&),
                      ir::Value* (*build)(const Options&, LayerContext&, ir::Value*),
                      bool takes_any_type = false) {
  LayerKind kind;
  kind.takes_any_type = takes_any_type;
  kind.name = table.name();
  kind.summary = table.summary();
  kind.help = [&table] { return table.Help(table.name()); };
  kind.read = [&table, describe, build](const ConfigNode& node, const LayerReader&) {
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

 private:
  std::map<std::string, LayerKind> kinds_;
};

// All that stand in layers/layers.h.
const LayerRegistry& StandardLayers();

}  // namespace ingot::nn
