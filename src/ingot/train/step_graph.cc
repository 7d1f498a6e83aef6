// Builds the body that runs for each shard, then the step around it.
#include "ingot/train/step_graph.h"

#include <algorithm>
#include <map>

#include "ingot/base/error.h"
#include "ingot/ir/builder.h"
#include "ingot/ops/shard_map.h"
#include "ingot/passes/autodiff.h"
#include "ingot/passes/cut_at_shard_sums.h"
#include "ingot/passes/eliminate_dead_code.h"

namespace ingot::train {

namespace {

// The values of a network's clone that the step is made from, by the name of the output.
struct Body {
  std::shared_ptr<ir::Graph> graph;
  std::map<std::string, ir::Value*> values;
  std::vector<int64_t> kinds;  // of the outputs added so far

  void AddOutput(ir::Value* value, const std::string& name, ops::ShardOutput kind) {
    graph->AddOutput(value, name);
    kinds.push_back(static_cast<int64_t>(kind));
  }
};

Body CloneBody(const nn::Network& network) {
  Body body;
  body.graph = network.graph->Clone();
  for (size_t i = 0; i < body.graph->outputs().size(); ++i) {
    body.values[body.graph->output_names()[i]] = body.graph->outputs()[i];
  }
  while (!body.graph->outputs().empty()) body.graph->RemoveOutput(body.graph->outputs().size() - 1);
  return body;
}

void Check(const nn::Network& network, int64_t batch, int64_t shards, DType precision,
           bool needs_loss) {
  if (batch < 1 || shards < 1) {
    throw Error(
        ErrorCode::kInvalidInput,
        "a step of " + std::to_string(batch) + " samples in " + std::to_string(shards) + " shards",
        "both must be at least 1");
  }
  if (precision != network.precision) {
    throw Error(ErrorCode::kInvalidInput,
                "the network was built in " + std::string(Name(network.precision)) +
                    ", but the step is to run in " + std::string(Name(precision)));
  }
  if (needs_loss && network.loss.empty()) {
    throw Error(ErrorCode::kInvalidInput, "the network has no loss", "name one in the job: loss");
  }
}

// sum over the rows of a shard: [rows] -> [].
ir::Value* SumRows(ir::Builder& builder, ir::Value* rows) {
  return builder.Op("ReduceSum", {rows, builder.Ints({0})}, {{"keepdims", int64_t{0}}});
}

// Adds loss, number of samples and metrics of a shard as partial outputs; returns their names.
std::vector<std::string> AddSums(const nn::Network& network, ir::Builder& builder, Body& body) {
  builder.set_layer("loss (" + network.loss + ")");
  ir::Value* loss = body.values.at("loss");
  ir::Value* ones = builder.ExpandLike(builder.ScalarLike(loss, 1), loss);
  std::vector<std::string> names = {"loss_sum", "weight_sum"};
  body.AddOutput(SumRows(builder, loss), names[0], ops::ShardOutput::kPartial);
  body.AddOutput(SumRows(builder, ones), names[1], ops::ShardOutput::kPartial);
  for (const std::string& metric : network.metrics) {
    builder.set_layer("metric (" + metric + ")");
    names.push_back(metric + "_sum");
    body.AddOutput(SumRows(builder, body.values.at(metric)), names.back(),
                   ops::ShardOutput::kPartial);
  }
  return names;
}

// Adds the gradients of the mean loss over a batch of `batch` as partial outputs, in the order of
// the network's parameters.
void AddGradients(const nn::Network& network, const ir::OpRegistry& registry, int64_t batch,
                  Body& body) {
  ir::Value* loss = body.values.at("loss");
  ir::Builder builder(*body.graph, registry);
  builder.set_layer("loss (" + network.loss + ")");
  ir::Value* share = builder.ScalarLike(loss, 1.0 / static_cast<double>(batch));
  ir::Value* seed = builder.ExpandLike(share, loss);
  std::vector<ir::Value*> parameters;
  for (const nn::ParameterSpec& parameter : network.parameters) {
    if (parameter.kind != nn::ParameterKind::kTrained) continue;
    parameters.push_back(body.graph->FindInput(parameter.name));
  }
  const std::vector<ir::Value*> gradients =
      passes::Gradients(*body.graph, registry, loss, parameters, seed);
  for (size_t i = 0; i < gradients.size(); ++i) {
    body.AddOutput(gradients[i], parameters[i]->name() + ".gradient", ops::ShardOutput::kPartial);
  }
}

// Adds what each shard contributes to the sums that running statistics follow.
void AddStatisticSums(const nn::Network& network, Body& body) {
  for (const nn::StatisticUpdate& update : network.statistics) {
    const ir::Node* sum = body.values.at(update.sum)->producer();
    INGOT_ASSERT(sum != nullptr && sum->op().FullName() == "ingot.ShardSum",
                 update.sum + " is no sum over the shards");
    body.AddOutput(sum->input(0), update.sum, ops::ShardOutput::kPartial);
  }
}

// The step around a finished body.
class Step {
 public:
  Step(const nn::Network& network, Body body, int64_t batch, int64_t shards,
       const ir::OpRegistry& registry)
      : network_(network), registry_(registry), body_(std::move(body)) {
    step_.graph = std::make_unique<ir::Graph>("step");
    step_.parameters = network.parameters;
    step_.batch = batch;
    step_.shards = std::min(shards, batch);
    builder_ = std::make_unique<ir::Builder>(*step_.graph, registry);
    AddShardMap();
  }

