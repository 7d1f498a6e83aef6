// ONNX's losses on classes: NegativeLogLikelihoodLoss and SoftmaxCrossEntropyLoss. (Jobs train with
// ingot.SoftmaxCrossEntropy, which gives a value for each sample.)
//
// Scores are [N, C, d...], labels [N, d...]. The mean is over the weights of the labels' classes
// (1 where there are none), without labels equal to ignore_index.
#include <algorithm>
#include <cmath>
#include <string>

#include "ingot/base/error.h"
#include "ingot/ops/axis_split.h"
#include "ingot/ops/elementwise.h"
#include "ingot/ops/shape_rule.h"

namespace ingot::ops {
namespace {

using ir::Attribute;
using ir::Attributes;
using ir::Builder;
using ir::Dimensions;
using ir::GradientContext;
using ir::InferContext;
using ir::Type;
using ir::Value;

enum class Reduction { kNone, kSum, kMean };

Reduction ReductionOf(const ir::Node& node) {
  const std::string& name = node.GetString("reduction");
  if (name == "none") return Reduction::kNone;
  if (name == "sum") return Reduction::kSum;
  if (name == "mean") return Reduction::kMean;
  throw Error(ErrorCode::kInvalidInput,
              "attribute 'reduction' is '" + name + "', expected none, sum or mean");
}

// For each label its class (-1: ignored), and the weight of that, divided by what the reduction
// divides by.
struct Labels {
  Labels(const ir::Node& node, const TensorView& scores, const TensorView& labels,
         const TensorView& weights)
      : split(scores.dims, 1), classes(ReadInts(labels)), weight(classes.size(), 1) {
    std::vector<double> given;
    if (weights.data != nullptr) {
      given.resize(static_cast<size_t>(weights.size()));
      ConvertElements(weights.data, weights.dtype, given.data(), DType::kF64, weights.size());
    }
    const bool ignores = node.HasAttribute("ignore_index");
    const int64_t ignored = ignores ? node.GetInt("ignore_index") : 0;
    double sum = 0;
    for (size_t i = 0; i < classes.size(); ++i) {
      if (ignores && classes[i] == ignored) {
        classes[i] = -1;
        weight[i] = 0;
        continue;
      }
      if (classes[i] < 0 || classes[i] >= split.extent) {
        throw Error(ErrorCode::kInvalidInput, "label " + std::to_string(classes[i]) + " (element " +
                                                  std::to_string(i) + ") is none of " +
                                                  std::to_string(split.extent) + " classes");
      }
      if (!given.empty()) weight[i] = given.at(static_cast<size_t>(classes[i]));
      sum += weight[i];
    }
    if (ReductionOf(node) == Reduction::kMean) {
      for (double& w : weight) w /= sum;
    }
  }

  // The score of label i's class, and where it lies.
  int64_t At(size_t i, int64_t c) const {
    const auto place = static_cast<int64_t>(i);
    return (place / split.inner * split.extent + c) * split.inner + place % split.inner;
  }

