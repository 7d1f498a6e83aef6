// The interpreter: types are inferred again, node by node, on a copy of the graph that has the
// actual shapes; the reference kernels run on that copy's nodes.
#include "ingot/ops/interpreter.h"

#include <memory>
#include <string>
#include <utility>

#include "ingot/base/error.h"
#include "ingot/base/text.h"
#include "ingot/ir/builder.h"
#include "ingot/ir/op.h"
#include "ingot/ops/shard_map.h"

namespace ingot::ops {
namespace {

struct Hooks {
  const Observer& observer;
  const ShardObserver& on_shard;
};

// Outputs with the inferred types, filled by the reference kernel.
std::vector<Tensor> RunReference(const ir::Node& node, std::span<const Tensor> inputs) {
  std::vector<Tensor> outputs;
  std::vector<TensorView> input_views, output_views;
  for (const Tensor& input : inputs) input_views.push_back(input.view());
  for (const ir::Value* output : node.outputs()) {
    outputs.emplace_back(output->type().dtype(), output->type().shape());
  }
  for (Tensor& output : outputs) output_views.push_back(output.view());
  node.op().reference(ir::ReferenceCall{node, input_views, output_views});
  return outputs;
}

bool HasStaticOutputs(const ir::Node& node) {
  for (const ir::Value* output : node.outputs()) {
    if (!output->type().is_static()) return false;
  }
  return true;
}

// The type of what a value is at run time; `inferred` says what the value itself does not know.
ir::Type TypeOf(const Datum& datum, const ir::Type& inferred) {
  if (datum.is_tensor()) return ir::Type::Tensor(datum.tensor().dtype(), datum.tensor().shape());
  if (!datum.is_sequence() || inferred.kind() == ir::Type::Kind::kSequence) return inferred;
  if (inferred.kind() == ir::Type::Kind::kOptional) return inferred.element();
  if (datum.elements().empty()) return inferred;
  return ir::Type::Sequence(TypeOf(datum.elements()[0], ir::Type()));
}

// An op on tensors alone.
std::vector<Tensor> RunOnTensors(const ir::Node& node, std::span<const Datum> given) {
  const ir::OpDefinition& op = node.op();
  std::vector<Tensor> inputs;
  for (const Datum& input : given) inputs.push_back(input.tensor());
  std::vector<Tensor> outputs;
  if (op.name == "Constant" && op.domain.empty() && node.HasAttribute("value")) {
    outputs = {node.GetTensor("value")};  // shares its bytes
  } else if (op.reference && HasStaticOutputs(node)) {
    outputs = RunReference(node, inputs);
  } else if (op.dynamic_reference) {
    outputs = op.dynamic_reference(node, inputs);
  } else {
    throw Error(ErrorCode::kUnsupported, op.reference ? "its output shapes cannot be inferred: " +
                                                            node.output()->type().ToString()
                                                      : "the op has no reference kernel");
  }
  for (Tensor& output : outputs) output.KeepTexts(inputs);
  return outputs;
}

// `node`'s input types are those of `inputs`; its output types are set.
std::vector<Datum> RunNode(ir::Node& node, std::span<const Datum> inputs,
                           const ir::ValueCall::RunGraph& run_graph) {
  ir::InferNode(node);
  try {
    const ir::OpDefinition& op = node.op();
    std::vector<Datum> outputs;
    if (op.value_reference) {
      outputs = op.value_reference(ir::ValueCall{node, inputs, run_graph});
    } else {
      for (Tensor& output : RunOnTensors(node, inputs)) outputs.emplace_back(std::move(output));
    }
    INGOT_ASSERT(outputs.size() == node.outputs().size(),
                 node.Describe() + ": the reference made another number of outputs");
    for (size_t i = 0; i < outputs.size(); ++i) {
      node.output(i)->set_type(TypeOf(outputs[i], node.output(i)->type()));
    }
    return outputs;
  } catch (const Error& error) {
    throw error.In(node.Describe());
  }
}

// The type `wanted` with the symbols in `bindings` replaced, for messages.
std::string Bound(const ir::Type& wanted, const std::map<std::string, int64_t>& bindings) {
  std::string text = wanted.ToString();
  for (const auto& [symbol, value] : bindings) {
    text += " (" + symbol + " = " + std::to_string(value) + ")";
  }
  return text;
}

// Whether a tensor is of the type, whose symbols it binds.
bool Fits(const ir::Type& wanted, const Tensor& given, std::map<std::string, int64_t>& bindings) {
  bool fits = wanted.is_tensor() && wanted.dtype() == given.dtype() &&
              (!wanted.has_rank() || wanted.rank() == given.shape().rank());
  for (int i = 0; fits && wanted.has_rank() && i < wanted.rank(); ++i) {
    const ir::Dimension& dim = wanted.dim(i);
    const int64_t extent = given.shape()[i];
    if (dim.is_static()) fits = dim.value() == extent;
    if (dim.is_symbolic()) fits = bindings.emplace(dim.symbol(), extent).first->second == extent;
  }
  return fits;
}

bool Fits(const ir::Type& wanted, const Datum& given, std::map<std::string, int64_t>& bindings) {
  switch (wanted.kind()) {
    case ir::Type::Kind::kUnknown:
      return true;
    case ir::Type::Kind::kTensor:
      return given.is_tensor() && Fits(wanted, given.tensor(), bindings);
    case ir::Type::Kind::kOptional:
      return given.is_nothing() || Fits(wanted.element(), given, bindings);
    case ir::Type::Kind::kSequence:
      break;
  }
  return given.is_sequence();
}

// Checks one input against its type and binds the type's symbols.
void CheckInput(const ir::Graph& graph, const ir::Value& input, const Datum& given,
                std::map<std::string, int64_t>& bindings) {
  const ir::Type& wanted = input.type();
  if (Fits(wanted, given, bindings)) return;
  throw Error(ErrorCode::kInvalidInput, "input '" + input.name() + "' of graph '" + graph.name() +
                                            "' is " +
                                            (given.is_nothing() ? "not given" : given.Describe()) +
                                            ", expected " + Bound(wanted, bindings));
}

// A sequence is left out: an empty tensor.
std::vector<Tensor> TensorsOf(std::span<const Datum> data) {
  std::vector<Tensor> tensors;
  for (const Datum& datum : data) tensors.push_back(datum.is_tensor() ? datum.tensor() : Tensor());
  return tensors;
}

// One run of a graph.
class Run {
 public:
  Run(const ir::Graph& graph, const Hooks& hooks) : graph_(graph), hooks_(hooks) {}

