// BuildNetwork: the layers, loss and metrics of a job -> one graph for a batch of any size.
//
// The graph:
//   inputs   "x" [batch, ...] Role::kData, of the type the data have; "y" the same, where there is
//   a
//            loss; the parameters, Role::kParameter, in the order of the layers; "random_key"
//            i64[3], Role::kScalar, where a layer draws random numbers
//   outputs  "output" [batch, ...], what the last layer gives; where there is a loss: "loss"
//            [batch] per sample; and every metric by name [batch];
//            and the sums over the batch that running statistics follow
// The batch is the symbolic dimension "batch". Layers are counted from 0, as in the job file's
// model.layers[0]; parameters are named "layers.0.weight" (see layer.h). A dense weight is [in,
// out]. Pictures are [batch, channels, height, width], sequences [batch, length, features].
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ingot/base/config.h"
#include "ingot/base/options.h"
#include "ingot/ir/graph.h"
#include "ingot/ir/op.h"
#include "ingot/nn/layer.h"
#include "ingot/nn/loss.h"
#include "ingot/nn/metric.h"

namespace ingot::nn {

// A data input as the data give it: of one sample, without the batch.
struct InputSpec {
  DType dtype = DType::kF32;
  Shape shape;
  int64_t classes = 0;  // of labels that are class numbers: they lie in [0, classes); else 0
};

// The `model:` section of a job.
struct ModelOptions {
  ConfigNode blocks;  // null, or by name (layer_reader.h)
  ConfigNode layers;
  // A model of another project instead of layers; each of them null where it is not given.
  ConfigNode onnx;          // the file
  ConfigNode freeze;        // patterns of its weights
  ConfigNode replace_head;  // a list of layers, or {after: VALUE, layers: [...]}
};
const OptionTable<ModelOptions>& ModelTable();

struct NetworkOptions {
  ModelOptions model;
  ConfigNode loss;     // null: none, and then no metrics and no input "y" either
  ConfigNode metrics;  // a list, or null
  InputSpec x;
  InputSpec y;
  // By class number: what the loss of a sample is multiplied by, of mixed labels in their shares.
  // Empty: nothing.
  std::vector<double> class_weights = {};
  bool training = false;          // random layers are active
  DType precision = DType::kF32;  // of parameters and arithmetic: f32 or f64
};

// What "output" holds, for those who show predictions.
enum class OutputKind {
  kValues,         // of a regression, or unknown
  kLogits,         // softmax (or sigmoid for one column) of it are probabilities
  kProbabilities,  // the last layer is a softmax or sigmoid
};

struct Network {
  std::unique_ptr<ir::Graph> graph;
  std::vector<ParameterSpec> parameters;
  std::vector<StatisticUpdate> statistics;  // empty unless built for training
  std::vector<LayerSummary> layers;
  std::vector<std::string> metrics;  // their names, which are names of outputs
  std::string loss;                  // its kind, or ""
  OutputKind output_kind = OutputKind::kValues;
  DType precision = DType::kF32;
  ConfigNode resolved_layers;   // every option written out, blocks in place
  ConfigNode resolved_loss;     // null where there is none
  ConfigNode resolved_metrics;  // a list

  int64_t parameter_count() const;  // numbers, not tensors; running statistics are none
  // Numbers of the largest layer that are read for each place of its output: a convolution's
  // weights serve many places of one sample.
  int64_t largest_layer_parameters() const;
  // How often parameters are multiplied for one sample, forward: each once for every place of its
  // layer's output.
  int64_t multiplications() const;
  // The graph's output by name; throws Error(kNotFound).
  ir::Value* output(const std::string& name) const;
  // With a graph of its own.
  Network Clone() const;
};

// Throws Error(kInvalidInput) at the place of the fault in the job file: an unknown layer, loss or
// metric (with the nearest name), options out of range, layers that do not fit (naming both layers
// and both shapes), an output that does not fit loss, metric or number of classes.
Network BuildNetwork(const NetworkOptions& options, const ir::OpRegistry& registry,
                     const LayerRegistry& layers = StandardLayers());

// What BuildNetwork checks that does not depend on the data: names and options of layers, loss and
// metrics (null ones are not looked at). Throws as it does.
void CheckNetworkOptions(const NetworkOptions& options,
                         const LayerRegistry& layers = StandardLayers());

}  // namespace ingot::nn
