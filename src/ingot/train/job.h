// Job: what a training job file says. Read strictly from YAML; every option with its default and
// limits is declared once, in job.cc, and the resolved job and the reference come from that.
//
//   seed: 0
//   epochs: 10
//   data: {...}                     data/data_options.h
//   model: {layers: [...]}          nn/network.h
//   loss: softmax_cross_entropy     nn/loss.h
//   metrics: [accuracy]             nn/metric.h
//   optimizer: {adam: {...}}        nn/optimizer.h
//   schedule: {...}                 nn/schedule.h
//   clip: {norm: 1}                 below
//   accumulate, average, freeze, start_from: below and start_weights.h
//   mixed_precision: {...}          below
//   train: {sync: ...}              sync_options.h
//   validation, early_stopping, checkpoint, log: below
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ingot/base/config.h"
#include "ingot/base/options.h"
#include "ingot/data/data_options.h"
#include "ingot/nn/network.h"
#include "ingot/nn/optimizer.h"
#include "ingot/nn/schedule.h"
#include "ingot/train/mesh_options.h"
#include "ingot/train/start_weights.h"
#include "ingot/train/sync_options.h"

namespace ingot::train {

// Where the validation samples come from is up to the data section.
struct ValidationOptions {
  int64_t every_epochs = 1;  // 0: never
};

struct EarlyStoppingOptions {
  std::string metric = "validation_loss";
  int64_t patience = 5;       // validations without an improvement
  double minimum_change = 0;  // smaller ones are none
  std::string mode = "auto";
};

struct CheckpointOptions {
  int64_t every_steps = 0;    // 0: not by steps
  int64_t every_epochs = 0;   // 0: not by epochs
  double every_seconds = 30;  // 0: not by time
  int64_t keep = 3;
  std::string best = "auto";  // metric that chooses checkpoints/best; "none"
};

// Limits of the gradients; 0: none.
struct ClipOptions {
  double norm = 0;   // of all gradients together (Pascanu et al. 2013)
  double value = 0;  // of each element
};

// Of precision bf16 and fp16.
struct MixedPrecisionJobOptions {
  std::vector<std::string> keep_f32;  // patterns of layers' paths
  double loss_scale = 65536;
  int64_t growth_interval = 2000;
};

// A moving average of the weights (Polyak & Juditsky 1992), which is evaluated and kept as the
// model.
struct AverageOptions {
  double decay = 0;  // 0: none
};

struct LogOptions {
  int64_t every_steps = 0;    // 0: a record for each epoch and by time only
  double every_seconds = 10;  // 0: not by time
  bool tensorboard = true;
};

struct Job {
  int64_t seed = 0;
  int64_t epochs = 10;  // 0: as many as `steps` needs
  int64_t steps = 0;    // 0: as many as `epochs` needs
  std::string precision = "f32";
  MixedPrecisionJobOptions mixed_precision;
  std::string logical_shards = "auto";  // or a number
  std::string memory_limit;             // "2GiB"; "": none
  bool evaluate = true;
  data::DataOptions data;
  nn::ModelOptions model;
  ConfigNode loss;     // null: by the data's target
  ConfigNode metrics;  // null: by the loss
  nn::OptimizerOptions optimizer = nn::ReadOptimizer(ConfigNode());
  nn::ScheduleOptions schedule;
  int64_t accumulate = 1;  // steps whose gradients are added up for one update
  ClipOptions clip;
  AverageOptions average;
  std::vector<std::string> freeze;  // patterns of parameters that stay as they are
  std::optional<StartOptions> start_from;
  SyncOptions train;
  std::optional<MeshOptions> mesh;  // none: every process holds the whole model
  ValidationOptions validation;
  std::optional<EarlyStoppingOptions> early_stopping;
  CheckpointOptions checkpoint;
  LogOptions log;
};

const OptionTable<Job>& JobTable();

// Of parameters and of all arithmetic but products: f32 for bf16 and fp16 too.
DType PrecisionOf(const Job& job);

// Throws Error(kInvalidInput) at the place of the fault in the file: unknown keys (with the nearest
// name), wrong types, values out of range, a job without an end.
Job ReadJob(const ConfigNode& node);

// What only the data and the network can tell: written into the resolved job in place of defaults.
struct Resolution {
  const nn::Network* network = nullptr;  // layers, loss and metrics with every option
  int64_t logical_shards = 0;
  int64_t total_steps = 0;
  int64_t replicas = 0;
};

// The job with everything spelled out, as job.yaml in a run directory has it.
ConfigNode ResolvedJob(const Job& job, const Resolution& resolution);

// SHA-256 of those values of a resolved job that decide the weights: not of how long the job runs,
// where the data lie, what is measured, logged or checkpointed.
std::string JobDigest(const ConfigNode& resolved);

// SHA-256 of those values that the workers of a group must have in common to go in step: all but
// what is of each machine.
std::string GroupDigest(const ConfigNode& resolved);

// One value that decides the weights and differs: "optimizer.adam.learning_rate was 0.001, is
// 0.01".
std::vector<std::string> DecidingDifferences(const ConfigNode& before, const ConfigNode& after);

}  // namespace ingot::train
