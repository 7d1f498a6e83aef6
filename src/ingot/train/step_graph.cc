// Builds the body that runs for each shard, then the step around it.
#include "ingot/train/step_graph.h"

#include <algorithm>
#include <map>

#include "ingot/base/error.h"
#include "ingot/compiler/compile.h"
#include "ingot/ir/builder.h"
#include "ingot/nn/parameter_pattern.h"
#include "ingot/ops/shard_map.h"
#include "ingot/passes/autodiff.h"
#include "ingot/passes/cut_at_shard_sums.h"
#include "ingot/passes/eliminate_dead_code.h"
#include "ingot/passes/fuse_batch_norm_gradient.h"
#include "ingot/passes/mixed_precision.h"
#include "ingot/passes/pass.h"
#include "ingot/train/mesh_stage.h"

namespace ingot::train {

namespace {

// The values of a network's clone that the step is made from, by the name of the output.
struct Body {
  std::shared_ptr<ir::Graph> graph;
  std::map<std::string, ir::Value*> values;
  std::vector<int64_t> kinds;       // of the outputs added so far
  std::vector<std::string> copies;  // parameters that have a rounded copy

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
                  const MixedPrecision& mixed, int64_t accumulate, const StepMesh* mesh,
                  Body& body) {
  const bool has_loss = mesh == nullptr || mesh->is_last();
  ir::Value* loss = body.values.at(has_loss ? "loss" : kStageOutput);
  ir::Builder builder(*body.graph, registry);
  builder.set_layer("loss (" + network.loss + ")");
  ir::Value* share = builder.ScalarLike(loss, 1.0 / static_cast<double>(batch * accumulate));
  if (mixed.scales_loss()) {
    ir::Value* scale =
        body.graph->AddInput(kLossScale, ir::Type::Tensor(DType::kF32, Shape{}), ir::Role::kState);
    share = builder.Mul(share, scale);
  }
  ir::Value* seed = has_loss ? builder.ExpandLike(share, loss)
                             : builder.Op("ingot.MeshPass", {loss}, {{"leg", int64_t{1}}});
  std::vector<ir::Value*> parameters;
  for (const nn::ParameterSpec& parameter : network.parameters) {
    if (parameter.kind != nn::ParameterKind::kTrained) continue;
    parameters.push_back(body.graph->FindInput(parameter.name));
  }
  const bool goes_back = mesh != nullptr && !mesh->is_first();
  if (goes_back) parameters.push_back(body.values.at(kStageInput));
  std::vector<ir::Value*> gradients =
      passes::Gradients(*body.graph, registry, loss, parameters, seed);
  if (goes_back) {
    builder.set_layer(parameters.back()->producer()->layer());
    ir::Value* sent = builder.Op("ingot.MeshPass", {gradients.back()}, {{"leg", int64_t{2}}});
    body.AddOutput(sent, kStageSent, ops::ShardOutput::kRows);
    gradients.pop_back();
  }
  for (size_t i = 0; i < gradients.size(); ++i) {
    body.AddOutput(gradients[i], parameters[i]->name() + ".gradient", ops::ShardOutput::kPartial);
  }
  passes::PassRunner runner;
  runner.Run("fuse_batch_norm_gradient", *body.graph,
             [&](ir::Graph& graph) { passes::FuseBatchNormGradient(graph, registry); });
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

// "blocks.0.1 (dense 64)" -> "blocks.0.1".
std::string PathOfLayer(const std::string& layer) {
  return layer.substr(0, layer.find(" ("));
}

bool Keeps(const std::vector<std::string>& patterns, const std::string& layer) {
  const std::string path = PathOfLayer(layer);
  return std::any_of(patterns.begin(), patterns.end(), [&](const std::string& pattern) {
    return nn::MatchesPattern(pattern, path) || nn::MatchesPattern(pattern + ".*", path);
  });
}

void Mix(const nn::Network& network, const ir::OpRegistry& registry, const MixedPrecision& mixed,
         Body& body) {
  for (const std::string& pattern : mixed.keep_f32) {
    const bool matches =
        std::any_of(network.layers.begin(), network.layers.end(),
                    [&](const nn::LayerSummary& layer) { return Keeps({pattern}, layer.name); });
    if (matches) continue;
    throw Error(ErrorCode::kInvalidInput,
                "mixed_precision.keep_f32: no layer's path matches '" + pattern + "'",
                "see the paths in the table of `ingot train --explain`, such as " +
                    PathOfLayer(network.layers.empty() ? "0" : network.layers.back().name));
  }
  passes::MixedPrecisionOptions options;
  options.type = mixed.type;
  options.keeps_f32 = [&](const std::string& layer) { return Keeps(mixed.keep_f32, layer); };
  options.has_copy = [&](const std::string& name) {
    return std::any_of(network.parameters.begin(), network.parameters.end(),
                       [&](const nn::ParameterSpec& parameter) {
                         return parameter.name == name &&
                                parameter.kind == nn::ParameterKind::kTrained;
                       });
  };
  passes::PassRunner runner;
  runner.Run("mixed_precision", *body.graph, [&](ir::Graph& graph) {
    body.copies = passes::MixPrecision(graph, registry, options);
  });
}

// Input "x" becomes bytes, which the body scales.
void TakeBytes(float scale, const ir::OpRegistry& registry, ir::Graph& body) {
  ir::Value* x = body.FindInput("x");
  INGOT_ASSERT(x != nullptr && x->type().dtype() == DType::kF32, "x is f32");
  const std::vector<ir::Value::Use> uses = x->uses();
  x->set_type(x->type().WithDType(DType::kU8));
  ir::Builder builder(body, registry, body.nodes().front());
  builder.set_layer("data");
  ir::Value* scaled =
      builder.Op("DequantizeLinear", {x, builder.Constant(Tensor::Scalar<float>(scale))});
  for (const ir::Value::Use& use : uses) use.node->SetInput(static_cast<size_t>(use.input), scaled);
}

// The step around a finished body.
class Step {
 public:
  Step(const nn::Network& network, Body body, int64_t batch, int64_t shards,
       const MixedPrecision& mixed, int64_t accumulate, const ir::OpRegistry& registry,
       const StepMesh* mesh = nullptr)
      : network_(network),
        registry_(registry),
        mixed_(mixed),
        mesh_(mesh),
        accumulate_(accumulate),
        body_(std::move(body)) {
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
  std::vector<ir::Value*> Gradients(const nn::OptimizerOptions& optimizer) {
    const double clip_norm = optimizer.clip_norm;
    std::vector<ir::Value*> gradients;
    std::vector<ir::Value*> squares;
    for (const nn::ParameterSpec& parameter : network_.parameters) {
      const bool trained = parameter.kind == nn::ParameterKind::kTrained;
      gradients.push_back(trained ? Accumulated(parameter) : nullptr);
      if (!trained || (clip_norm == 0 && !mixed_.scales_loss())) continue;
      squares.push_back(builder_->Op("ingot.SumSquares", {gradients.back()}));
      if (mesh_ == nullptr || mesh_->cut_parameters.count(parameter.name) == 0) continue;
      squares.back() = builder_->Op("ingot.MeshSum", {squares.back()});
    }
    if (mesh_ != nullptr && mesh_->stages > 1 && clip_norm > 0) JoinStages(squares);
    if (squares.empty()) return gradients;
    ir::Value* scale = mixed_.scales_loss() ? LossScale(std::move(squares), clip_norm)
                                            : ClipScale(std::move(squares), clip_norm);
    for (size_t i = 0; i < gradients.size(); ++i) {
      if (gradients[i] == nullptr) continue;
      // An update of whole gradients reads them where all shards share them.
      const bool whole = nn::NeedsWholeGradient(optimizer, network_.parameters[i]);
      gradients[i] = builder_->Op(whole ? "Mul" : "ingot.ScaleGradient", {gradients[i], scale});
    }
    return gradients;
  }

  // A parameter's gradient; over several steps, the sum so far.
  ir::Value* Accumulated(const nn::ParameterSpec& parameter) {
    ir::Value* gradient = Joined(parameter.name + ".gradient");
    if (accumulate_ == 1) return gradient;
    const nn::StateSpec spec{parameter.name + kAccumulatedSuffix, parameter.shape, parameter.dtype};
    ir::Value* sum = step_.graph->AddInput(spec.name, ir::Type::Tensor(spec.dtype, spec.shape),
                                           ir::Role::kState);
    step_.state.push_back(spec);
    builder_->set_layer(parameter.layer);
    ir::Value* total =
        builder_->Op("ingot.Accumulate", {gradient, sum, step_.graph->FindInput(kContinues)});
    AddAliased(total, sum);
    return total;
  }

  // The sum of the squares of all stages.
  void JoinStages(std::vector<ir::Value*>& squares) {
    builder_->set_layer("clipping");
    ir::Value* sum = squares.empty() ? builder_->Constant(Tensor::Scalar<double>(0)) : squares[0];
    for (size_t i = 1; i < squares.size(); ++i) sum = builder_->Add(sum, squares[i]);
    squares = {builder_->Op("ingot.MeshSum", {sum}, {{"axis", std::string("pipeline")}})};
  }

  ir::Value* ClipScale(std::vector<ir::Value*> squares, double clip_norm) {
    builder_->set_layer("clipping");
    return builder_->Op(
        "ingot.ClipScale", std::move(squares),
        {{"max_norm", clip_norm}, {"to", static_cast<int64_t>(network_.precision)}});
  }

  // What the gradients are multiplied by, clipping included; steps that overflow are skipped.
  ir::Value* LossScale(std::vector<ir::Value*> squares, double clip_norm) {
    builder_->set_layer("loss scale");
    std::vector<ir::Value*> state = {step_.graph->FindInput(kLossScale)};
    for (const char* name : {kGoodSteps, kSkippedSteps}) {
      state.push_back(
          step_.graph->AddInput(name, ir::Type::Tensor(DType::kF32, Shape{}), ir::Role::kState));
    }
    step_.state.push_back({kLossScale, Shape{}, DType::kF32, mixed_.loss_scale});
    step_.state.push_back({kGoodSteps, Shape{}});
    step_.state.push_back({kSkippedSteps, Shape{}});
    std::vector<ir::Value*> inputs = state;
    inputs.insert(inputs.end(), squares.begin(), squares.end());
    const std::vector<ir::Value*> results =
        builder_->Ops("ingot.LossScale", std::move(inputs), 5,
                      {{"max_norm", clip_norm}, {"growth_interval", mixed_.growth_interval}});
    // A step that waits for more counts neither as good nor as skipped.
    for (size_t i = 0; i < state.size(); ++i) AddUpdated(results[i + 2], state[i]);
    skip_ = skip_ == nullptr ? results[1] : builder_->Op("Max", {skip_, results[1]});
    return results[0];
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
    if (accumulate_ > 1) {
      const ir::Type scalar = ir::Type::Tensor(DType::kF32, Shape{});
      graph.AddInput(kContinues, scalar, ir::Role::kScalar);
      skip_ = graph.AddInput(kWaits, scalar, ir::Role::kScalar);
    }
    const std::vector<ir::Value*> gradients = Gradients(optimizer);
    for (size_t i = 0; i < state.size(); ++i) {
      const nn::ParameterSpec& parameter = network_.parameters[i];
      if (parameter.kind != nn::ParameterKind::kTrained) continue;
      inputs.spec = &parameter;
      inputs.gradient = gradients[i];
      inputs.parameter = graph.FindInput(parameter.name);
      inputs.state = state[i];
      builder_->set_layer(parameter.layer);
      ir::Value* copy = CopyOf(parameter);
      inputs.copy_to = copy != nullptr ? mixed_.type : DType::kUndefined;
      const nn::UpdateOutputs updated = nn::AddUpdate(optimizer, *builder_, inputs);
      AddUpdated(updated.parameter, inputs.parameter);
      for (size_t s = 0; s < state[i].size(); ++s) AddUpdated(updated.state[s], state[i][s]);
      if (copy != nullptr) AddUpdated(updated.copy, copy);
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

  // The rounded copy of a parameter, which is state of the step from now on; null: none.
  ir::Value* CopyOf(const nn::ParameterSpec& parameter) {
    const auto& copies = body_.copies;
    if (std::find(copies.begin(), copies.end(), parameter.name) == copies.end()) return nullptr;
    nn::StateSpec spec{passes::CopyName(parameter.name, mixed_.type), parameter.shape};
    spec.copy_of = parameter.name;
    spec.copy_to = mixed_.type;
    step_.state.push_back(spec);
    return step_.graph->FindInput(spec.name);
  }

  // What an update gives, unless the step is skipped.
  void AddUpdated(ir::Value* updated, ir::Value* input) {
    if (skip_ != nullptr) {
      updated = builder_->Op("ingot.KeepWhenSkipped", {skip_, input, updated});
    }
    AddAliased(updated, input);
  }

  void AddAliased(ir::Value* updated, ir::Value* input) {
    step_.graph->AddOutput(updated, input->name());
    step_.graph->SetAlias(step_.graph->outputs().size() - 1, input);
  }

  const nn::Network& network_;
  const ir::OpRegistry& registry_;
  const MixedPrecision& mixed_;
  const StepMesh* mesh_;  // null: the network is the whole model
  int64_t accumulate_;    // steps to an update
  Body body_;
  ir::Value* skip_ = nullptr;  // not 0 where the step is skipped; null: no step is
  StepGraph step_;
  std::unique_ptr<ir::Builder> builder_;
  std::vector<ir::Value*> outputs_;            // of the ShardMap
  std::map<std::string, std::string> layers_;  // the layer that an output of the body belongs to
};

}  // namespace

int64_t ChooseShards(const nn::Network& network, int64_t batch) {
  return compiler::ChooseShards(batch,
                                {network.largest_layer_parameters(), network.multiplications()});
}

StepGraph BuildStepGraph(const nn::Network& network, const nn::OptimizerOptions& optimizer,
                         int64_t batch, int64_t shards, const ir::OpRegistry& registry,
                         DType precision, const MixedPrecision& mixed, int64_t accumulate,
                         std::optional<float> x_scale, const StepMesh* mesh) {
  const bool has_loss = mesh == nullptr || mesh->is_last();
  Check(network, batch, shards, precision, has_loss);
  INGOT_ASSERT(accumulate >= 1, "a step is part of at least one update");
  INGOT_ASSERT(!mixed.is_active() || precision == DType::kF32, "mixed precision is of f32");
  Body body = CloneBody(network);
  AddGradients(network, registry, batch, mixed, accumulate, mesh, body);
  ir::Builder builder(*body.graph, registry);
  std::vector<std::string> sums;
  if (has_loss) sums = AddSums(network, builder, body);
  AddStatisticSums(network, body);
  passes::EliminateDeadCode(*body.graph);
  if (x_scale) TakeBytes(*x_scale, registry, *body.graph);
  if (mixed.is_active()) Mix(network, registry, mixed, body);
  Step step(network, std::move(body), batch, shards, mixed, accumulate, registry, mesh);
  step.AddUpdates(optimizer);
  step.AddStatistics();
  step.AddSums(sums);
  if (mesh != nullptr && !mesh->is_first()) step.AddRows(kStageSent);
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
  const MixedPrecision plain;
  Step step(network, std::move(body), batch, shards, plain, 1, registry);
  step.AddSums(sums);
  if (outputs != EvaluationOutputs::kSums) step.AddRows("output");
  return step.Finish();
}

}  // namespace ingot::train
