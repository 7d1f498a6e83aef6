// The section `train` of a job: how several processes train one model together.
//
//   train: {sync: every_step}    gradients are exchanged in every step
//   train: {sync: local_sgd}     replicas train apart, and are averaged (Stich 2019)
//   train: {sync: diloco}        that, with an outer optimizer (Douillard et al. 2023)
//   train: {sync: async}         gradients count some steps later (Ho et al. 2013)
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "ingot/base/config.h"
#include "ingot/base/options.h"

namespace ingot::train {

struct SyncOptions {
  std::string sync = "every_step";
  // Of local_sgd and diloco; what belongs to the other modes must not be given.
  std::optional<int64_t> replicas;     // none: as many as workers at the beginning
  std::optional<int64_t> inner_steps;  // of async, too
  std::optional<int64_t> staleness;    // of async
  // Gradients, or the changes of replicas, as they go over the wire.
  std::string compression = "none";
  std::optional<double> top_k;  // share of the elements that top_k sends
  // Of every_step: each worker updates its part of the parameters, and holds the optimizer's state
  // of that part alone.
  bool shard_optimizer = false;
  // Of diloco.
  std::optional<double> outer_learning_rate;
  std::optional<double> outer_momentum;
  std::optional<bool> nesterov;

  // Whether replicas train apart for some steps.
  bool is_local() const { return sync == "local_sgd" || sync == "diloco"; }
  bool is_diloco() const { return sync == "diloco"; }
  bool is_async() const { return sync == "async"; }
  // Whether what is done between two exchanges, or points where all have caught up, stands or falls
  // together.
  bool has_rounds() const { return is_local() || is_async(); }
  // Whether the weights are those of one process that knows nothing of this.
  bool is_exact() const { return sync == "every_step" && compression == "none"; }
};

const OptionTable<SyncOptions>& SyncTable();

// Fills in what was left out of the mode at hand. Throws Error(kInvalidInput) at the place in
// `node` (null: nowhere) of an option that belongs to another mode.
void CompleteSync(SyncOptions& options, const ConfigNode* node);

}  // namespace ingot::train
