// TrainingSetup: see setup.h.
#include "ingot/train/setup.h"

#include <algorithm>
#include <filesystem>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "ingot/base/byte_count.h"
#include "ingot/base/error.h"
#include "ingot/base/file.h"
#include "ingot/base/sha256.h"
#include "ingot/base/text.h"
#include "ingot/compiler/compile.h"
#include "ingot/dist/ownership.h"
#include "ingot/nn/parameter_pattern.h"
#include "ingot/ops/standard_ops.h"
#include "ingot/train/memory_plan.h"

namespace ingot::train {
namespace {

MixedPrecision MixedPrecisionOf(const Job& job) {
  MixedPrecision mixed;
  if (job.precision == "bf16") mixed.type = DType::kBf16;
  if (job.precision == "fp16") mixed.type = DType::kF16;
  mixed.keep_f32 = job.mixed_precision.keep_f32;
  mixed.loss_scale = job.mixed_precision.loss_scale;
  mixed.growth_interval = job.mixed_precision.growth_interval;
  return mixed;
}

int64_t TotalSteps(const Job& job, int64_t steps_per_epoch) {
  int64_t total = std::numeric_limits<int64_t>::max();
  if (job.epochs > 0 && job.epochs < total / steps_per_epoch) total = job.epochs * steps_per_epoch;
  if (job.steps > 0) total = std::min(total, job.steps);
  return total;
}

// Relative names in a job stand beside the job file, and those of the command line in the current
// folder; job.yaml in a run directory is another file, so that it names the folder in full.
void MakeFolderAbsolute(data::DataOptions& options) {
  const ConfigNode& source = options.source;
  const bool names_files =
      source.is_map() && !source.entries().empty() && !source.entries()[0].second.is_null();
  if (options.folder.empty() && names_files) {
    options.folder = source.line() > 0 ? ParentDirectory(source.file())
                                       : std::filesystem::current_path().string();
  }
  if (!options.folder.empty()) {
    options.folder = std::filesystem::absolute(options.folder).lexically_normal().string();
  }
}

int64_t ShardsOf(const Job& job, const nn::Network& network, int64_t batch) {
  if (job.logical_shards == "auto") {
    return ChooseShards(network, batch);
  }
  // A shard holds at least one sample.
  return std::min(ReadScalar<int64_t>(ConfigNode::Scalar(job.logical_shards)), batch);
}

BatchPart PartOfBatch(int64_t batch, int replica, int replicas) {
  const int64_t first = batch * replica / replicas;
  return {first, batch * (replica + 1) / replicas - first};
}

// The numbers of samples that the steps of the job have: one of the full batch first.
std::vector<int64_t> BatchSizes(const data::Batches& batches, int64_t total_steps, int replicas) {
  std::vector<int64_t> whole = {batches.batch()};
  const bool reaches_last = total_steps >= batches.StepsPerEpoch();
  if (reaches_last && batches.LastBatch() != batches.batch()) whole.push_back(batches.LastBatch());
  std::vector<int64_t> sizes;
  for (const int64_t batch : whole) {
    for (int replica = replicas - 1; replica >= 0; --replica) {
      const int64_t samples = PartOfBatch(batch, replica, replicas).samples;
      const bool known = std::find(sizes.begin(), sizes.end(), samples) != sizes.end();
      if (samples > 0 && !known) sizes.push_back(samples);
    }
  }
  return sizes;
}

int ReplicasOf(const Job& job, int workers, int64_t batch) {
  if (!job.train.is_local()) return 1;
  const int64_t replicas = job.train.replicas.value_or(std::min<int64_t>(workers, batch));
  if (replicas <= batch) return static_cast<int>(replicas);
  throw Error(ErrorCode::kInvalidInput,
              fmt::format("train.replicas is {}, but a batch has {} samples", replicas, batch),
              "each replica needs a sample of every batch: make data.batch larger");
}

void Freeze(const std::vector<std::string>& patterns, nn::Network& network) {
  for (const std::string& pattern : patterns) {
    nn::CheckPattern(pattern, network.parameters, "freeze");
  }
  bool trains = false;
  for (nn::ParameterSpec& parameter : network.parameters) {
    if (parameter.kind != nn::ParameterKind::kTrained) continue;
    const bool frozen = std::any_of(
        patterns.begin(), patterns.end(),
        [&](const std::string& pattern) { return nn::MatchesPattern(pattern, parameter.name); });
    if (frozen) parameter.kind = nn::ParameterKind::kFrozen;
    trains = trains || !frozen;
  }
  if (trains) return;
  if (patterns.empty()) {
    throw Error(ErrorCode::kInvalidInput, "model: no layer has a parameter to train",
                "add one that has: dense, conv, embedding");
  }
  throw Error(ErrorCode::kInvalidInput, "freeze: no parameter is left to be trained",
              "leave the last layers out of it");
}

// Numbers of categories lie below the extent of the table that they are looked up in.
void CheckCategories(const data::Field& x, const nn::Network& network) {
  if (x.categorical == 0 || x.classes == 0) return;
  for (const nn::ParameterSpec& parameter : network.parameters) {
    const bool embeds = parameter.layer.find("(embed_columns ") != std::string::npos;
    if (!embeds || parameter.shape[0] >= x.classes) continue;
    throw Error(
        ErrorCode::kInvalidInput,
        fmt::format("layer {} has a vocabulary of {}, but the columns of categories have {} "
                    "in all, unknown ones included",
                    parameter.layer, parameter.shape[0], x.classes),
        fmt::format("set its vocabulary to {} or more", x.classes));
  }
}

// What can be said of a job without its data, which may have to be downloaded first.
void CheckWithoutData(const Job& job, const nn::LayerRegistry& layers) {
  nn::NetworkOptions options;
  options.model = job.model;
  options.loss = job.loss;
  options.metrics = job.metrics;
  options.precision = PrecisionOf(job);
  nn::CheckNetworkOptions(options, layers);
}

}  // namespace

nn::NetworkOptions NetworkOptionsOf(const Job& job, const data::DataSets& data, bool training) {
  nn::NetworkOptions options;
  options.model = job.model;
  const bool classes = data.y().classes > 0 && IsInteger(data.y().dtype);
  options.loss = job.loss;
  if (job.loss.is_null()) {
    options.loss = ConfigNode::Scalar(classes ? "softmax_cross_entropy" : "mse");
  }
  options.metrics = job.metrics;
  if (job.metrics.is_null()) {
    options.metrics = ConfigNode::List({ConfigNode::Scalar(classes ? "accuracy" : "mae")});
  }
  options.x = {data.x().dtype, data.x().shape, data.x().classes};
  const data::Field& y = training ? data.training_y() : data.y();
  options.y = {y.dtype, y.shape, y.classes};
  options.class_weights = data.class_weights;
  options.training = training;
  options.precision = PrecisionOf(job);
  return options;
}

std::shared_ptr<const ir::OpRegistry> RegistryOf(const SetupOptions& options) {
  if (options.registry != nullptr) return options.registry;
  static const auto standard = std::make_shared<const ir::OpRegistry>(ops::StandardOps());
  return standard;
}

BatchPart TrainingSetup::PartOf(int64_t step, int replica) const {
  return PartOfBatch(batches->BatchOf(step), replica, replicas);
}

int TrainingSetup::ProgramOf(int64_t step, int replica) const {
  const int64_t samples = PartOf(step, replica).samples;
  for (size_t i = 0; i < steps.size(); ++i) {
    if (steps[i].batch == samples) return static_cast<int>(i);
  }
  INGOT_ASSERT(false, "no program for a batch of this size");
  return 0;
}

uint64_t TrainingSetup::SeedOf(int replica) const {
  constexpr uint64_t kGolden = 0x9E3779B97F4A7C15u;  // spreads small numbers over all bits
  return static_cast<uint64_t>(job.seed) ^ (static_cast<uint64_t>(replica) * kGolden);
}

int64_t TrainingSetup::RoundEnd(int64_t step) const {
  const int64_t inner = job.train.has_rounds() ? *job.train.inner_steps : 1;
  return std::min(total_steps, (step / inner + 1) * inner);
}

int64_t TrainingSetup::RoundBefore(int64_t step) const {
  const int64_t inner = job.train.has_rounds() ? *job.train.inner_steps : 1;
  return std::max<int64_t>(0, (step - 1) / inner * inner);
}

TrainingSetup PrepareTraining(const Job& job, const SetupOptions& options) {
  TrainingSetup setup;
  setup.job = job;
  setup.registry = RegistryOf(options);
  setup.layers = options.layers != nullptr ? options.layers : &nn::StandardLayers();
  CheckWithoutData(job, *setup.layers);
  const auto seed = static_cast<uint64_t>(job.seed);
  setup.data = options.data ? *options.data
                            : data::OpenData(job.data, seed, PrecisionOf(job), options.find_mnist);
  const std::optional<float> x_scale = setup.data.ScaleOfBytes();
  setup.batches = setup.data.TrainingBatches(seed, x_scale.has_value());
  setup.total_steps = TotalSteps(job, setup.steps_per_epoch());
  if (setup.total_steps > 0 && job.accumulate > setup.total_steps) {
    throw Error(
        ErrorCode::kInvalidInput,
        fmt::format("accumulate: {} steps make an update, and the whole job has {}: nothing "
                    "would be trained",
                    WithThousands(job.accumulate), WithThousands(setup.total_steps)),
        "train for more epochs, or make accumulate smaller");
  }
  setup.network =
      nn::BuildNetwork(NetworkOptionsOf(job, setup.data, true), *setup.registry, *setup.layers);
  CheckCategories(setup.data.x(), setup.network);
  nn::CheckGroups(job.optimizer, setup.network.parameters);
  Freeze(job.freeze, setup.network);
  setup.logical_shards = ShardsOf(job, setup.network, setup.batches->batch());
  setup.replicas = ReplicasOf(job, options.workers, setup.batches->batch());

  MakeFolderAbsolute(setup.job.data);
  if (setup.job.data.transforms.is_null()) {
    setup.job.data.transforms = data::DefaultTransforms(*setup.data.train);
  }
  setup.resolved = ResolvedJob(
      setup.job, {&setup.network, setup.logical_shards, setup.total_steps, setup.replicas});
  setup.job_digest = JobDigest(setup.resolved);

  compiler::CompileOptions compile;
  compile.telemetry = options.telemetry;
  setup.mixed = MixedPrecisionOf(job);
  const auto build = [&](int64_t size) {
    const int64_t shards = std::max<int64_t>(1, setup.logical_shards / setup.replicas);
    return BuildStepGraph(setup.network, job.optimizer, size, shards, *setup.registry,
                          PrecisionOf(job), setup.mixed, job.accumulate, x_scale);
  };
  for (const int64_t size : BatchSizes(*setup.batches, setup.total_steps, setup.replicas)) {
    setup.steps.push_back(build(size));
  }
  if (job.mesh && job.mesh->shape().workers() > 1) {
    MeshRequest request{&setup.job,           &setup.network, &setup.steps,
                        setup.logical_shards, x_scale,        compile};
    setup.mesh = MakeMesh(request, *setup.registry);
    std::string digests;
    for (const MeshPart& part : setup.mesh->parts) {
      digests += compiler::PlanOf(*part.programs[0]).digest + "\n";
      setup.planned_bytes = std::max(setup.planned_bytes, part.planned_bytes);
      setup.recompute_segments = std::max(setup.recompute_segments, part.recompute_segments);
    }
    setup.programs = setup.mesh->parts.back().programs;
    setup.kernel_digest = Sha256Hex(digests);
    return setup;
  }
  const auto compile_all = [&](const compiler::CompileOptions& chosen) {
    std::vector<std::shared_ptr<const runtime::StepProgram>> programs;
    for (const StepGraph& step : setup.steps) {
      programs.push_back(compiler::CompileStep(*step.graph, *setup.registry, chosen));
    }
    return programs;
  };
  const uint64_t limit = ParseBytes(job.memory_limit);
  const auto count_of = [&](int64_t shards) {
    // More workers than shards stand by. Counting what one holds takes the programs of all: where
    // there is no limit to keep, nobody asks.
    const auto workers = static_cast<int>(std::min<int64_t>(options.workers, shards));
    const bool shares = limit > 0 && workers > 1 && job.train.sync == "every_step";
    return shares ? BytesOfWorker(workers, job.train.shard_optimizer) : BytesOfProcess(shards);
  };
  MemoryPlanChoice choice = PlanWithin(
      limit, compile, count_of(setup.logical_shards), compile_all, setup.batches->batch(),
      [&](int64_t size) {
        compiler::CompileOptions least = compile;
        least.telemetry = nullptr;
        least.recompute_segments = 8;
        const StepGraph step = build(size);
        return count_of(step.shards)({compiler::CompileStep(*step.graph, *setup.registry, least)});
      });
  setup.programs = std::move(choice.programs);
  setup.planned_bytes = choice.bytes;
  setup.recompute_segments = choice.recompute_segments;
  std::string digests;
  for (const auto& program : setup.programs) digests += compiler::PlanOf(*program).digest + "\n";
  // Of the full batch alone: whether a run reaches the short one does not change its kernels.
  setup.kernel_digest = Sha256Hex(digests.substr(0, digests.find('\n')));
  return setup;
}

namespace {

// What a worker holds of the state that updates alone read, where each updates its part.
std::string ExplainShards(const TrainingSetup& setup) {
  const runtime::StepProgram& program = *setup.programs[0];
  std::string text = "train.shard_optimizer: of what updates alone read, the largest part is\n";
  for (const int workers : {1, 2, 4, 8}) {
    if (workers > program.shards()) break;
    const dist::Ownership ownership = dist::DealUpdates(program, workers);
    uint64_t most = 0;
    for (int rank = 0; rank < workers; ++rank) {
      uint64_t bytes = 0;
      for (size_t i = 0; i < program.states.size(); ++i) {
        if (!dist::Ownership::IsPart(program, ownership, i)) continue;
        const runtime::StateTensor part = dist::PartOfState(program, ownership, i, rank);
        bytes += static_cast<uint64_t>(part.shape.size()) * ItemSize(part.dtype);
      }
      most = std::max(most, bytes);
    }
    text +=
        fmt::format("  {} of {} worker{}\n", HumanBytes(most), workers, workers == 1 ? "" : "s");
  }
  return text;
}

}  // namespace

std::string ExplainTraining(const TrainingSetup& setup) {
  const compiler::StepPlan& plan = compiler::PlanOf(*setup.programs[0]);
  const data::Batches& batches = *setup.batches;
  std::string text = "job, with everything spelled out:\n";
  for (const std::string& line : Split(setup.resolved.ToYaml(), '\n')) {
    if (!line.empty()) text += "  " + line + "\n";
  }
  text += fmt::format("\ndata: {} samples of {} -> {}; a batch of {}, {} steps an epoch\n",
                      WithThousands(batches.samples()),
                      setup.data.conversions[0].input().Describe(), setup.data.x().Describe(),
                      batches.batch(), WithThousands(setup.steps_per_epoch()));
  text += "\nmodel:\n";
  const auto indented = [](const nn::LayerSummary& layer) {
    return std::string(2 * static_cast<size_t>(layer.depth), ' ') + layer.name;
  };
  size_t width = 5;
  for (const nn::LayerSummary& layer : setup.network.layers) {
    width = std::max(width, indented(layer).size());
  }
  for (const nn::LayerSummary& layer : setup.network.layers) {
    text += fmt::format("  {:<{}}  {:<20} {:>12} parameters\n", indented(layer), width,
                        layer.output.ToString(), WithThousands(layer.parameters));
  }
  text += fmt::format("  {:<{}}  {:<20} {:>12} parameters\n", "total", width, "",
                      WithThousands(setup.network.parameter_count()));
  text += fmt::format(
      "\nstep: {} logical shards, {:.3g} MFLOP; memory: {} of parameters and optimizer state, {} "
      "for each thread\n",
      plan.shards, plan.flops / 1e6, HumanBytes(plan.state_bytes), HumanBytes(plan.arena_bytes));
  if (setup.recompute_segments > 0) {
    text += fmt::format("memory_limit: activations are computed again, in {} segments: {} in all\n",
                        setup.recompute_segments, HumanBytes(setup.planned_bytes));
  }
  if (setup.mesh) text += ExplainMesh(*setup.mesh);
  if (setup.job.train.shard_optimizer) text += ExplainShards(setup);
  text += fmt::format("run: {} steps\n", WithThousands(setup.total_steps));
  return text;
}

}  // namespace ingot::train
