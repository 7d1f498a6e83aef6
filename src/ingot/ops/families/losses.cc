// Losses that compare a prediction with a target of the same shape, one value for each sample, and
// the helpers of their gradients.
//
// With p a prediction, t a target and M the number of elements of one sample:
//   SquaredError          1/M sum (p - t)^2
//   AbsoluteError         1/M sum |p - t|                       (slope 0 where p = t)
//   Huber                 1/M sum of d^2 / 2 where |d| <= delta, else delta (|d| - delta / 2)
//   BinaryCrossEntropy    1/M sum max(x, 0) - x t + log(1 + e^-|x|), x the logit of p
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "ingot/base/error.h"
#include "ingot/ops/definition.h"
#include "ingot/ops/elementwise.h"

namespace ingot::ops {

void RegisterLosses(ir::OpRegistry& registry);

namespace {

using ir::Builder;
using ir::GradientContext;
using ir::InferContext;
using ir::OpDefinition;
using ir::Type;
using ir::Value;

// One loss: its value and its slope with respect to the prediction, at one element.
struct PairLoss {
  std::string name;
  std::string summary;
  double (*value)(double p, double t, double delta);
  double (*slope)(double p, double t, double delta);
  bool has_delta = false;
  // d(loss)/d(target); null: the negative of the prediction's.
  Value* (*target_gradient)(GradientContext&) = nullptr;
};

double Delta(const ir::Node& node, const PairLoss& loss) {
  return loss.has_delta ? node.GetFloat("delta") : 0;
}

// Checks prediction and target, inputs `first` and `first` + 1, and returns their type.
Type PairType(InferContext& context, size_t first) {
  RequireType(context, first, Types::kFloat);
  const Type& prediction = context.input(first);
  const Type& target = context.input(first + 1);
  if (!prediction.has_rank() || !target.has_rank()) return prediction;
  bool fits = prediction.rank() == target.rank() && prediction.rank() > 0;
  for (int i = 0; fits && i < prediction.rank(); ++i) {
    const ir::Dimension& p = prediction.dim(i);
    const ir::Dimension& t = target.dim(i);
    fits = !p.is_static() || !t.is_static() || p.value() == t.value();
  }
  if (!fits) {
    throw Error(ErrorCode::kInvalidInput,
                "the prediction is " + prediction.ToString() + " and the target " +
                    target.ToString() + ", expected one shape [N, ...]",
                "losses do not broadcast; reshape the target or change the last layer");
  }
  return prediction;
}

int64_t SampleSize(const TensorView& x) {
  return x.dim(0) == 0 ? 0 : x.size() / x.dim(0);
}

void PairLossReference(const ir::ReferenceCall& call, const PairLoss& loss) {
  const TensorView& prediction = call.input(0);
  const int64_t elements = SampleSize(prediction);
  const double delta = Delta(call.node, loss);
  DispatchFloat(loss.name, prediction.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (int64_t n = 0; n < prediction.dim(0); ++n) {
      double sum = 0;
      for (int64_t i = n * elements; i < (n + 1) * elements; ++i) {
        sum += loss.value(prediction.as<T>()[i], call.input(1).as<T>()[i], delta);
      }
      call.output().as<T>()[n] = static_cast<T>(sum / static_cast<double>(elements));
    }
  });
}

void PairGradientReference(const ir::ReferenceCall& call, const PairLoss& loss) {
  const TensorView& prediction = call.input(1);
  const int64_t elements = SampleSize(prediction);
  const double delta = Delta(call.node, loss);
  DispatchFloat(call.node.op_type(), prediction.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (int64_t i = 0; i < prediction.size(); ++i) {
      const double dloss = call.input(0).as<T>()[i / elements];
      const double slope = loss.slope(prediction.as<T>()[i], call.input(2).as<T>()[i], delta);
      call.output().as<T>()[i] = static_cast<T>(dloss * slope / static_cast<double>(elements));
    }
  });
}

void PairLossGradient(GradientContext& context, const PairLoss& loss) {
  Builder& b = context.builder();
  const bool is_antisymmetric = loss.target_gradient == nullptr;
  if (context.wants(0) || (context.wants(1) && is_antisymmetric)) {
    ir::Attributes attributes;
    if (loss.has_delta) attributes["delta"] = context.node().GetFloat("delta");
    Value* d = b.Op("ingot." + loss.name + "Gradient",
                    {context.output_gradient(), context.input(0), context.input(1)}, attributes);
    if (context.wants(0)) context.SetInputGradient(0, d);
    if (context.wants(1) && is_antisymmetric) context.SetInputGradient(1, b.Neg(d));
  }
  if (context.wants(1) && !is_antisymmetric) {
    context.SetInputGradient(1, loss.target_gradient(context));
  }
}

// Predictions and targets that differ by more than finite differences move them.
std::vector<OpCase> PairCases(const std::vector<double>& expected, double low_target,
                              double high_target) {
  return {
      OpCase{.name = "by_hand",
             .inputs = {Floats({2, 2}, {1, 3, -2, 0}), Floats({2, 2}, {0.5, 0, 1, 0.25})},
             .expected = {expected}},
      OpCase{.name = "one_value_each",
             .inputs = {Uniform({7}), Uniform({7}, low_target, high_target)}},
      OpCase{.name = "images",
             .inputs = {Uniform({3, 2, 5}), Uniform({3, 2, 5}, low_target, high_target)}},
      OpCase{.name = "no_samples", .inputs = {Uniform({0, 2}), Uniform({0, 2})}, .expected = {{}}},
      OpCase{.name = "ragged_rows",
             .inputs = {Uniform({5, 131}, -2, 2), Uniform({5, 131}, low_target, high_target)},
             .gradient = false},
  };
}