  // The sum over shards of a partial output of the body, or its rows.
  ir::Value* Joined(const std::string& name) {
    const std::vector<std::string>& names = body_.graph->output_names();
    const auto i = static_cast<size_t>(std::find(names.begin(), names.end(), name) - names.begin());
    const auto partial = static_cast<int64_t>(ops::ShardOutput::kPartial);
    builder_->set_layer(layers_[name]);
    return body_.kinds[i] == partial ? builder_->Op("ingot.TreeReduce", {outputs_[i]})
                                     : outputs_[i];
  }

  // Of each parameter; null for those that are not trained. Their common length is at most
  // `clip_norm`, where that is not 0.
  std::vector<ir::Value*> Gradients(double clip_norm) {
    std::vector<ir::Value*> gradients;
    std::vector<ir::Value*> squares;
    for (const nn::ParameterSpec& parameter : network_.parameters) {
      const bool trained = parameter.kind == nn::ParameterKind::kTrained;
      gradients.push_back(trained ? Joined(parameter.name + ".gradient") : nullptr);
      if (!trained || clip_norm == 0) continue;
      squares.push_back(builder_->Op("ingot.SumSquares", {gradients.back()}));
    }
    if (squares.empty()) return gradients;
    builder_->set_layer("clipping");
    ir::Value* scale =
        builder_->Op("ingot.ClipScale", std::move(squares),
                     {{"max_norm", clip_norm}, {"to", static_cast<int64_t>(network_.precision)}});
    for (ir::Value*& gradient : gradients) {
      if (gradient != nullptr) gradient = builder_->Op("ingot.ScaleGradient", {gradient, scale});
    }
    return gradients;
  }

  void AddUpdates(const nn::OptimizerOptions& optimizer) {
    ir::Graph& graph = *step_.graph;
    nn::UpdateInputs inputs;
    std::vector<std::vector<ir::Value*>> state(network_.parameters.size());
    for (size_t i = 0; i < state.size(); ++i) {
      if (network_.parameters[i].kind != nn::ParameterKind::kTrained) continue;
      for (nn::StateSpec& spec : nn::StateOf(optimizer, network_.parameters[i])) {
        state[i].push_back(
            graph.AddInput(spec.name, ir::Type::Tensor(spec.dtype, spec.shape), ir::Role::kState));
        step_.state.push_back(std::move(spec));
      }
    }
    inputs.learning_rate = graph.AddInput(
        "learning_rate", ir::Type::Tensor(network_.precision, Shape{}), ir::Role::kScalar);
    if (optimizer.counts_steps) {
      inputs.step =
          graph.AddInput("step", ir::Type::Tensor(DType::kI64, Shape{}), ir::Role::kScalar);
    }
    const std::vector<ir::Value*> gradients = Gradients(optimizer.clip_norm);
    for (size_t i = 0; i < state.size(); ++i) {
      const nn::ParameterSpec& parameter = network_.parameters[i];
      if (parameter.kind != nn::ParameterKind::kTrained) continue;
      inputs.spec = &parameter;
      inputs.gradient = gradients[i];
      inputs.parameter = graph.FindInput(parameter.name);
      inputs.state = state[i];
      builder_->set_layer(parameter.layer);
      const nn::UpdateOutputs updated = nn::AddUpdate(optimizer, *builder_, inputs);
      AddAliased(updated.parameter, inputs.parameter);
      for (size_t s = 0; s < state[i].size(); ++s) AddAliased(updated.state[s], state[i][s]);
    }
  }

