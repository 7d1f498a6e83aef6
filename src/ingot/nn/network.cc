// Layers one after another, then loss and metrics.
#include "ingot/nn/network.h"

#include <algorithm>

#include "ingot/base/error.h"
#include "ingot/base/named_node.h"
#include "ingot/base/text.h"
#include "ingot/nn/layer_reader.h"

namespace ingot::nn {

namespace {

ir::Type BatchType(const InputSpec& input) {
  ir::Dimensions dims = {ir::Dimension("batch")};
  for (const int64_t extent : input.shape.dims()) dims.emplace_back(extent);
  return ir::Type::Tensor(input.dtype, dims);
}

void CheckPrecision(DType precision) {
  if (precision == DType::kF32 || precision == DType::kF64) return;
  throw Error(ErrorCode::kUnsupported,
              "precision " + std::string(Name(precision)) + " is not supported for training yet",
              "use f32 or f64");
}

// {onnx: FILE, freeze: [...], replace_head: ...} as a list of layers.
ConfigNode LayersOfOnnx(const ModelOptions& model) {
  if (!model.layers.is_null()) model.onnx.Fail("a model has layers or an ONNX file, not both");
  std::vector<ConfigNode::Entry> options = {{"file", model.onnx}};
  if (!model.freeze.is_null()) options.emplace_back("freeze", model.freeze);
  std::vector<ConfigNode> head;
  const ConfigNode& replaced = model.replace_head;
  if (replaced.is_list()) {
    head = replaced.items();
  } else if (!replaced.is_null()) {
    for (const auto& [key, value] : replaced.entries()) {
      if (key != "after" && key != "layers") {
        value.FailKey("unknown key '" + key + "'", "expected one of: after, layers");
      }
    }
    const ConfigNode* layers = replaced.is_map() ? replaced.Find("layers") : nullptr;
    if (layers == nullptr || !layers->is_list()) {
      replaced.Fail("expected a list of layers, or a map with 'layers', got " + replaced.Describe(),
                    "replace_head: [dense: 10]");
    }
    head = layers->items();
    if (const ConfigNode* after = replaced.Find("after")) options.emplace_back("until", *after);
  }
  if (!replaced.is_null()) options.emplace_back("head", ConfigNode::Scalar("drop"));
  const ConfigNode file = ConfigNode::Map(std::move(options)).At(model.onnx);
  std::vector<ConfigNode> list = {ConfigNode::Map({{"onnx", file}}).At(model.onnx)};
  // The file's weights may have the names that layers get by their numbers.
  for (size_t i = 0; i < head.size(); ++i) {
    std::vector<ConfigNode::Entry> entries = head[i].entries();
    if (head[i].is_map() && head[i].Find("name") == nullptr) {
      entries.emplace_back("name", ConfigNode::Scalar("head_" + std::to_string(i)));
      head[i] = ConfigNode::Map(std::move(entries)).At(head[i]);
    }
    list.push_back(head[i]);
  }
  return ConfigNode::List(std::move(list));
}

ConfigNode LayersOf(const ModelOptions& model) {
  if (!model.onnx.is_null()) return LayersOfOnnx(model);
  for (const ConfigNode* needs_onnx : {&model.freeze, &model.replace_head}) {
    if (!needs_onnx->is_null()) needs_onnx->FailKey("this is for models with `onnx: FILE` alone");
  }
  return model.layers;
}

std::vector<Layer> ReadLayers(const ModelOptions& model, const LayerRegistry& layers) {
  const ConfigNode list = LayersOf(model);
  if (list.is_null()) {
    throw Error(ErrorCode::kInvalidInput, "model: 'layers' is missing",
                "give a list of layers, or onnx: FILE");
  }
  if (!list.is_list() || list.items().empty()) {
    list.Fail("expected a list of layers", "write '- dense: 10' on a line of its own");
  }
  return LayerReader(layers, model.blocks).ReadList(list);
}

// Builds one network; lives for one call.
class NetworkBuilder {
 public:
  NetworkBuilder(const NetworkOptions& options, const ir::OpRegistry& registry,
                 const LayerRegistry& layers)
      : options_(options), layers_(layers) {
    network_.graph = std::make_unique<ir::Graph>("network");
    network_.precision = options.precision;
    builder_ = std::make_unique<ir::Builder>(*network_.graph, registry);
  }

