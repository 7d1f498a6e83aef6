// onnx: a model of another project as a layer, its weights the first values of parameters.
#include <algorithm>
#include <map>
#include <set>

#include "ingot/base/error.h"
#include "ingot/base/text.h"
#include "ingot/nn/layers/layers.h"
#include "ingot/nn/parameter_pattern.h"
#include "ingot/onnx/import.h"
#include "ingot/onnx/symbolic_shapes.h"
#include "ingot/ops/definition.h"

namespace ingot::nn {
namespace {

struct OnnxOptions {
  std::string file;
  std::string head = "keep";
  std::string until;
  std::vector<std::string> freeze;
};

const OptionTable<OnnxOptions>& OnnxTable() {
  static const auto table =
      OptionTable<OnnxOptions>("onnx",
                               "the graph of an ONNX file, whose weights are trained further")
          .AddFile("file", &OnnxOptions::file,
                   "an ONNX file with one input, whose first axis is the batch; a relative name is "
                   "looked for beside the job file")
          .AddChoice(
              "head", &OnnxOptions::head,
              "keep: to the first output; drop: to what its last product (Gemm or MatMul) takes",
              {"keep", "drop"})
          .Add("until", &OnnxOptions::until, "name of the value that the layer gives, instead")
          .Add("freeze", &OnnxOptions::freeze,
               "patterns of weights' names that stay as they are: [\"features.*\"]")
          .Shorthand("file")
          .Required("file");
  return table;
}

std::string DescribeOnnx(const OnnxOptions& options) {
  return "onnx " + options.file;
}

// Which inputs of an op are weights where they are constants; all others stay constants.
bool TakesWeight(const ir::Node& node, int input) {
  static const std::map<std::string, std::set<int>> places = {{"MatMul", {0, 1}},
                                                              {"Gemm", {0, 1, 2}},
                                                              {"Conv", {1, 2}},
                                                              {"ConvTranspose", {1, 2}},
                                                              {"Add", {0, 1}},
                                                              {"Mul", {0, 1}},
                                                              {"Sub", {0, 1}},
                                                              {"BatchNormalization", {1, 2, 3, 4}},
                                                              {"LayerNormalization", {1, 2}},
                                                              {"InstanceNormalization", {1, 2}},
                                                              {"GroupNormalization", {1, 2}},
                                                              {"RMSNormalization", {1}},
                                                              {"Gather", {0}},
                                                              {"LSTM", {1, 2, 3}},
                                                              {"GRU", {1, 2, 3}},
                                                              {"RNN", {1, 2, 3}},
                                                              {"PRelu", {1}},
                                                              {"Concat", {0, 1}},
                                                              {"Expand", {0}}};
  const auto found = places.find(node.op_type());
  return node.domain().empty() && found != places.end() && found->second.count(input) > 0;
}

bool IsStatistic(const ir::Node& node, int input) {
  return node.op_type() == "BatchNormalization" && input >= 3;
}

// The value that the layer gives.
ir::Value* EndOf(const ir::Graph& graph, const OnnxOptions& options) {
  std::vector<std::string> names;
  for (const ir::Node* node : graph.nodes()) {
    for (ir::Value* value : node->outputs()) {
      if (!options.until.empty() && value->name() == options.until) return value;
      if (!value->name().empty() && node->op_type() != "Constant") names.push_back(value->name());
    }
  }
  if (!options.until.empty()) {
    throw Error(ErrorCode::kNotFound, "'" + options.file + "' has no value '" + options.until + "'",
                DidYouMean(options.until, names));
  }
  ir::Value* end = graph.outputs()[0];
  if (options.head == "keep") return end;
  // Upwards along first inputs, as heads are chains.
  for (ir::Value* at = end; at != nullptr && at->producer() != nullptr;
       at = at->producer()->input(0)) {
    const std::string& op = at->producer()->op_type();
    if (op == "Gemm" || op == "MatMul") return at->producer()->input(0);
  }
  throw Error(ErrorCode::kInvalidInput,
              "'" + options.file + "' has no product (Gemm or MatMul) above its output",
              "name the value to keep: until: NAME");
}

// Copies what `end` needs of a model's graph into the network's.
class Copier {
 public:
  Copier(const OnnxOptions& options, LayerContext& context)
      : options_(options), context_(context) {}

  ir::Value* Copy(const ir::Graph& graph, ir::Value* input, ir::Value* end) {
    values_[graph.inputs()[0]] = input;
    MarkNeeded(end);
    for (const ir::Node* node : graph.nodes()) {
      if (needed_.count(node) > 0) CopyNode(*node);
    }
    for (const std::string& pattern : options_.freeze) {
      if (matched_.count(pattern) > 0) continue;
      throw Error(ErrorCode::kInvalidInput,
                  "freeze: '" + pattern + "' matches no weight of '" + options_.file + "'",
                  DidYouMean(pattern, weights_));
    }
    return values_.at(end);
  }

