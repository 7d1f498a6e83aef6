// The section `train`: see sync_options.h.
#include "ingot/train/sync_options.h"

#include "ingot/base/error.h"

namespace ingot::train {
namespace {

// Few enough that weights do not drift apart in short runs, and many enough that Adam's state,
// which is averaged with the weights, still leaves 60 times fewer bytes.
constexpr int64_t kInnerSteps = 200;
constexpr double kOuterLearningRate = 0.7;
constexpr double kOuterMomentum = 0.9;
constexpr double kTopK = 0.01;
constexpr int64_t kStaleness = 4;

// Refuses a value where the mode has no use for it; else puts the default in place of none.
template <typename T>
void Complete(const ConfigNode* node, const char* name, bool belongs, const char* modes,
              std::optional<T>& value, std::optional<T> otherwise) {
  if (belongs) {
    if (!value) value = otherwise;
    return;
  }
  if (!value) return;
  const std::string text = std::string(name) + " belongs to train." + modes;
  const std::string hint = std::string("set that, or leave ") + name + " out";
  const ConfigNode* place = node != nullptr && node->is_map() ? node->Find(name) : nullptr;
  if (place != nullptr) place->Fail(text, hint);
  throw Error(ErrorCode::kInvalidInput, "train." + text, hint);
}

}  // namespace

const OptionTable<SyncOptions>& SyncTable() {
  static const auto table =
      OptionTable<SyncOptions>("train", "how several processes train together")
          .AddChoice(
              "sync", &SyncOptions::sync,
              "every_step: gradients are exchanged in every step, and the weights are those "
              "of one process; local_sgd: replicas train apart on their parts of the "
              "batches for inner_steps steps, then are averaged; diloco: the same, and an "
              "outer optimizer takes the mean change as its gradient; async: a gradient counts "
              "`staleness` steps later, and nobody waits for it before",
              {"every_step", "local_sgd", "diloco", "async"})
          .Add("replicas", &SyncOptions::replicas,
               "of local_sgd and diloco: models that train apart, whatever the number of "
               "processes; by default as many as workers at the beginning",
               Between(1, 1024))
          .Add("inner_steps", &SyncOptions::inner_steps,
               "of local_sgd and diloco: steps from one exchange to the next; of async: from one "
               "point where all have caught up to the next; by default 200",
               AtLeast(1))
          .Add("staleness", &SyncOptions::staleness,
               "of async: steps after which a gradient counts, and by which a worker may be ahead "
               "of the slowest; by default 4",
               Between(1, 64))
          .Add("outer_learning_rate", &SyncOptions::outer_learning_rate,
               "of diloco: step size of the outer optimizer; by default 0.7", MoreThan(0))
          .Add("outer_momentum", &SyncOptions::outer_momentum,
               "of diloco: momentum of the outer optimizer; by default 0.9", Between(0, 1))
          .Add("nesterov", &SyncOptions::nesterov,
               "of diloco: whether that momentum is Nesterov's; by default true")
          .AddChoice(
              "compression", &SyncOptions::compression,
              "how gradients (of local_sgd and diloco: changes) of large tensors go over the "
              "wire; bf16, fp16: in 16 bits; top_k: the largest elements alone, one_bit: signs "
              "and means, in both the rest is added to the next exchange's",
              {"none", "bf16", "fp16", "top_k", "one_bit"})
          .Add("top_k", &SyncOptions::top_k,
               "of compression top_k: share of the elements that is sent; by default 0.01",
               {.low = 0, .high = 0.5, .low_exclusive = true})
          .Add("shard_optimizer", &SyncOptions::shard_optimizer,
               "of every_step: whether each worker updates its part of the parameters alone, and "
               "holds the optimizer's state of that part (ZeRO 1); the same weights in less memory")
          .Shorthand("sync");
  return table;
}

void CompleteSync(SyncOptions& options, const ConfigNode* node) {
  const bool local = options.is_local();
  const bool diloco = options.is_diloco();
  const bool async = options.is_async();
  constexpr const char* kLocal = "sync local_sgd and diloco";
  constexpr const char* kDiloco = "sync diloco";
  Complete<int64_t>(node, "replicas", local, kLocal, options.replicas, std::nullopt);
  Complete<int64_t>(node, "inner_steps", options.has_rounds(), "sync local_sgd, diloco and async",
                    options.inner_steps, kInnerSteps);
  Complete<int64_t>(node, "staleness", async, "sync async", options.staleness, kStaleness);
  Complete<double>(node, "outer_learning_rate", diloco, kDiloco, options.outer_learning_rate,
                   kOuterLearningRate);
  Complete<double>(node, "outer_momentum", diloco, kDiloco, options.outer_momentum, kOuterMomentum);
  Complete<bool>(node, "nesterov", diloco, kDiloco, options.nesterov, true);
  Complete<double>(node, "top_k", options.compression == "top_k", "compression top_k",
                   options.top_k, kTopK);
}

}  // namespace ingot::train