  Network Build() {
    CheckPrecision(options_.precision);
    network_.graph->AddInput("x", BatchType(options_.x), ir::Role::kData);
    if (!options_.loss.is_null()) {
      network_.graph->AddInput("y", BatchType(options_.y), ir::Role::kData);
    }
    AddLayers();
    network_.graph->AddOutput(output_, "output");
    if (!options_.loss.is_null()) AddLossAndMetrics();
    return std::move(network_);
  }

 private:
  void AddLayers() {
    const std::vector<Layer> layers = ReadLayers(options_.model, layers_);
    NetworkParts parts{*builder_,       network_.parameters, network_.statistics,
                       network_.layers, options_.training,   options_.precision};
    output_ =
        BuildLayers(parts, layers, "layers", "", 0, "the data", network_.graph->FindInput("x"));
    if (output_->type().dtype() != options_.precision) {
      output_ = builder_->Op("Cast", {output_}, {{"to", static_cast<int64_t>(options_.precision)}});
    }
    for (const LayerSummary& layer : network_.layers) {
      if (layer.depth == 0) last_layer_ = "layer " + layer.name;
    }
    network_.resolved_layers = ResolvedLayers(layers);
  }

  // The value that the loss takes: what goes into a final softmax where the loss contains one.
  ir::Value* LossInput(const Loss& loss) {
    const ir::Node* last = output_->producer();
    if (loss.absorbs.empty()) return output_;
    network_.output_kind = OutputKind::kLogits;
    if (last == nullptr || last->op_type() != loss.absorbs || !last->domain().empty()) {
      return output_;
    }
    network_.output_kind = OutputKind::kProbabilities;
    return last->input(0);
  }

  void AddLossAndMetrics() {
    const Loss loss = ReadLoss(options_.loss);
    network_.loss = loss.name;
    network_.resolved_loss = loss.resolved;
    ir::Value* y = network_.graph->FindInput("y");
    ir::Value* scores = LossInput(loss);
    builder_->set_layer("loss (" + loss.name + ")");
    CheckClasses(loss, scores);
    const std::string context =
        "loss after " + last_layer_ + ", which gives " + output_->type().ToString();
    try {
      network_.graph->AddOutput(Weighted(loss.build(*builder_, scores, y), y), "loss");
    } catch (const Error& error) {
      throw AtNode(options_.loss, error.In(context));
    }
    std::vector<ConfigNode> resolved;
    for (const Metric& metric : ReadMetrics(options_.metrics)) {
      builder_->set_layer("metric (" + metric.name + ")");
      // Scores rank as probabilities do, and the sign of a logit is the side of 1/2; errors are
      // those of what the network gives.
      const bool ranks = loss.classification && metric.name != "mae" && metric.name != "rmse";
      try {
        network_.graph->AddOutput(metric.build(*builder_, ranks ? scores : output_, y),
                                  metric.name);
      } catch (const Error& error) {
        throw AtNode(options_.metrics, error.In("metric after " + last_layer_));
      }
      network_.metrics.push_back(metric.name);
      resolved.push_back(metric.resolved);
    }
    network_.resolved_metrics = ConfigNode::List(std::move(resolved));
  }

  // A sample's loss times the weight of its class.
  ir::Value* Weighted(ir::Value* loss, ir::Value* y) {
    if (options_.class_weights.empty()) return loss;
    const auto classes = static_cast<int64_t>(options_.class_weights.size());
    const Tensor weights =
        Tensor::Of<double>(Shape{classes}, options_.class_weights).Cast(loss->type().dtype());
    const ir::Type& labels = y->type();
    if (IsInteger(labels.dtype()) && labels.rank() == 1) {
      ir::Value* of_samples =
          builder_->Op("Gather", {builder_->Constant(weights), y}, {{"axis", int64_t{0}}});
      return builder_->Mul(loss, of_samples);
    }
    if (!IsFloat(labels.dtype()) || labels.rank() != 2 ||
        !(labels.dim(1) == ir::Dimension(classes))) {
      throw Error(ErrorCode::kInvalidInput,
                  "class weights are for one class, or the shares of all, for each sample, but the "
                  "labels are " +
                      labels.ToString());
    }
    ir::Value* shares = builder_->Mul(y, builder_->Constant(weights));
    ir::Value* of_samples =
        builder_->Op("ReduceSum", {shares, builder_->Ints({1})}, {{"keepdims", int64_t{0}}});
    return builder_->Mul(loss, of_samples);
  }

