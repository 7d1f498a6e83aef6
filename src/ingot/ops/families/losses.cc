// Losses, one value for each sample, and the helpers of their gradients.
//
// With p a prediction, t a target and M the number of elements of one sample:
//   SoftmaxCrossEntropy   -sum_c q_c log softmax(x)_c, where q = (1 - e) t + e / C for smoothing e
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
#include "ingot/ops/labels.h"

namespace ingot::ops {

void RegisterLosses(ir::OpRegistry& registry);

namespace {

using ir::Builder;
using ir::GradientContext;
using ir::InferContext;
using ir::OpDefinition;
using ir::Type;
using ir::Value;

// ---- softmax cross-entropy ----

// The logits, the labels and the smoothing of one call, row by row in double.
class CrossEntropyRows {
 public:
  // `rows` has the shape [N, C]; the labels are input `labels`.
  CrossEntropyRows(const ir::ReferenceCall& call, const TensorView& rows, size_t labels)
      : labels_(call.input(labels)),
        smoothing_(call.node.GetFloat("label_smoothing")),
        classes_(rows.dim(1)) {
    if (IsFloat(labels_.dtype)) {
      soft_.resize(static_cast<size_t>(labels_.size()));
      ConvertElements(labels_.data, labels_.dtype, soft_.data(), DType::kF64, labels_.size());
    } else {
      hard_ = ReadLabels(labels_, classes_);
    }
  }

  // q_c of a row.
  double Target(int64_t row, int64_t c) const {
    const double target = soft_.empty() ? (hard_[static_cast<size_t>(row)] == c ? 1.0 : 0.0)
                                        : soft_[static_cast<size_t>(row * classes_ + c)];
    return (1 - smoothing_) * target + smoothing_ / static_cast<double>(classes_);
  }

 private:
  TensorView labels_;
  double smoothing_;
  int64_t classes_;
  std::vector<double> soft_;
  std::vector<int64_t> hard_;
};

void CrossEntropyReference(const ir::ReferenceCall& call) {
  const TensorView& logits = call.input(0);
  const int64_t rows = logits.dim(0), classes = logits.dim(1);
  const CrossEntropyRows targets(call, logits, 1);
  DispatchFloat("ingot.SoftmaxCrossEntropy", logits.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (int64_t n = 0; n < rows; ++n) {
      const T* x = logits.as<T>() + n * classes;
      T* probabilities = call.output(1).as<T>() + n * classes;
      double highest = -INFINITY, sum = 0, loss = 0;
      for (int64_t c = 0; c < classes; ++c) highest = std::max(highest, double{x[c]});
      for (int64_t c = 0; c < classes; ++c) sum += std::exp(double{x[c]} - highest);
      const double log_sum = highest + std::log(sum);
      for (int64_t c = 0; c < classes; ++c) {
        const double target = targets.Target(n, c);
        // A class that cannot be (probability 0) and is not meant costs nothing.
        if (target != 0) loss += target * (log_sum - double{x[c]});
        probabilities[c] = static_cast<T>(std::exp(double{x[c]} - highest) / sum);
      }
      call.output(0).as<T>()[n] = static_cast<T>(loss);
    }
  });
}

// dlogits = dloss * (softmax * (sum_c q_c) - q); the sum is 1 unless float labels say otherwise.
void CrossEntropyGradientReference(const ir::ReferenceCall& call) {
  const TensorView& probabilities = call.input(1);
  const int64_t rows = probabilities.dim(0), classes = probabilities.dim(1);
  const CrossEntropyRows targets(call, probabilities, 2);
  DispatchFloat("ingot.SoftmaxCrossEntropyGradient", probabilities.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (int64_t n = 0; n < rows; ++n) {
      const double dloss = call.input(0).as<T>()[n];
      double sum = 0;
      for (int64_t c = 0; c < classes; ++c) sum += targets.Target(n, c);
      for (int64_t c = 0; c < classes; ++c) {
        const int64_t i = n * classes + c;
        const double p = probabilities.as<T>()[i];
        call.output().as<T>()[i] = static_cast<T>(dloss * (p * sum - targets.Target(n, c)));
      }
    }
  });
}

