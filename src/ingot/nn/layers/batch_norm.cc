// batch_norm: each channel normalised by the statistics of the batch (Ioffe & Szegedy 2015).
#include "ingot/base/error.h"
#include "ingot/nn/layers/layers.h"

namespace ingot::nn {

namespace {

struct BatchNormOptions {
  double momentum = 0.1;
  double epsilon = 1e-5;
  std::string statistics = "batch";
  std::string activation = "none";
};

const OptionTable<BatchNormOptions>& BatchNormTable() {
  static const auto table =
      OptionTable<BatchNormOptions>(
          "batch_norm",
          "each channel with mean 0 and variance 1 over the batch, times a trained scale, plus a "
          "trained bias; by running statistics where it does not train: [batch, C, ...]")
          .Add("momentum", &BatchNormOptions::momentum,
               "share of a batch's statistics in the running ones", Between(0, 1))
          .Add("epsilon", &BatchNormOptions::epsilon, "added to the variance", AtLeast(0))
          .AddChoice(
              "statistics", &BatchNormOptions::statistics,
              "batch: of the whole batch; shard: of each logical shard by itself, which saves "
              "a meeting of the shards",
              {"batch", "shard"})
          .AddChoice("activation", &BatchNormOptions::activation, "applied to the result",
                     ActivationNames());
  return table;
}

std::string DescribeBatchNorm(const BatchNormOptions&) {
  return "batch_norm";
}

ir::Value* BuildBatchNorm(const BatchNormOptions& options, LayerContext& context, ir::Value* x) {
  if (x->type().rank() < 2 || !x->type().dim(1).is_static()) {
    throw Error(ErrorCode::kInvalidInput,
                "batch_norm takes [batch, channels, ...], got " + ir::ToString(x->type().dims()));
  }
  const Shape channels{x->type().dim(1).value()};
  Initializer ones;
  ones.kind = "ones";
  ir::Builder& builder = context.builder();
  ir::Value* scale = context.AddParameter("scale", channels, ones, {});
  ir::Value* bias = context.AddParameter("bias", channels, {}, {});
  ir::Value* mean = context.AddStatistic("running_mean", channels, {});
  ir::Value* variance = context.AddStatistic("running_var", channels, ones);
  ir::Value* y = nullptr;
  if (context.training()) {
    ir::Value* sums = builder.Op("ingot.BatchNormSums", {x});
    ir::Value* all = builder.Op("ingot.ShardSum", {sums});
    context.UpdateStatistics("ingot.BatchNormUpdate", {{"momentum", options.momentum}},
                             {mean, variance}, all);
    y = builder.Op("ingot.BatchNormApply",
                   {x, options.statistics == "batch" ? all : sums, scale, bias},
                   {{"epsilon", options.epsilon}});
  } else {
    y = builder.Op("BatchNormalization", {x, scale, bias, mean, variance},
                   {{"epsilon", options.epsilon}});
  }
  return ApplyActivation(builder, options.activation, y);
}

}  // namespace

LayerKind BatchNormLayer() {
  return DefineLayer<BatchNormOptions>(BatchNormTable(), DescribeBatchNorm, BuildBatchNorm);
}

}  // namespace ingot::nn