  void AddStatistics() {
    for (const nn::StatisticUpdate& update : network_.statistics) {
      std::vector<ir::Value*> inputs;
      for (const std::string& name : update.statistics) {
        inputs.push_back(step_.graph->FindInput(name));
      }
      inputs.push_back(Joined(update.sum));
      builder_->set_layer(update.layer);
      const std::vector<ir::Value*> updated =
          builder_->Ops(update.op, inputs, update.statistics.size(), update.attributes);
      for (size_t i = 0; i < updated.size(); ++i) AddAliased(updated[i], inputs[i]);
    }
  }

  void AddSums(const std::vector<std::string>& names) {
    for (const std::string& name : names) step_.graph->AddOutput(Joined(name), name);
    step_.sums = names;
  }

  void AddRows(const std::string& name) {
    step_.graph->AddOutput(Joined(name), name);
    step_.rows.push_back(name);
  }

  StepGraph Finish() {
    passes::CutAtShardSums(*step_.graph, registry_);
    return std::move(step_);
  }

 private:
  void AddShardMap() {
    ir::Graph& graph = *step_.graph;
    std::vector<ir::Value*> inputs;
    int64_t sharded = 0;
    for (const ir::Value* input : body_.graph->inputs()) {
      ir::Type type = input->type();
      if (input->role() == ir::Role::kData) {
        // ShardMap cuts its first inputs; the network's data inputs come first.
        INGOT_ASSERT(sharded == static_cast<int64_t>(inputs.size()), "data inputs come first");
        ir::Dimensions dims = type.dims();
        dims[0] = ir::Dimension(step_.batch);
        type = type.WithDims(std::move(dims));
        ++sharded;
      }
      inputs.push_back(graph.AddInput(input->name(), type, input->role()));
    }
    outputs_ = builder_->Ops("ingot.ShardMap", std::move(inputs), body_.kinds.size(),
                             {{"body", body_.graph},
                              {"shards", step_.shards},
                              {"sharded", sharded},
                              {"output_kinds", body_.kinds}});
    for (size_t i = 0; i < outputs_.size(); ++i) {
      const ir::Node* producer = body_.graph->outputs()[i]->producer();
      if (producer != nullptr) layers_[body_.graph->output_names()[i]] = producer->layer();
    }
  }

  void AddAliased(ir::Value* updated, ir::Value* input) {
    step_.graph->AddOutput(updated, input->name());
    step_.graph->SetAlias(step_.graph->outputs().size() - 1, input);
  }

  const nn::Network& network_;
  const ir::OpRegistry& registry_;
  Body body_;
  StepGraph step_;
  std::unique_ptr<ir::Builder> builder_;
  std::vector<ir::Value*> outputs_;            // of the ShardMap
  std::map<std::string, std::string> layers_;  // the layer that an output of the body belongs to
};

}  // namespace

StepGraph BuildStepGraph(const nn::Network& network, const nn::OptimizerOptions& optimizer,
                         int64_t batch, int64_t shards, const ir::OpRegistry& registry,
                         DType precision) {
  Check(network, batch, shards, precision, true);
  Body body = CloneBody(network);
  AddGradients(network, registry, batch, body);
  ir::Builder builder(*body.graph, registry);
  const std::vector<std::string> sums = AddSums(network, builder, body);
  AddStatisticSums(network, body);
  passes::EliminateDeadCode(*body.graph);
  Step step(network, std::move(body), batch, shards, registry);
  step.AddUpdates(optimizer);
  step.AddStatistics();
  step.AddSums(sums);
  return step.Finish();
}

StepGraph BuildEvaluationGraph(const nn::Network& network, int64_t batch, int64_t shards,
                               const ir::OpRegistry& registry, EvaluationOutputs outputs,
                               DType precision) {
  const bool with_sums = outputs != EvaluationOutputs::kRows;
  Check(network, batch, shards, precision, with_sums);
  Body body = CloneBody(network);
  std::vector<std::string> sums;
  if (outputs != EvaluationOutputs::kSums) {
    body.AddOutput(body.values.at("output"), "output", ops::ShardOutput::kRows);
  }
  if (with_sums) {
    ir::Builder builder(*body.graph, registry);
    sums = AddSums(network, builder, body);
  }
  passes::EliminateDeadCode(*body.graph);
  ir::Value* labels = body.graph->FindInput("y");
  if (labels != nullptr && !labels->is_used()) body.graph->RemoveInput(labels);
  Step step(network, std::move(body), batch, shards, registry);
  step.AddSums(sums);
  if (outputs != EvaluationOutputs::kSums) step.AddRows("output");
  return step.Finish();
}

}  // namespace ingot::train