  // Returns false when the observer ended it.
  bool Execute(std::span<const Datum> inputs);
  std::vector<Datum> TakeOutputs() const {
    std::vector<Datum> outputs;
    for (const ir::Value* output : copy_->outputs()) {
      const auto found = values_.find(output);
      outputs.push_back(found == values_.end() ? Datum() : found->second);
    }
    return outputs;
  }

 private:
  void SetInputs(std::span<const Datum> inputs);
  std::vector<Datum> InputsOf(const ir::Node& node) const;
  // Values that no later node needs are freed.
  void ReleaseInputs(const ir::Node& node);
  void Store(ir::Value* value, Datum datum) {
    if (!value->is_used()) return;
    remaining_uses_[value] = value->uses().size();
    values_[value] = std::move(datum);
  }
  // `original` is the node of the graph that was given, for the observer.
  bool RunShardMap(ir::Node& node, const ir::Node& original, std::span<const Tensor> inputs,
                   std::vector<Tensor>& outputs);
  std::vector<Datum> RunBody(const ir::Graph& body, std::span<const Datum> inputs) const;

  const ir::Graph& graph_;
  const Hooks& hooks_;
  std::unique_ptr<ir::Graph> copy_;
  std::map<const ir::Value*, Datum> values_;  // of copy_
  std::map<const ir::Value*, size_t> remaining_uses_;
};

void Run::SetInputs(std::span<const Datum> inputs) {
  INGOT_ASSERT(inputs.size() == graph_.inputs().size(),
               "graph '" + graph_.name() + "' was given another number of inputs");
  std::map<std::string, int64_t> bindings;
  for (size_t i = 0; i < inputs.size(); ++i) {
    CheckInput(graph_, *graph_.inputs()[i], inputs[i], bindings);
    copy_->inputs()[i]->set_type(TypeOf(inputs[i], copy_->inputs()[i]->type()));
    Store(copy_->inputs()[i], inputs[i]);
  }
}

std::vector<Datum> Run::InputsOf(const ir::Node& node) const {
  std::vector<Datum> inputs;
  for (const ir::Value* input : node.inputs()) {
    inputs.push_back(input == nullptr ? Datum() : values_.at(input));
  }
  return inputs;
}

void Run::ReleaseInputs(const ir::Node& node) {
  for (const ir::Value* input : node.inputs()) {
    if (input != nullptr && --remaining_uses_[input] == 0 && !input->is_graph_output()) {
      values_.erase(input);
    }
  }
}

bool Run::RunShardMap(ir::Node& node, const ir::Node& original, std::span<const Tensor> inputs,
                      std::vector<Tensor>& outputs) {
  ir::InferNode(node);
  // The body of the original node, so that the observer sees its nodes.
  const ir::Graph& body = *original.GetGraph("body");
  const int64_t shards = node.GetInt("shards");
  const int64_t batch = ShardedBatch(node, inputs);
  std::vector<std::vector<Tensor>> shard_outputs;
  for (int64_t shard = 0; shard < shards; ++shard) {
    const int64_t begin = ShardBegin(shard, shards, batch);
    if (hooks_.on_shard) {
      hooks_.on_shard(shard, begin, ShardBegin(shard + 1, shards, batch) - begin);
    }
    Run run(body, hooks_);
    const std::vector<Tensor> given = ShardInputs(node, inputs, shard);
    if (!run.Execute(std::vector<Datum>(given.begin(), given.end()))) return false;
    shard_outputs.push_back(TensorsOf(run.TakeOutputs()));
  }
  outputs = JoinShards(node, shard_outputs);
  for (size_t i = 0; i < outputs.size(); ++i) {
    node.output(i)->set_type(ir::Type::Tensor(outputs[i].dtype(), outputs[i].shape()));
  }
  return true;
}

std::vector<Datum> Run::RunBody(const ir::Graph& body, std::span<const Datum> inputs) const {
  const Hooks hooks{nullptr, nullptr};
  Run run(body, hooks);
  run.Execute(inputs);
  return run.TakeOutputs();
}

bool Run::Execute(std::span<const Datum> inputs) {
  copy_ = graph_.Clone();
  SetInputs(inputs);
  const std::vector<ir::Node*> originals = graph_.nodes();
  const std::vector<ir::Node*> nodes = copy_->nodes();
  for (size_t n = 0; n < nodes.size(); ++n) {
    ir::Node& node = *nodes[n];
    const std::vector<Datum> node_inputs = InputsOf(node);
    std::vector<Datum> outputs;
    const bool is_shard_map = node.op_type() == "ShardMap" && node.domain() == "ingot";
    if (!is_shard_map) {
      outputs =
          RunNode(node, node_inputs, [&](const ir::Graph& body, std::span<const Datum> given) {
            return RunBody(body, given);
          });
    } else {
      std::vector<Tensor> joined;
      if (!RunShardMap(node, *originals[n], TensorsOf(node_inputs), joined)) return false;
      outputs.assign(joined.begin(), joined.end());
    }
    for (size_t i = 0; i < outputs.size(); ++i) Store(node.output(i), outputs[i]);
    ReleaseInputs(node);
    if (hooks_.observer && !hooks_.observer(*originals[n], TensorsOf(outputs))) return false;
  }
  return true;
}

}  // namespace

std::vector<Tensor> InterpretInOrder(const ir::Graph& graph, std::span<const Tensor> inputs,
                                     const Observer& observer, const ShardObserver& on_shard) {
  const Hooks hooks{observer, on_shard};
  Run run(graph, hooks);
  run.Execute(std::vector<Datum>(inputs.begin(), inputs.end()));
  return TensorsOf(run.TakeOutputs());
}

std::vector<Datum> InterpretValues(const ir::Graph& graph, std::span<const Datum> inputs) {
  const Hooks hooks{nullptr, nullptr};
  Run run(graph, hooks);
  run.Execute(inputs);
  return run.TakeOutputs();
}

std::map<std::string, Tensor> Interpret(const ir::Graph& graph,
                                        const std::map<std::string, Tensor>& inputs,
                                        const Observer& observer, const ShardObserver& on_shard) {
  std::vector<std::string> names;
  std::vector<Tensor> ordered;
  for (const ir::Value* input : graph.inputs()) {
    const auto found = inputs.find(input->name());
    names.push_back(input->name());
    ordered.push_back(found == inputs.end() ? Tensor() : found->second);
  }
  for (const auto& given : inputs) {
    if (graph.FindInput(given.first) != nullptr) continue;
    throw Error(ErrorCode::kInvalidInput,
                "graph '" + graph.name() + "' has no input '" + given.first + "'",
                names.empty() ? "it has no inputs" : DidYouMean(given.first, names));
  }
  const std::vector<Tensor> outputs = InterpretInOrder(graph, ordered, observer, on_shard);
  std::map<std::string, Tensor> named;
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (!outputs[i].empty()) named[graph.output_names()[i]] = outputs[i];
  }
  return named;
}

std::vector<Tensor> InterpretNode(const ir::Node& node, std::span<const Tensor> inputs) {
  // A graph with this node alone, whose constant inputs stay constants for the shape rule.
  ir::Graph graph("node");
  std::vector<ir::Value*> values;
  std::vector<Tensor> given;
  for (size_t i = 0; i < node.inputs().size(); ++i) {
    const ir::Value* input = node.input(i);
    const ir::Node* producer = input == nullptr ? nullptr : input->producer();
    if (input == nullptr) {
      values.push_back(nullptr);
    } else if (producer != nullptr && producer->op_type() == "Constant") {
      values.push_back(graph.AddNode(producer->op(), {}, producer->attributes(), 1)->output());
    } else {
      const ir::Type type = ir::Type::Tensor(inputs[i].dtype(), inputs[i].shape());
      values.push_back(graph.AddInput(input->name(), type));
      given.push_back(inputs[i]);
    }
  }
  ir::Node* copy =
      graph.AddNode(node.op(), std::move(values), node.attributes(), node.outputs().size());
  copy->set_name(node.name());
  copy->set_layer(node.layer());
  for (ir::Value* output : copy->outputs()) graph.AddOutput(output);
  return InterpretInOrder(graph, given);
}

}  // namespace ingot::ops