 private:
  void MarkNeeded(const ir::Value* end) {
    std::vector<const ir::Value*> open = {end};
    while (!open.empty()) {
      const ir::Value* value = open.back();
      open.pop_back();
      if (value == nullptr || value->producer() == nullptr) continue;
      if (!needed_.insert(value->producer()).second) continue;
      const auto inputs = value->producer()->inputs();
      open.insert(open.end(), inputs.begin(), inputs.end());
    }
  }

  void CopyNode(const ir::Node& node) {
    if (node.op_type() == "Constant" && IsWeight(node)) {
      values_[node.output()] = AddWeight(node);
      return;
    }
    std::vector<ir::Value*> inputs;
    for (const ir::Value* input : node.inputs()) {
      inputs.push_back(input == nullptr ? nullptr : values_.at(input));
    }
    const std::vector<ir::Value*> outputs = context_.builder().Ops(
        node.op().FullName(), std::move(inputs), node.outputs().size(), node.attributes());
    for (size_t i = 0; i < outputs.size(); ++i) values_[node.output(i)] = outputs[i];
  }

  bool IsWeight(const ir::Node& constant) const {
    const ir::Type& type = constant.output()->type();
    if (!IsFloat(type.dtype()) || type.rank() == 0 || type.shape().size() < 2) return false;
    const auto& uses = constant.output()->uses();
    return std::any_of(uses.begin(), uses.end(), [&](const ir::Value::Use& use) {
      return needed_.count(use.node) > 0 && TakesWeight(*use.node, use.input);
    });
  }

  ir::Value* AddWeight(const ir::Node& constant) {
    const auto& uses = constant.output()->uses();
    const bool statistic = std::any_of(uses.begin(), uses.end(), [](const ir::Value::Use& use) {
      return IsStatistic(*use.node, use.input);
    });
    std::string name = constant.output()->name();
    if (name.empty()) name = "weight_" + std::to_string(weights_.size());
    bool frozen = statistic;
    for (const std::string& pattern : options_.freeze) {
      if (!MatchesPattern(pattern, name)) continue;
      matched_.insert(pattern);
      frozen = true;
    }
    weights_.push_back(name);
    return context_.AddGiven(name, constant.GetTensor("value"),
                             frozen ? ParameterKind::kFrozen : ParameterKind::kTrained);
  }

  const OnnxOptions& options_;
  LayerContext& context_;
  std::set<std::string> matched_;
  std::vector<std::string> weights_;
  std::set<const ir::Node*> needed_;
  std::map<const ir::Value*, ir::Value*> values_;
};

// The layer's input as the model takes it.
ir::Value* Fitting(const OnnxOptions& options, LayerContext& context, ir::Value* x,
                   const ir::Graph& graph) {
  if (graph.inputs().size() != 1) {
    std::vector<std::string> names;
    for (const ir::Value* input : graph.inputs()) names.push_back(input->name());
    throw Error(ErrorCode::kUnsupported, "'" + options.file + "' has " +
                                             std::to_string(names.size()) + " inputs (" +
                                             Join(names, ", ") + "), expected one");
  }
  const ir::Type& wanted = graph.inputs()[0]->type();
  // Floats are of the network's precision.
  const DType dtype = IsFloat(wanted.dtype()) ? context.precision() : wanted.dtype();
  bool fits = !wanted.has_rank() || wanted.rank() == x->type().rank();
  for (int i = 1; fits && wanted.has_rank() && i < wanted.rank(); ++i) {
    fits = !wanted.dim(i).is_static() || wanted.dim(i) == x->type().dim(i);
  }
  if (!fits) {
    throw Error(ErrorCode::kInvalidInput, "'" + options.file + "' takes " + wanted.ToString() +
                                              ", but its input is " + x->type().ToString());
  }
  if (x->type().dtype() == dtype) return x;
  return context.builder().Op("Cast", {x}, {{"to", static_cast<int64_t>(dtype)}});
}

ir::Value* BuildOnnx(const OnnxOptions& options, LayerContext& context, ir::Value* x) {
  const ir::OpRegistry& registry = context.builder().registry();
  auto file = formats::OnnxFile::Open(options.file);
  const onnx::ImportedModel model = onnx::ImportModel(file, registry);
  x = Fitting(options, context, x, *model.graph);
  ir::Value* input = model.graph->inputs()[0];
  input->set_type(x->type().WithDType(input->type().dtype()));
  onnx::ResolveShapes(*model.graph, registry);
  return Copier(options, context).Copy(*model.graph, x, EndOf(*model.graph, options));
}

}  // namespace

LayerKind OnnxLayer() {
  return DefineLayer<OnnxOptions>(OnnxTable(), DescribeOnnx, BuildOnnx, true);
}

}  // namespace ingot::nn