void AddPairLoss(ir::OpRegistry& registry, const PairLoss& loss,
                 const std::vector<double>& expected, const std::vector<double>& expected_slopes) {
  OpDefinition op;
  op.name = loss.name;
  op.domain = "ingot";
  op.summary = loss.summary;
  op.inputs = {Required("prediction"), Required("target")};
  op.outputs = {Required("loss")};
  if (loss.has_delta) op.attributes = {FloatAttribute("delta", 1)};
  op.infer = [](InferContext& context) {
    const Type type = PairType(context, 0);
    context.SetOutput(0, type.WithDims({type.has_rank() ? type.dim(0) : ir::Dimension()}));
  };
  op.gradient = [loss](GradientContext& context) { PairLossGradient(context, loss); };
  op.reference = [loss](const ir::ReferenceCall& call) { PairLossReference(call, loss); };
  op.cases = PairCases(expected, 0, 1);
  registry.Add(std::move(op));

  OpDefinition slope;
  slope.name = loss.name + "Gradient";
  slope.domain = "ingot";
  slope.summary = "d(loss)/d(prediction) of " + loss.name + ".";
  slope.inputs = {Required("dloss"), Required("prediction"), Required("target")};
  slope.outputs = {Required("dprediction")};
  if (loss.has_delta) slope.attributes = {FloatAttribute("delta", 1)};
  slope.infer = [](InferContext& context) { context.SetOutput(0, PairType(context, 1)); };
  slope.reference = [loss](const ir::ReferenceCall& call) { PairGradientReference(call, loss); };
  slope.cases = {
      OpCase{.name = "by_hand",
             .inputs = {Floats({2}, {1, 4}), Floats({2, 2}, {1, 3, -2, 0}),
                        Floats({2, 2}, {0.5, 0, 1, 0})},
             .expected = {expected_slopes},
             .gradient = false},
      OpCase{.name = "ragged",
             .inputs = {Uniform({5}), Uniform({5, 3, 7}), Uniform({5, 3, 7}, 0, 1)},
             .gradient = false},
      OpCase{.name = "one_value_each",
             .inputs = {Uniform({29}), Uniform({29}), Uniform({29}, 0, 1)},
             .gradient = false},
  };
  registry.Add(std::move(slope));
}

double Sign(double x) {
  return x > 0 ? 1.0 : (x < 0 ? -1.0 : x);
}
double Logistic(double x) {
  return 1 / (1 + std::exp(-x));
}

// d(loss)/d(t) = -x / M: what SquaredError's slope, 2 (p - t) / M, is for p = -x/4 and t = x/4.
Value* BinaryTargetGradient(GradientContext& context) {
  Builder& b = context.builder();
  Value* quarter = b.MulScalar(context.input(0), 0.25);
  return b.Op("ingot.SquaredErrorGradient", {context.output_gradient(), b.Neg(quarter), quarter});
}

void AddPairLosses(ir::OpRegistry& registry) {
  AddPairLoss(registry,
              {.name = "SquaredError",
               .summary = "The mean of (prediction - target)^2 over each sample.",
               .value = [](double p, double t, double) { return (p - t) * (p - t); },
               .slope = [](double p, double t, double) { return 2 * (p - t); }},
              {4.625, 4.53125}, {0.5, 3, -12, 0});
  AddPairLoss(registry,
              {.name = "AbsoluteError",
               .summary = "The mean of |prediction - target| over each sample.",
               .value = [](double p, double t, double) { return std::fabs(p - t); },
               .slope = [](double p, double t, double) { return Sign(p - t); }},
              {1.75, 1.625}, {0.5, 0.5, -2, 0});
  AddPairLoss(registry,
              {.name = "Huber",
               .summary = "Squared error near the target, absolute error beyond `delta`.",
               .value =
                   [](double p, double t, double delta) {
                     const double d = std::fabs(p - t);
                     return d <= delta ? 0.5 * d * d : delta * (d - 0.5 * delta);
                   },
               .slope =
                   [](double p, double t, double delta) {
                     return std::fabs(p - t) <= delta ? p - t : delta * Sign(p - t);
                   },
               .has_delta = true},
              {1.3125, 1.265625}, {0.25, 0.5, -2, 0});
  const auto binary = [](double x, double t) {
    return std::log(1 + std::exp(x)) - x * t;  // not stable, and so another formula
  };
  const auto slope = [](double x, double t) { return 1 / (1 + std::exp(-x)) - t; };
  AddPairLoss(
      registry,
      {.name = "BinaryCrossEntropy",
       .summary = "Cross-entropy of sigmoid(logit) and the target, the mean over each sample.",
       .value =
           [](double x, double t, double) {
             return std::max(x, 0.0) - x * t + std::log1p(std::exp(-std::fabs(x)));
           },
       .slope = [](double x, double t, double) { return Logistic(x) - t; },
       .target_gradient = BinaryTargetGradient},
      {(binary(1, 0.5) + binary(3, 0)) / 2, (binary(-2, 1) + binary(0, 0.25)) / 2},
      {slope(1, 0.5) / 2, slope(3, 0) / 2, 2 * slope(-2, 1), 2 * slope(0, 0)});
}

}  // namespace

void RegisterLosses(ir::OpRegistry& registry) {
  AddPairLosses(registry);
}

}  // namespace ingot::ops
