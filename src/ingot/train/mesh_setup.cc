// Cuts a network for each place of a mesh: see mesh_setup.h.
#include "ingot/train/mesh_setup.h"

#include <algorithm>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "ingot/base/byte_count.h"
#include "ingot/base/error.h"
#include "ingot/base/text.h"
#include "ingot/dist/dealing.h"
#include "ingot/nn/optimizer.h"
#include "ingot/passes/pass.h"
#include "ingot/train/memory_plan.h"
#include "ingot/train/mesh_stage.h"

namespace ingot::train {
namespace {

constexpr size_t kMostStages = 254;  // of an engine's step
constexpr int kMicroBatchesOfStage = 8;

// A tensor of the step that is cut as its parameter is.
void AddStateSlices(const StepGraph& whole, const StepGraph& step, const nn::Network& network,
                    MeshPart& part) {
  std::map<std::string, passes::TensorSlice> parameters = part.slices;
  std::map<std::string, Shape> shapes;
  for (const nn::StateSpec& state : whole.state) shapes[state.name] = state.shape;
  for (const nn::StateSpec& state : step.state) {
    const auto known = shapes.find(state.name);
    INGOT_ASSERT(known != shapes.end(), "a part has state of its own: " + state.name);
    if (known->second == state.shape) continue;
    const passes::TensorSlice* slice = nullptr;
    for (const nn::ParameterSpec& parameter : network.parameters) {
      const auto cut = parameters.find(parameter.name);
      const bool belongs = cut != parameters.end() &&
                           state.name.starts_with(parameter.name + ".") &&
                           cut->second.whole == known->second && cut->second.part() == state.shape;
      if (belongs) slice = &cut->second;
    }
    if (slice == nullptr) {
      throw Error(ErrorCode::kUnsupported,
                  "mesh.tensor: the optimizer's state '" + state.name +
                      "' does not have the shape of its parameter",
                  "use an optimizer that works element by element, such as adamw or sgd");
    }
    part.slices[state.name] = *slice;
  }
}

void CheckOptimizer(const nn::OptimizerOptions& optimizer, const nn::Network& network,
                    const std::map<std::string, passes::TensorSlice>& slices) {
  for (const nn::ParameterSpec& parameter : network.parameters) {
    if (slices.count(parameter.name) == 0 || parameter.kind != nn::ParameterKind::kTrained)
      continue;
    if (!nn::NeedsWholeGradient(optimizer, parameter)) continue;
    throw Error(ErrorCode::kUnsupported,
                fmt::format("mesh.tensor: optimizer {} needs the whole gradient of {}, of which "
                            "each worker has a part",
                            optimizer.name(), parameter.name),
                "use an optimizer that works element by element, such as adamw or sgd, or "
                "mesh.pipeline");
  }
}

class Maker {
 public:
  Maker(const MeshRequest& request, const ir::OpRegistry& registry)
      : request_(request), job_(*request.job), registry_(registry) {
    mesh_.shape = job_.mesh->shape();
  }

  MeshSetup Run() {
    const std::vector<size_t> cuts = ChooseCuts(*request_.network, mesh_.shape.pipeline);
    mesh_.parts.resize(static_cast<size_t>(mesh_.shape.parts()));
    for (int p = 0; p < mesh_.shape.pipeline; ++p) {
      for (int t = 0; t < mesh_.shape.tensor; ++t) {
        MakePart({0, t, p}, cuts, mesh_.parts[static_cast<size_t>(mesh_.shape.part_of({0, t, p}))]);
      }
    }
    mesh_.sums = dist::SumsOf(*mesh_.parts.back().programs[0]);
    ChooseMicroBatches();
    return std::move(mesh_);
  }

 private:
  void MakePart(const dist::MeshPlace& place, const std::vector<size_t>& cuts, MeshPart& part) {
    nn::Network network = request_.network->Clone();
    if (mesh_.shape.pipeline > 1) KeepStage(network, registry_, cuts, place.pipeline);
    passes::TensorSplit split;
    passes::PassRunner runner;
    runner.Run("split_tensor", *network.graph, [&](ir::Graph& graph) {
      split = passes::SplitTensor(graph, registry_, place.tensor, mesh_.shape.tensor);
    });
    part.slices = std::move(split.slices);
    CheckOptimizer(job_.optimizer, network, part.slices);
    StepMesh step_mesh;
    step_mesh.stages = mesh_.shape.pipeline;
    step_mesh.stage = place.pipeline;
    for (nn::ParameterSpec& parameter : network.parameters) {
      const auto slice = part.slices.find(parameter.name);
      if (slice != part.slices.end()) {
        parameter.shape = slice->second.part();
        step_mesh.cut_parameters.insert(parameter.name);
      }
      if (part.layers.empty() || part.layers.back() != parameter.layer) {
        part.layers.push_back(parameter.layer);
      }
    }
    for (const std::string& layer : split.layers) {
      if (place.tensor > 0 || std::find(mesh_.split_layers.begin(), mesh_.split_layers.end(),
                                        layer) != mesh_.split_layers.end()) {
        continue;
      }
      mesh_.split_layers.push_back(layer);
    }
    if (mesh_.shape.tensor > 1 && part.slices.empty()) {
      throw Error(ErrorCode::kUnsupported,
                  fmt::format("mesh.tensor is {}, but no layer{} can be cut into so many parts",
                              mesh_.shape.tensor,
                              mesh_.shape.pipeline > 1
                                  ? fmt::format(" of stage {} of the pipeline", place.pipeline)
                                  : ""),
                  "dense layers one behind the other, feed_forward, attention and embeddings are "
                  "cut where their widths and heads are multiples of it");
    }
    const std::vector<StepGraph>& whole = *request_.steps;
    std::vector<StepGraph> steps;
    for (const StepGraph& step : whole) {
      steps.push_back(BuildStepGraph(network, job_.optimizer, step.batch, request_.shards,
                                     registry_, PrecisionOf(job_), {}, job_.accumulate,
                                     request_.x_scale, &step_mesh));
    }
    AddStateSlices(whole[0], steps[0], *request_.network, part);
    const auto compile = [&](const compiler::CompileOptions& options) {
      std::vector<std::shared_ptr<const runtime::StepProgram>> programs;
      for (const StepGraph& step : steps) {
        programs.push_back(compiler::CompileStep(*step.graph, registry_, options));
      }
      return programs;
    };
    MemoryPlanChoice choice =
        PlanWithin(ParseBytes(job_.memory_limit), request_.compile, BytesOfProcess(request_.shards),
                   compile, whole[0].batch, [](int64_t) { return uint64_t{0}; });
    part.programs = std::move(choice.programs);
    part.planned_bytes = choice.bytes;
    part.recompute_segments = choice.recompute_segments;
  }