// d(loss)/d(float labels) = -(1 - e) log softmax(logits).
Value* LabelsGradient(GradientContext& context, Value* dloss) {
  Builder& b = context.builder();
  const double smoothing = context.node().GetFloat("label_smoothing");
  Value* log_probabilities = b.Op("LogSoftmax", {context.input(0)}, {{"axis", int64_t{1}}});
  Value* column = b.Op("Reshape", {dloss, b.Ints({0, 1})});
  return b.MulScalar(b.Mul(column, log_probabilities), smoothing - 1);
}

void CrossEntropyGradient(GradientContext& context) {
  Builder& b = context.builder();
  Value* dloss = context.output_gradient(0);
  Value* dprobabilities = context.output_gradient(1);
  if (context.wants(0)) {
    Value* sum = nullptr;
    if (dloss != nullptr) {
      sum = b.Op("ingot.SoftmaxCrossEntropyGradient", {dloss, context.output(1), context.input(1)},
                 {{"label_smoothing", context.node().GetFloat("label_smoothing")}});
    }
    if (dprobabilities != nullptr) {
      Value* d = b.Op("ingot.SoftmaxGradient", {dprobabilities, context.output(1)},
                      {{"axis", int64_t{1}}});
      sum = sum == nullptr ? d : b.Add(sum, d);
    }
    context.SetInputGradient(0, sum);
  }
  if (context.wants(1) && dloss != nullptr) {
    context.SetInputGradient(1, LabelsGradient(context, dloss));
  }
}

double CheckSmoothing(const ir::Node& node) {
  const double smoothing = node.GetFloat("label_smoothing");
  if (smoothing >= 0 && smoothing <= 1) return smoothing;
  throw Error(ErrorCode::kInvalidInput, "attribute 'label_smoothing' is " +
                                            std::to_string(smoothing) + ", expected 0 to 1");
}

void AddSoftmaxCrossEntropy(ir::OpRegistry& registry) {
  OpDefinition op;
  op.name = "SoftmaxCrossEntropy";
  op.domain = "ingot";
  op.summary = "Cross-entropy of softmax(logits) and the labels, for each sample.";
  op.inputs = {Required("logits"), Required("labels", "L")};
  op.outputs = {Required("loss"), Required("probabilities")};
  op.attributes = {FloatAttribute("label_smoothing", 0)};
  op.infer = [](InferContext& context) {
    RequireType(context, 0, Types::kFloat);
    CheckSmoothing(context.node());
    CheckLabels(context, 0, 1, /*may_be_distributions=*/true);
    const Type& logits = context.input(0);
    context.SetOutput(0, logits.WithDims({logits.has_rank() ? logits.dim(0) : ir::Dimension()}));
    context.SetOutput(1, logits);
  };
  op.gradient = CrossEntropyGradient;
  op.reference = CrossEntropyReference;
  OpCase::Input distributions = Uniform({6, 5}, 0, 1);
  const ir::Attributes smoothed = {{"label_smoothing", 0.1}};
  op.cases = {
      OpCase{.name = "by_hand",
             .inputs = {Floats({2, 2}, {0, 0, 1, 3}), Integers({2}, {0, 1})},
             .expected = {{std::log(2.0), std::log1p(std::exp(-2.0))},
                          {0.5, 0.5, 1 / (1 + std::exp(2.0)), 1 / (1 + std::exp(-2.0))}},
             .outputs = 2},
      OpCase{.name = "large_logits",
             .inputs = {Floats({2, 2}, {1024, 0, 1024, 0}), Integers({2}, {0, 1}, DType::kU8)},
             .expected = {{0, 1024}, {1, 0, 1, 0}},
             .outputs = 2},
      OpCase{.name = "smoothed_by_hand",
             .inputs = {Floats({1, 2}, {0, 2}), Integers({1}, {1}, DType::kI32)},
             .attributes = {{"label_smoothing", 0.5}},
             .expected = {{0.5 + std::log1p(std::exp(-2.0))}},
             .outputs = 2},
      OpCase{.name = "impossible_class",
             .inputs = {Floats({1, 2}, {0, -INFINITY}), Integers({1}, {0})},
             .expected = {{0}, {1, 0}},
             .outputs = 2,
             .gradient = false},
      OpCase{.name = "random",
             .inputs = {Uniform({6, 5}, -3, 3), Integers({6}, {0, 4, 2, 2, 1, 3})},
             .outputs = 2},
      OpCase{.name = "random_smoothed",
             .inputs = {Uniform({6, 5}, -3, 3), Integers({6}, {0, 4, 2, 2, 1, 3})},
             .attributes = smoothed,
             .outputs = 2},
      OpCase{.name = "distributions", .inputs = {Uniform({6, 5}, -3, 3), distributions},
             .outputs = 2},
      OpCase{.name = "distributions_smoothed",
             .inputs = {Uniform({6, 5}, -3, 3), distributions},
             .attributes = smoothed,
             .outputs = 2},
      OpCase{.name = "no_samples",
             .inputs = {Uniform({0, 3}), Integers({0}, {})},
             .expected = {{}, {}},
             .outputs = 2},
      OpCase{.name = "many_classes",
             .inputs = {Uniform({3, 131}, -20, 20), Integers({3}, {130, 0, 64})},
             .outputs = 2,
             .gradient = false},
  };
  registry.Add(std::move(op));
}