  AxisSplit split;
  std::vector<int64_t> classes;
  std::vector<double> weight;
};

Labels LabelsOf(const ir::ReferenceCall& call, size_t scores, size_t labels, size_t weights) {
  return Labels(call.node, call.input(scores), call.input(labels),
                call.has_input(weights) ? call.input(weights) : TensorView{});
}

Type LossType(InferContext& context) {
  const Type& scores = context.input(0);
  const Type& labels = context.input(1);
  RequireType(context, 0, Types::kFloat);
  RequireIndices(context, 1);
  if (scores.has_rank() && labels.has_rank()) {
    bool fits = scores.rank() >= 2 && labels.rank() == scores.rank() - 1;
    for (int i = 0; fits && i < labels.rank(); ++i) {
      const ir::Dimension& s = scores.dim(i == 0 ? 0 : i + 1);
      fits = !s.is_static() || !labels.dim(i).is_static() || s == labels.dim(i);
    }
    if (!fits) {
      throw Error(ErrorCode::kInvalidInput, "scores are " + scores.ToString() + " and labels " +
                                                labels.ToString() +
                                                ", expected [N, C, d...] and [N, d...]");
    }
  }
  if (ReductionOf(context.node()) != Reduction::kNone) return Type::Tensor(scores.dtype(), Shape{});
  return labels.WithDType(scores.dtype());
}

// loss[i] = -weight * score of the label's class, or their sum.
template <typename T, typename Score>
void WriteLoss(const ir::ReferenceCall& call, const Labels& labels, const Score& score) {
  double sum = 0;
  const bool reduces = ReductionOf(call.node) != Reduction::kNone;
  for (size_t i = 0; i < labels.classes.size(); ++i) {
    const double loss = labels.classes[i] < 0 ? 0 : -labels.weight[i] * score(i, labels.classes[i]);
    sum += loss;
    if (!reduces) call.output().as<T>()[i] = static_cast<T>(loss);
  }
  if (reduces) *call.output().as<T>() = static_cast<T>(sum);
}

double GradientAt(const ir::ReferenceCall& call, size_t i) {
  const TensorView& dy = call.input(0);
  double value = 0;
  const size_t at = dy.size() == 1 && ReductionOf(call.node) != Reduction::kNone ? 0 : i;
  ConvertElements(static_cast<const std::byte*>(dy.data) + at * ItemSize(dy.dtype), dy.dtype,
                  &value, DType::kF64, 1);
  return value;
}

std::vector<ir::AttributeSpec> LossAttributes() {
  return {OptionalAttribute("ignore_index", ir::AttributeKind::kInt),
          StringAttribute("reduction", "mean")};
}

// Calls the gradient op with what the loss was given.
Value* CallGradient(GradientContext& context, const char* op) {
  const ir::Node& node = context.node();
  return context.builder().Op(
      op, {context.output_gradient(0), context.input(0), context.input(1), node.input(2)},
      node.attributes());
}

ir::OpDefinition GradientOp(std::string name, std::string summary) {
  ir::OpDefinition op;
  op.name = std::move(name);
  op.domain = "ingot";
  op.summary = std::move(summary);
  op.inputs = {Required("dLoss"), Required("scores"), Required("labels", "I"), Optional("weights")};
  op.outputs = {Required("dScores")};
  op.attributes = LossAttributes();
  op.infer = [](InferContext& context) { context.SetOutput(0, context.input(1)); };
  return op;
}

// ---- NegativeLogLikelihoodLoss ----

std::vector<OpCase> LossCases(bool softmax) {
  const Attributes none = {{"reduction", Attribute(std::string("none"))}};
  const Attributes sum = {{"reduction", Attribute(std::string("sum"))}};
  Attributes ignoring = {{"ignore_index", Attribute(int64_t{1})}};
  std::vector<OpCase> cases;
  const auto add = [&](const char* name, Attributes attributes, bool weights) {
    OpCase test;
    test.name = name;
    test.inputs = {Uniform({2, 3, 2}, -2, 2), Integers({2, 2}, {2, 1, 0, 2})};
    if (weights) {
      OpCase::Input input = Uniform({3}, 0.25, 2);
      input.differentiable = false;
      test.inputs.push_back(input);
    }
    test.attributes = std::move(attributes);
    cases.push_back(std::move(test));
  };
  add("mean", {}, false);
  add("weighted", {}, true);
  add("none", none, true);
  add("sum", sum, true);
  add("ignoring", ignoring, true);
  const OpCase::Input scores = Floats({2, 2}, {1, 2, 4, 8});
  const OpCase::Input labels = Integers({2}, {1, 0});
  const double first = std::log(std::exp(-1.0) + 1), second = std::log(1 + std::exp(4.0));
  cases.push_back(ExpectedCase(
      "by_hand", {scores, labels},
      softmax ? std::vector<double>{first, second} : std::vector<double>{-2, -4}, none));
  cases.push_back(ExpectedCase("ignored", {scores, labels}, {softmax ? second : -4}, ignoring));
  return cases;
}

void RegisterLogLikelihood(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "NegativeLogLikelihoodLoss";
  op.since_version = 22;
  op.summary = "Less the score of each label's class, weighted; their mean, sum or each.";
  op.inputs = {Required("input"), Required("target", "I"), Optional("weight")};
  op.outputs = {Required("loss")};
  op.attributes = LossAttributes();
  op.infer = [](InferContext& context) { context.SetOutput(0, LossType(context)); };
  op.reference = [](const ir::ReferenceCall& call) {
    const Labels labels = LabelsOf(call, 0, 1, 2);
    DispatchFloat("NegativeLogLikelihoodLoss", call.input(0).dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      WriteLoss<T>(call, labels, [&](size_t i, int64_t c) {
        return static_cast<double>(call.input(0).as<T>()[labels.At(i, c)]);
      });
    });
  };
  op.gradient = [](GradientContext& context) {
    if (!context.wants(0)) return;
    context.SetInputGradient(0, CallGradient(context, "ingot.NegativeLogLikelihoodLossGradient"));
  };
  op.cases = LossCases(false);
  registry.Add(std::move(op));

  ir::OpDefinition helper =
      GradientOp("NegativeLogLikelihoodLossGradient", "The gradient of NegativeLogLikelihoodLoss.");
  helper.reference = [](const ir::ReferenceCall& call) {
    const Labels labels = LabelsOf(call, 1, 2, 3);
    DispatchFloat("NegativeLogLikelihoodLossGradient", call.output().dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      T* out = call.output().as<T>();
      std::fill(out, out + call.output().size(), T(0.0F));
      for (size_t i = 0; i < labels.classes.size(); ++i) {
        if (labels.classes[i] < 0) continue;
        out[labels.At(i, labels.classes[i])] =
            static_cast<T>(-labels.weight[i] * GradientAt(call, i));
      }
    });
  };
  helper.cases = {ExpectedOnly("mean", {Floats({}, {4}), Uniform({2, 2}), Integers({2}, {1, 0})},
                               {0, -2, -2, 0})};
  registry.Add(std::move(helper));
}