  void CheckClasses(const Loss& loss, const ir::Value* scores) {
    if (loss.name != "softmax_cross_entropy" || options_.y.classes == 0) return;
    const int rank = scores->type().rank();
    if (rank < 2 || rank > 3 || !scores->type().dim(-1).is_static()) return;
    const int64_t outputs = scores->type().dim(-1).value();
    if (outputs >= options_.y.classes) return;
    throw AtNode(options_.loss, Error(ErrorCode::kInvalidInput,
                                      last_layer_ + " gives " + output_->type().ToString() +
                                          ", but the labels have " +
                                          std::to_string(options_.y.classes) + " classes",
                                      "give the last layer one output for each class"));
  }

  const NetworkOptions& options_;
  const LayerRegistry& layers_;
  Network network_;
  std::unique_ptr<ir::Builder> builder_;
  ir::Value* output_ = nullptr;
  std::string last_layer_;
};

}  // namespace

const OptionTable<ModelOptions>& ModelTable() {
  static const auto table =
      OptionTable<ModelOptions>("model", "the network, layer by layer")
          .AddNode("blocks", &ModelOptions::blocks,
                   "lists of layers by name, for '- block: NAME'; {parameters: {p: default}, "
                   "layers: [...]} where they have parameters, which '$p' stands for")
          .AddNode("layers", &ModelOptions::layers, "list of layers: '- dense: 64', '- relu', ...")
          .AddNode("onnx", &ModelOptions::onnx,
                   "an ONNX file that is trained further, instead of layers")
          .AddNode("freeze", &ModelOptions::freeze,
                   "patterns of that file's weights which stay as they are: [\"features.*\"]")
          .AddNode("replace_head", &ModelOptions::replace_head,
                   "layers in place of the file's last product (Gemm or MatMul) and what follows: "
                   "[dense: 10]; {after: VALUE, layers: [...]} where another value goes into them")
          .Shorthand("layers");
  return table;
}

int64_t Network::parameter_count() const {
  int64_t count = 0;
  for (const ParameterSpec& parameter : parameters) {
    if (parameter.kind != ParameterKind::kStatistic) count += parameter.shape.size();
  }
  return count;
}

namespace {

// A weight of a convolution, or of a layer over a sequence, serves every place of its output.
int64_t PlacesOf(const ir::Type& output) {
  int64_t places = 1;
  const int first = output.has_rank() && output.rank() > 3 ? 2 : 1;
  const int last = output.has_rank() && output.rank() == 3 ? 2
                   : output.has_rank()                     ? output.rank()
                                                           : 0;
  for (int i = first; i < last && output.rank() > 2; ++i) {
    if (output.dim(i).is_static()) places *= output.dim(i).value();
  }
  return places;
}

}  // namespace

int64_t Network::largest_layer_parameters() const {
  int64_t largest = 0;
  for (const LayerSummary& layer : layers) {
    if (layer.has_layers) continue;
    largest = std::max(largest, layer.parameters / PlacesOf(layer.output));
  }
  return largest;
}

int64_t Network::multiplications() const {
  int64_t sum = 0;
  for (const LayerSummary& layer : layers) {
    if (!layer.has_layers) sum += layer.parameters * PlacesOf(layer.output);
  }
  return sum;
}

ir::Value* Network::output(const std::string& name) const {
  const std::vector<std::string>& names = graph->output_names();
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i] == name) return graph->outputs()[i];
  }
  throw Error(ErrorCode::kNotFound, "the network has no output '" + name + "'",
              DidYouMean(name, names));
}

Network Network::Clone() const {
  // All members by name, so that one more does not compile until it is copied, too.
  const auto& [graph, parameters, statistics, layers, metrics, loss, output_kind, precision,
               resolved_layers, resolved_loss, resolved_metrics] = *this;
  return {graph->Clone(), parameters, statistics,      layers,        metrics,         loss,
          output_kind,    precision,  resolved_layers, resolved_loss, resolved_metrics};
}

Network BuildNetwork(const NetworkOptions& options, const ir::OpRegistry& registry,
                     const LayerRegistry& layers) {
  return NetworkBuilder(options, registry, layers).Build();
}

void CheckNetworkOptions(const NetworkOptions& options, const LayerRegistry& layers) {
  CheckPrecision(options.precision);
  ReadLayers(options.model, layers);
  if (!options.loss.is_null()) ReadLoss(options.loss);
  if (!options.metrics.is_null()) ReadMetrics(options.metrics);
}

}  // namespace ingot::nn