void AddSoftmaxCrossEntropyGradient(ir::OpRegistry& registry) {
  OpDefinition op;
  op.name = "SoftmaxCrossEntropyGradient";
  op.domain = "ingot";
  op.summary = "d(loss)/d(logits) of SoftmaxCrossEntropy.";
  op.inputs = {Required("dloss"), Required("probabilities"), Required("labels", "L")};
  op.outputs = {Required("dlogits")};
  op.attributes = {FloatAttribute("label_smoothing", 0)};
  op.infer = [](InferContext& context) {
    RequireType(context, 1, Types::kFloat);
    CheckSmoothing(context.node());
    CheckLabels(context, 1, 2, /*may_be_distributions=*/true);
    context.SetOutput(0, context.input(1));
  };
  op.reference = CrossEntropyGradientReference;
  op.cases = {
      OpCase{.name = "by_hand",
             .inputs = {Floats({2}, {1, 4}), Floats({2, 2}, {0.25, 0.75, 0.5, 0.5}),
                        Integers({2}, {0, 1})},
             .expected = {{-0.75, 0.75, 2, -2}},
             .gradient = false},
      OpCase{.name = "smoothed_by_hand",
             .inputs = {Floats({1}, {1}), Floats({1, 2}, {0.25, 0.75}), Integers({1}, {0})},
             .attributes = {{"label_smoothing", 0.5}},
             .expected = {{-0.5, 0.5}},
             .gradient = false},
      OpCase{.name = "random",
             .inputs = {Uniform({7}), Uniform({7, 10}, 0, 1),
                        Integers({7}, {0, 9, 1, 8, 2, 7, 3}, DType::kI32)},
             .gradient = false},
      OpCase{.name = "batch",
             .inputs = {Uniform({3}), Uniform({3, 131}, 0, 1), Integers({3}, {130, 0, 64})},
             .attributes = {{"label_smoothing", 0.1}},
             .gradient = false},
      OpCase{.name = "distributions",
             .inputs = {Uniform({5}), Uniform({5, 7}, 0, 1), Uniform({5, 7}, 0, 1)},
             .gradient = false},
  };
  registry.Add(std::move(op));
}

// ---- losses of the difference between two tensors of one shape ----

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
  DispatchFloat(loss.name + "Gradient", prediction.dtype, [&](auto tag) {
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

double Sign(double x) { return x > 0 ? 1.0 : (x < 0 ? -1.0 : x); }
double SigmoidOf(double x) { return 1 / (1 + std::exp(-x)); }

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
  AddPairLoss(
      registry,
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
  AddPairLoss(registry,
              {.name = "BinaryCrossEntropy",
               .summary = "Cross-entropy of sigmoid(logit) and the target, the mean over each sample.",
               .value =
                   [](double x, double t, double) {
                     return std::max(x, 0.0) - x * t + std::log1p(std::exp(-std::fabs(x)));
                   },
               .slope = [](double x, double t, double) { return SigmoidOf(x) - t; },
               .target_gradient = BinaryTargetGradient},
              {(binary(1, 0.5) + binary(3, 0)) / 2, (binary(-2, 1) + binary(0, 0.25)) / 2},
              {slope(1, 0.5) / 2, slope(3, 0) / 2, 2 * slope(-2, 1), 2 * slope(0, 0)});
}

}  // namespace

void RegisterLosses(ir::OpRegistry& registry) {
  AddSoftmaxCrossEntropy(registry);
  AddSoftmaxCrossEntropyGradient(registry);
  AddPairLosses(registry);
}

}  // namespace ingot::ops
