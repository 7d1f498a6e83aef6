// Job: the option tables, and which options decide the weights.
#include "ingot/train/job.h"

#include <algorithm>
#include <map>
#include <span>
#include <utility>

#include <fmt/format.h>

#include "ingot/base/byte_count.h"
#include "ingot/base/error.h"
#include "ingot/base/file.h"
#include "ingot/base/sha256.h"
#include "ingot/base/text.h"

namespace ingot::train {
namespace {

const OptionTable<ValidationOptions>& ValidationTable() {
  static const auto table =
      OptionTable<ValidationOptions>("validation", "measuring on the validation samples")
          .Add("every_epochs", &ValidationOptions::every_epochs,
               "epochs from one validation to the next; 0: never", AtLeast(0));
  return table;
}

const OptionTable<EarlyStoppingOptions>& EarlyStoppingTable() {
  static const auto table =
      OptionTable<EarlyStoppingOptions>("early_stopping",
                                        "ends the run when a validation metric stops improving")
          .Add("metric", &EarlyStoppingOptions::metric,
               "what is watched: validation_loss, or validation_ and the name of a metric")
          .Add("patience", &EarlyStoppingOptions::patience,
               "validations without an improvement that end the run", AtLeast(1))
          .Add("minimum_change", &EarlyStoppingOptions::minimum_change,
               "changes up to this much are no improvement", AtLeast(0))
          .AddChoice("mode", &EarlyStoppingOptions::mode,
                     "whether smaller or larger is better; auto: by the metric",
                     {"auto", "min", "max"});
  return table;
}

const OptionTable<CheckpointOptions>& CheckpointTable() {
  static const auto table =
      OptionTable<CheckpointOptions>("checkpoint",
                                     "when checkpoints are written, and how many stay")
          .Add("every_steps", &CheckpointOptions::every_steps,
               "steps from one checkpoint to the next; 0: not by steps", AtLeast(0))
          .Add("every_epochs", &CheckpointOptions::every_epochs,
               "epochs from one checkpoint to the next; 0: not by epochs", AtLeast(0))
          .Add("every_seconds", &CheckpointOptions::every_seconds,
               "seconds from one checkpoint to the next; 0: not by time. One is always written at "
               "the end",
               AtLeast(0))
          .Add("keep", &CheckpointOptions::keep, "so many of the newest stay", AtLeast(1))
          .Add("best", &CheckpointOptions::best,
               "the validation metric whose best value chooses checkpoints/best; auto: that of "
               "early_stopping, else validation_loss; none: no such checkpoint");
  return table;
}

const OptionTable<ClipOptions>& ClipTable() {
  static const auto table =
      OptionTable<ClipOptions>("clip", "limits of the gradients, before the optimizer takes them")
          .Add("norm", &ClipOptions::norm,
               "length of all gradients together: where it is more, all are scaled down; 0: none",
               AtLeast(0))
          .Add("value", &ClipOptions::value, "magnitude of each element; 0: none", AtLeast(0))
          .Shorthand("norm");
  return table;
}

const OptionTable<MixedPrecisionJobOptions>& MixedPrecisionTable() {
  static const auto table =
      OptionTable<MixedPrecisionJobOptions>("mixed_precision", "details of precision bf16 and fp16")
          .Add("keep_f32", &MixedPrecisionJobOptions::keep_f32,
               "layers whose products stay f32, with all that is in them: patterns of their paths "
               "as `ingot train --explain` shows them, in which * is any text and ? any character")
          .Add("loss_scale", &MixedPrecisionJobOptions::loss_scale,
               "of fp16: what the loss is multiplied by at first, so that small gradients do not "
               "vanish; halved by every step whose gradients overflow, which is skipped",
               Between(1, 16777216))
          .Add("growth_interval", &MixedPrecisionJobOptions::growth_interval,
               "of fp16: good steps after which the loss scale is doubled", AtLeast(1));
  return table;
}

const OptionTable<AverageOptions>& AverageTable() {
  static const auto table =
      OptionTable<AverageOptions>("average", "a moving average of the weights")
          .Add("decay", &AverageOptions::decay,
               "share of the average that is kept in each step, such as 0.999; 0: no average",
               Between(0, 0.999999999))
          .Shorthand("decay");
  return table;
}

const OptionTable<LogOptions>& LogTable() {
  static const auto table =
      OptionTable<LogOptions>("log", "records in metrics.jsonl and TensorBoard's event files")
          .Add("every_steps", &LogOptions::every_steps,
               "steps from one record to the next; 0: not by steps. Each epoch has one in any case",
               AtLeast(0))
          .Add("every_seconds", &LogOptions::every_seconds,
               "seconds from one record to the next; 0: not by time", AtLeast(0))
          .Add("tensorboard", &LogOptions::tensorboard, "whether event files are written");
  return table;
}

// The values of a tree by path, in the order of their paths: "model.layers[0].dense.units".
using Values = std::map<std::string, std::string>;

void Flatten(const ConfigNode& node, const std::string& path, Values& values) {
  if (node.is_map()) {
    for (const auto& [key, value] : node.entries()) {
      Flatten(value, path.empty() ? key : path + "." + key, values);
    }
  } else if (node.is_list()) {
    for (size_t i = 0; i < node.items().size(); ++i) {
      Flatten(node.items()[i], fmt::format("{}[{}]", path, i), values);
    }
  } else {
    values[path] = node.is_null() ? "null" : node.scalar();
  }
}

bool IsWithin(const std::string& path, std::string_view section) {
  return path.starts_with(section) && (path.size() == section.size() ||
                                       path[section.size()] == '.' || path[section.size()] == '[');
}

bool IsWithinOneOf(const std::string& path, std::span<const char* const> sections) {
  return std::any_of(sections.begin(), sections.end(),
                     [&](const char* section) { return IsWithin(path, section); });
}

bool DecidesWeights(const std::string& path) {
  // data.folder only says where the bytes lie: what they are is in the data's digest.
  static const char* const kOthers[] = {"epochs",
                                        "steps",
                                        "evaluate",
                                        "memory_limit",
                                        "metrics",
                                        "validation",
                                        "early_stopping",
                                        "checkpoint",
                                        "log",
                                        "data.folder",
                                        "data.prefetch",
                                        "data.prefetch_batches",
                                        "data.prefetch_threads",
                                        "train.shard_optimizer"};
  return !IsWithinOneOf(path, kOthers);
}

Values DecidingValues(const ConfigNode& resolved) {
  Values values;
  Flatten(resolved, "", values);
  std::erase_if(values, [](const auto& value) { return !DecidesWeights(value.first); });
  // Where gradients are exchanged in every step, the weights are those of one process.
  const auto is_default = [&](const char* key, const std::string& value) {
    const auto found = values.find(key);
    return found == values.end() || found->second == value;
  };
  const SyncOptions plain;
  if (is_default("train.sync", plain.sync) && is_default("train.compression", plain.compression)) {
    std::erase_if(values, [](const auto& value) { return IsWithin(value.first, "train"); });
  }
  // Where a model is spread over a mesh, the axis `tensor` alone changes the order of sums.
  std::erase_if(values, [](const auto& value) {
    return IsWithin(value.first, "mesh") && (value.first != "mesh.tensor" || value.second == "1");
  });
  return values;
}

// The node at `path` of keys where the file has it, else the whole: for messages.
const ConfigNode& At(const ConfigNode& node, std::initializer_list<std::string_view> path) {
  const ConfigNode* at = &node;
  for (const std::string_view key : path) {
    const ConfigNode* next = at->is_map() ? at->Find(key) : nullptr;
    if (next == nullptr) return node;
    at = next;
  }
  return *at;
}

void CheckShards(const Job& job, const ConfigNode& node) {
  if (job.logical_shards == "auto") return;
  int64_t shards = 0;
  const ConfigNode& place = At(node, {"logical_shards"});
  try {
    shards = ReadScalar<int64_t>(ConfigNode::Scalar(job.logical_shards));
  } catch (const Error&) {
    place.Fail("expected a number of shards or auto, got '" + job.logical_shards + "'");
  }
  if (shards < 1) place.Fail(fmt::format("expected 1 or more shards, got {}", shards));
}

// What goes with replicas that train apart.
void CheckSync(Job& job, const ConfigNode& node) {
  CompleteSync(job.train, node.Find("train"));
  if (job.train.compression != "none" && job.precision == "f64") {
    At(node, {"train", "compression"})
        .Fail(job.train.compression + " does not go with precision f64: codecs are of f32",
              "leave it out");
  }
  if (job.train.shard_optimizer) {
    const ConfigNode& place = At(node, {"train", "shard_optimizer"});
    if (job.train.sync != "every_step") {
      place.Fail("shard_optimizer does not go with train.sync " + job.train.sync +
                     ", whose workers each hold the whole state",
                 "leave one of them out");
    }
    if (job.train.compression != "none") {
      place.Fail("shard_optimizer does not go with train.compression " + job.train.compression,
                 "leave one of them out");
    }
  }
  if (!job.train.has_rounds()) return;
  if (job.train.is_async() && job.accumulate > 1) {
    At(node, {"train", "sync"}).Fail("async does not go with accumulate", "make data.batch larger");
  }
  if (job.precision == "fp16") {
    At(node, {"train", "sync"})
        .Fail(job.train.sync +
                  " does not go with precision fp16: each replica would have a loss "
                  "scale of its own",
              "use precision bf16, which needs none");
  }
  if (*job.train.inner_steps % job.accumulate != 0) {
    At(node, {"train", "inner_steps"})
        .Fail(fmt::format("expected a multiple of accumulate ({}), got {}", job.accumulate,
                          *job.train.inner_steps),
              "replicas are averaged between two updates");
  }
}

// What goes with a model on a mesh.
void CheckMesh(const Job& job, const ConfigNode& node) {
  if (!job.mesh) return;
  const ConfigNode& place = At(node, {"mesh"});
  const dist::MeshShape shape = job.mesh->shape();
  if (job.train.sync != "every_step") {
    place.Fail("mesh does not go with train.sync " + job.train.sync,
               "the workers of a mesh exchange in every step: leave train.sync out");
  }
  if (job.train.shard_optimizer) {
    place.Fail("mesh does not go with train.shard_optimizer yet", "leave one of them out");
  }
  if (job.train.compression != "none") {
    place.Fail("mesh does not go with train.compression " + job.train.compression,
               "leave one of them out");
  }
  if (job.precision == "bf16" || job.precision == "fp16") {
    place.Fail("mesh does not go with precision " + job.precision + " yet", "use f32 or f64");
  }
  if (job.mesh->micro_batches && shape.pipeline == 1) {
    At(node, {"mesh", "micro_batches"})
        .Fail("micro_batches belongs to mesh.pipeline above 1",
              "set that, or leave micro_batches out");
  }
}

void CheckMonitored(const std::string& metric, const ConfigNode& place) {
  if (metric.starts_with("validation_") && metric.size() > std::string("validation_").size()) {
    return;
  }
  place.Fail(
      "expected a validation metric such as validation_loss, got '" + metric + "'",
      "metrics of training are means over weights that change; watch 'validation_" + metric + "'");
}

ConfigNode Replaced(const ConfigNode& map, const std::string& key, ConfigNode value) {
  std::vector<ConfigNode::Entry> entries;
  for (const auto& [name, old] : map.entries())
    entries.emplace_back(name, name == key ? value : old);
  return ConfigNode::Map(std::move(entries));
}

}  // namespace

const OptionTable<Job>& JobTable() {
  static const auto table =
      OptionTable<Job>("job", "a training job")
          .Add("seed", &Job::seed,
               "decides the first weights, the order of the samples and all other random numbers",
               AtLeast(0))
          .Add("epochs", &Job::epochs, "passes over the training data; 0: as many as `steps` needs",
               AtLeast(0))
          .Add("steps", &Job::steps,
               "optimizer steps after which the run ends, if the epochs are not over before; 0: no "
               "such limit",
               AtLeast(0))
          .AddChoice("precision", &Job::precision,
                     "of the arithmetic; bf16 and fp16: products multiply numbers of 16 bits and "
                     "sum in f32, and all else is f32, the parameters too",
                     {"f32", "bf16", "fp16", "f64"})
          .AddTable("mixed_precision", &Job::mixed_precision, MixedPrecisionTable(),
                    "details of precision bf16 and fp16")
          .Add("logical_shards", &Job::logical_shards,
               "slices of a batch that are summed in a fixed tree, whatever the number of threads: "
               "a number, or auto")
          .Add("memory_limit", &Job::memory_limit,
               "the most that parameters, optimizer state and activations may take, such as "
               "512MiB or 2GiB: where they need more, activations are computed again in the "
               "backward pass; empty: no limit")
          .Add("evaluate", &Job::evaluate, "whether the test data are evaluated at the end")
          .AddTable("data", &Job::data, data::DataTable(), "the data")
          .AddTable("model", &Job::model, nn::ModelTable(), "the network")
          .AddNode(
              "loss", &Job::loss,
              "what is minimised; by default softmax_cross_entropy for class numbers, else mse")
          .AddNode("metrics", &Job::metrics,
                   "what is measured besides; by default [accuracy] for class numbers, else [mae]")
          .AddTable("optimizer", &Job::optimizer, nn::OptimizerTable(), "how the weights move")
          .AddTable("schedule", &Job::schedule, nn::ScheduleTable(),
                    "how the learning rate changes from step to step")
          .AddTable("clip", &Job::clip, ClipTable(), "limits of the gradients")
          .Add("accumulate", &Job::accumulate,
               "steps whose gradients are added up for one change of the weights, as if their "
               "batches were one (but for the statistics of batch_norm)",
               AtLeast(1))
          .AddTable("average", &Job::average, AverageTable(),
                    "a moving average of the weights, which is what is evaluated and kept as the "
                    "model")
          .Add("freeze", &Job::freeze,
               "patterns of parameters that stay as they are at first: \"blocks.0.*\"")
          .AddTable("start_from", &Job::start_from, StartTable(), "first weights from a file")
          .AddTable("train", &Job::train, SyncTable(), "how several processes train together")
          .AddTable("mesh", &Job::mesh, MeshTable(),
                    "a model that is spread over several processes")
          .AddTable("validation", &Job::validation, ValidationTable(), "measuring while training")
          .AddTable("early_stopping", &Job::early_stopping, EarlyStoppingTable(), "ending early")
          .AddTable("checkpoint", &Job::checkpoint, CheckpointTable(), "checkpoints")
          .AddTable("log", &Job::log, LogTable(), "records of the run")
          .Required("model");
  return table;
}

DType PrecisionOf(const Job& job) {
  return job.precision == "f64" ? DType::kF64 : DType::kF32;
}

Job ReadJob(const ConfigNode& node) {
  if (!node.is_map()) {
    node.Fail("expected a job: a map with data, model and so on",
              "see `ingot train --help` for an example");
  }
  // The optimizer and the schedule have short forms (`optimizer: adam`), which their readers spell
  // out before the table sees them.
  ConfigNode spelled = node;
  nn::OptimizerOptions optimizer;
  nn::ScheduleOptions schedule;
  optimizer = nn::ReadOptimizer(node.Find("optimizer") ? *node.Find("optimizer") : ConfigNode());
  schedule = nn::ReadSchedule(node.Find("schedule") ? *node.Find("schedule") : ConfigNode());
  if (node.Find("optimizer") != nullptr) {
    spelled = Replaced(spelled, "optimizer", nn::OptimizerTable().Write(optimizer));
  }
  if (node.Find("schedule") != nullptr) {
    spelled = Replaced(spelled, "schedule", nn::ScheduleTable().Write(schedule));
  }
  Job job = JobTable().Read(spelled);
  job.optimizer = optimizer;
  job.optimizer.clip = job.clip.value;
  job.optimizer.clip_norm = job.clip.norm;
  job.optimizer.average_decay = job.average.decay;
  job.schedule = schedule;
  if (job.epochs == 0 && job.steps == 0) {
    At(node, {"epochs"})
        .Fail("epochs and steps are both 0: the run would have no end", "set one of them");
  }
  CheckShards(job, node);
  CheckSync(job, node);
  CheckMesh(job, node);
  try {
    ParseBytes(job.memory_limit);
  } catch (const Error& error) {
    At(node, {"memory_limit"}).Fail(error.message());
  }
  if (job.early_stopping) {
    CheckMonitored(job.early_stopping->metric, At(node, {"early_stopping", "metric"}));
  }
  if (job.checkpoint.best != "auto" && job.checkpoint.best != "none") {
    CheckMonitored(job.checkpoint.best, At(node, {"checkpoint", "best"}));
  }
  return job;
}

ConfigNode ResolvedJob(const Job& job, const Resolution& resolution) {
  Job spelled = job;
  if (resolution.network != nullptr) {
    spelled.model.blocks = ConfigNode();  // they stand in place in the layers
    spelled.model.onnx = spelled.model.freeze = spelled.model.replace_head = ConfigNode();
    spelled.model.layers = resolution.network->resolved_layers;
    spelled.loss = resolution.network->resolved_loss;
    spelled.metrics = resolution.network->resolved_metrics;
  }
  if (resolution.logical_shards > 0) {
    spelled.logical_shards = std::to_string(resolution.logical_shards);
  }
  if (spelled.train.is_local() && resolution.replicas > 0) {
    spelled.train.replicas = resolution.replicas;
  }
  if (resolution.total_steps > 0) {
    // From here on the schedule is what it is, also when the run is resumed with more epochs.
    nn::ScheduleOptions& schedule = spelled.schedule;
    const int64_t left = std::max<int64_t>(1, resolution.total_steps - schedule.warm_up);
    if (schedule.cosine && !schedule.cosine->steps) schedule.cosine->steps = left;
    if (schedule.polynomial && !schedule.polynomial->steps) schedule.polynomial->steps = left;
    if (schedule.one_cycle && !schedule.one_cycle->steps) schedule.one_cycle->steps = left;
  }
  return JobTable().Write(spelled);
}

namespace {

std::string DigestOf(const Values& values) {
  std::string text;
  for (const auto& [path, value] : values) {
    text += fmt::format("{}:{}={}\n", value.size(), path, value);
  }
  return Sha256Hex(text);
}

}  // namespace

std::string JobDigest(const ConfigNode& resolved) {
  return DigestOf(DecidingValues(resolved));
}

std::string GroupDigest(const ConfigNode& resolved) {
  constexpr const char* kOfOneMachine[] = {"data.folder",           "data.prefetch",
                                           "data.prefetch_batches", "data.prefetch_threads",
                                           "memory_limit",          "log"};
  Values values;
  Flatten(resolved, "", values);
  std::erase_if(values,
                [&](const auto& value) { return IsWithinOneOf(value.first, kOfOneMachine); });
  return DigestOf(values);
}

std::vector<std::string> DecidingDifferences(const ConfigNode& before, const ConfigNode& after) {
  const Values old_values = DecidingValues(before);
  const Values new_values = DecidingValues(after);
  const auto text = [](const Values& values, const std::string& path) {
    const auto found = values.find(path);
    return found == values.end() ? std::string("absent") : found->second;
  };
  Values all = old_values;
  all.insert(new_values.begin(), new_values.end());
  std::vector<std::string> differences;
  for (const auto& entry : all) {
    const std::string was = text(old_values, entry.first);
    const std::string is = text(new_values, entry.first);
    if (was != is) differences.push_back(fmt::format("{} was {}, is {}", entry.first, was, is));
  }
  return differences;
}

}  // namespace ingot::train
