// TrainingSetup: a job made ready to run: data opened, network built, steps compiled.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ingot/base/config.h"
#include "ingot/data/data_options.h"
#include "ingot/ir/op.h"
#include "ingot/nn/network.h"
#include "ingot/runtime/step_engine.h"
#include "ingot/runtime/telemetry.h"
#include "ingot/train/job.h"
#include "ingot/train/mesh_setup.h"
#include "ingot/train/step_graph.h"

namespace ingot::train {

// What a job may be given besides its file; everything may be left out.
struct SetupOptions {
  std::optional<data::DataSets> data;              // instead of opening job.data
  std::function<std::string()> find_mnist;         // data/data_options.h
  std::shared_ptr<const ir::OpRegistry> registry;  // with ops of the program's own
  std::shared_ptr<runtime::Telemetry> telemetry;   // measures the kernels of the steps
  const nn::LayerRegistry* layers = nullptr;       // the same for layers; must outlive the setup
  int workers = 1;                                 // processes that the run begins with
};

// A replica's part of a batch.
struct BatchPart {
  int64_t first = 0;
  int64_t samples = 0;
};

// Immutable once made, but for the job's limits.
struct TrainingSetup {
  Job job;
  std::shared_ptr<const ir::OpRegistry> registry;
  const nn::LayerRegistry* layers = nullptr;
  data::DataSets data;
  std::shared_ptr<const data::Batches> batches;
  nn::Network network;  // as it trains
  MixedPrecision mixed;
  int64_t logical_shards = 0;
  int64_t total_steps = 0;
  int replicas = 1;  // that train apart, each on its part of every batch (sync_options.h)
  // The steps of batches of different size: of a full one first. With replicas, of their parts.
  std::vector<StepGraph> steps;
  std::vector<std::shared_ptr<const runtime::StepProgram>> programs;
  // Where the model is spread over several workers: the parts; `programs` are those of the last,
  // and `steps` is the whole.
  std::optional<MeshSetup> mesh;
  // Of a worker where memory_limit is given, else of one process alone; for as many threads as it
  // has shards, up to 8.
  uint64_t planned_bytes = 0;
  int recompute_segments = 0;  // activations are computed again, in so many pieces; 0: none are
  ConfigNode resolved;         // the job with everything spelled out
  std::string job_digest;      // of `resolved`
  std::string kernel_digest;   // of all programs

  int64_t steps_per_epoch() const { return batches->StepsPerEpoch(); }
  BatchPart PartOf(int64_t step, int replica) const;
  // The index in `steps` and `programs` of a step that has samples.
  int ProgramOf(int64_t step, int replica = 0) const;
  // The seed of a replica's random numbers: no two drop out the same.
  uint64_t SeedOf(int replica) const;
  // Where a round of steps without an exchange ends that begins at `step`, and where the one that
  // ends at `step` began. Every step is one where gradients are exchanged in each.
  int64_t RoundEnd(int64_t step) const;
  int64_t RoundBefore(int64_t step) const;
};

// Opens the data, builds the network and compiles. Throws Error at the place of the fault in the
// job, and what the data's readers and the compiler throw.
TrainingSetup PrepareTraining(const Job& job, const SetupOptions& options = {});

// The network's options for a job and its data; `training`: random layers are active.
nn::NetworkOptions NetworkOptionsOf(const Job& job, const data::DataSets& data, bool training);

// The registry given, or one of all of Ingot's ops, made at the first call and shared.
std::shared_ptr<const ir::OpRegistry> RegistryOf(const SetupOptions& options);

// "What will be trained": layers with shapes, parameters, work and memory of a step, as text.
std::string ExplainTraining(const TrainingSetup& setup);

}  // namespace ingot::train