// ---- SoftmaxCrossEntropyLoss ----

// log(sum_c e^score) at the place of label i.
template <typename T>
double LogSum(const T* scores, const Labels& labels, size_t i) {
  double highest = -INFINITY, sum = 0;
  for (int64_t c = 0; c < labels.split.extent; ++c) {
    highest = std::max(highest, static_cast<double>(scores[labels.At(i, c)]));
  }
  for (int64_t c = 0; c < labels.split.extent; ++c) {
    sum += std::exp(static_cast<double>(scores[labels.At(i, c)]) - highest);
  }
  return highest + std::log(sum);
}

void RegisterCrossEntropyLoss(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "SoftmaxCrossEntropyLoss";
  op.since_version = 13;
  op.summary = "NegativeLogLikelihoodLoss of the scores' log softmax, which is output 1.";
  op.inputs = {Required("scores"), Required("labels", "I"), Optional("weights")};
  op.outputs = {Required("output"), Optional("log_prob")};
  op.attributes = LossAttributes();
  op.infer = [](InferContext& context) {
    context.SetOutput(0, LossType(context));
    if (context.node().outputs().size() > 1) context.SetOutput(1, context.input(0));
  };
  op.reference = [](const ir::ReferenceCall& call) {
    const Labels labels = LabelsOf(call, 0, 1, 2);
    DispatchFloat("SoftmaxCrossEntropyLoss", call.input(0).dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      const T* scores = call.input(0).as<T>();
      WriteLoss<T>(call, labels, [&](size_t i, int64_t c) {
        return static_cast<double>(scores[labels.At(i, c)]) - LogSum(scores, labels, i);
      });
      if (call.outputs.size() < 2) return;
      for (size_t i = 0; i < labels.classes.size(); ++i) {
        const double log_sum = LogSum(scores, labels, i);
        for (int64_t c = 0; c < labels.split.extent; ++c) {
          const int64_t at = labels.At(i, c);
          call.output(1).as<T>()[at] = static_cast<T>(static_cast<double>(scores[at]) - log_sum);
        }
      }
    });
  };
  op.gradient = [](GradientContext& context) {
    if (!context.wants(0)) return;
    Builder& b = context.builder();
    Value* dx = nullptr;
    if (context.output_gradient(0) != nullptr) {
      dx = CallGradient(context, "ingot.SoftmaxCrossEntropyLossGradient");
    }
    if (context.node().outputs().size() > 1 && context.output_gradient(1) != nullptr) {
      Value* other =
          b.Op("ingot.LogSoftmaxGradient", {context.output_gradient(1), context.output(1)},
               {{"axis", Attribute(int64_t{1})}});
      dx = dx == nullptr ? other : b.Add(dx, other);
    }
    context.SetInputGradient(0, dx);
  };
  op.cases = LossCases(true);
  OpCase both = op.cases[1];
  both.name = "with_log_prob";
  both.outputs = 2;
  op.cases.push_back(std::move(both));
  registry.Add(std::move(op));

  ir::OpDefinition helper =
      GradientOp("SoftmaxCrossEntropyLossGradient", "The gradient of SoftmaxCrossEntropyLoss.");
  helper.reference = [](const ir::ReferenceCall& call) {
    const Labels labels = LabelsOf(call, 1, 2, 3);
    DispatchFloat("SoftmaxCrossEntropyLossGradient", call.output().dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      const T* scores = call.input(1).as<T>();
      for (size_t i = 0; i < labels.classes.size(); ++i) {
        const double share = labels.weight[i] * GradientAt(call, i);
        const double log_sum = LogSum(scores, labels, i);
        for (int64_t c = 0; c < labels.split.extent; ++c) {
          const int64_t at = labels.At(i, c);
          const double p = std::exp(static_cast<double>(scores[at]) - log_sum);
          const double target = c == labels.classes[i] ? 1 : 0;
          call.output().as<T>()[at] =
              static_cast<T>(labels.classes[i] < 0 ? 0 : share * (p - target));
        }
      }
    });
  };
  helper.cases = {
      ExpectedOnly("mean", {Floats({}, {4}), Floats({2, 2}, {0, 0, 0, 0}), Integers({2}, {1, 0})},
                   {1, -1, -1, 1})};
  registry.Add(std::move(helper));
}

}  // namespace

void RegisterClassLosses(ir::OpRegistry& registry) {
  RegisterLogLikelihood(registry);
  RegisterCrossEntropyLoss(registry);
}

}  // namespace ingot::ops