  // As many as there are shards, unless the stages of an engine would not suffice. Without a
  // pipeline nobody asks how many there are.
  void ChooseMicroBatches() {
    const auto shards = static_cast<int>(
        dist::DealShards(mesh_.parts[0].programs[0]->shards(), mesh_.shape.data)[0].size());
    if (shards < 1) {
      throw Error(ErrorCode::kInvalidInput,
                  fmt::format("mesh.data is {}, but there are {} logical shards", mesh_.shape.data,
                              mesh_.parts[0].programs[0]->shards()),
                  "set logical_shards to a multiple of mesh.data");
    }
    if (mesh_.shape.pipeline == 1) return;
    const int asked = job_.mesh->micro_batches ? static_cast<int>(*job_.mesh->micro_batches)
                                               : kMicroBatchesOfStage * mesh_.shape.pipeline;
    mesh_.micro_batches = std::max(1, std::min(asked, shards));
    if (mesh_.micro_batches == 1 || MostStages() <= kMostStages) return;
    // The number of stages grows evenly with that of micro-batches; one of these is always taken.
    int fits = 1;
    int too_many = mesh_.micro_batches;
    while (too_many - fits > 1) {
      mesh_.micro_batches = (fits + too_many) / 2;
      (MostStages() <= kMostStages ? fits : too_many) = mesh_.micro_batches;
    }
    mesh_.micro_batches = fits;
  }

  size_t MostStages() const {
    size_t most = 0;
    for (int rank = 0; rank < mesh_.shape.parts(); ++rank) {
      const dist::MeshPosition position = mesh_.PositionOf(rank);
      dist::DistributedOptions options;
      options.rank = position.place.data;
      options.workers = mesh_.shape.data;
      options.mesh = &position;
      dist::ExchangePlans plans;
      const auto& part = mesh_.parts[static_cast<size_t>(mesh_.shape.part_of(position.place))];
      const auto program = dist::MakeDistributedProgram(part.programs[0], options, plans);
      most = std::max(most, program->stages.size());
    }
    return most;
  }

  const MeshRequest& request_;
  const Job& job_;
  const ir::OpRegistry& registry_;
  MeshSetup mesh_;
};

}  // namespace

MeshSetup MakeMesh(const MeshRequest& request, const ir::OpRegistry& registry) {
  return Maker(request, registry).Run();
}

std::string ExplainMesh(const MeshSetup& mesh) {
  const dist::MeshShape& shape = mesh.shape;
  std::string text = fmt::format("\nmesh: {0} workers (ingot launch -n {0}): {1}\n",
                                 shape.workers(), shape.ToString());
  if (!mesh.split_layers.empty()) {
    text += fmt::format("  cut among {} workers each: {}\n", shape.tensor,
                        Join(mesh.split_layers, ", "));
  }
  if (shape.pipeline > 1) {
    text += fmt::format("  micro-batches: {}, one forward and one backward in turn\n",
                        mesh.micro_batches);
  }
  for (int p = 0; p < shape.pipeline; ++p) {
    const MeshPart& part = mesh.parts[static_cast<size_t>(shape.part_of({0, 0, p}))];
    const compiler::StepPlan& plan = compiler::PlanOf(*part.programs[0]);
    text += fmt::format("  {}: {} of parameters and optimizer state, {} in all",
                        shape.pipeline > 1 ? fmt::format("stage {}", p) : "each worker",
                        HumanBytes(plan.state_bytes), HumanBytes(part.planned_bytes));
    if (shape.pipeline > 1 && !part.layers.empty()) {
      text += fmt::format("; from {} to {}", part.layers.front(), part.layers.back());
    }
    text += "\n";
  }
  return text;
}

}  // namespace ingot::train
