// Losses: one value for each sample, whose mean over the batch is what training minimises.
//
//   softmax_cross_entropy  -log softmax(logits)[label]; labels are class numbers [batch] or
//                          probabilities (one-hot) [batch, C]; of sequences, labels [batch, T] and
//                          an output [batch, T, C], the mean over the T positions
//   binary_cross_entropy   from logits; targets in [0, 1] of the output's shape
//   mse, mae, huber        mean over the elements of a sample
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "ingot/base/config.h"
#include "ingot/base/options.h"
#include "ingot/ir/builder.h"

namespace ingot::nn {

struct Loss {
  std::string name;     // "softmax_cross_entropy"
  ConfigNode resolved;  // with every option written out
  // A softmax or sigmoid at the end of the network is left out of the loss, which takes what goes
  // into it: the same value, without loss of precision. "Softmax", "Sigmoid" or "".
  std::string absorbs;
  bool classification = false;
  // output [batch, ...] and target [batch, ...] -> per-sample loss [batch]. Throws
  // Error(kInvalidInput) naming both shapes where they do not fit.
  std::function<ir::Value*(ir::Builder& builder, ir::Value* output, ir::Value* target)> build;
};

// `mse`, or `huber: {delta: 2}`. Throws Error(kInvalidInput) at the node's place, with the nearest
// name for an unknown loss.
Loss ReadLoss(const ConfigNode& node);
std::vector<std::string> LossNames();
std::vector<OptionHelp> LossHelp();

// The cross-entropy [batch] of labels and scores as described above; `what` names who asks. Throws
// Error(kInvalidInput) naming both shapes where they do not fit.
ir::Value* SoftmaxCrossEntropy(ir::Builder& builder, const std::string& what, ir::Value* output,
                               ir::Value* target, double label_smoothing);

// Whether scores are [batch, T, C] and labels class numbers [batch, T].
bool AreSequences(const ir::Value* scores, const ir::Value* labels);
// All positions of such sequences one after another: scores [batch * T, C], labels [batch * T].
struct Positions {
  ir::Value* scores;
  ir::Value* labels;
};
Positions AllPositions(ir::Builder& builder, ir::Value* scores, ir::Value* labels);
// One value for each of those [batch * T] -> the mean over each sample's positions [batch];
// `labels` are [batch, T].
ir::Value* MeanOfPositions(ir::Builder& builder, ir::Value* values, ir::Value* labels);

// `target` with the type and shape of `output`, for losses and metrics that compare elements:
// [batch] becomes [batch, 1] where that is the output's shape. Throws Error(kInvalidInput) naming
// both shapes where they differ; `what` names who asks.
ir::Value* MatchTarget(ir::Builder& builder, const std::string& what, ir::Value* output,
                       ir::Value* target);

}  // namespace ingot::nn
