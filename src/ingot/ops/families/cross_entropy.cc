// Softmax cross-entropy, one value for each sample, and the helper of its gradient.
//
// -sum_c q_c log softmax(x)_c, where q = (1 - e) t + e / C: t the label as a distribution over the
// C classes, e the smoothing (PyTorch's definition, for labels that are distributions too).
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "ingot/base/error.h"
#include "ingot/ops/definition.h"
#include "ingot/ops/elementwise.h"
#include "ingot/ops/labels.h"

namespace ingot::ops {

void RegisterCrossEntropy(ir::OpRegistry& registry);

namespace {

using ir::Builder;
using ir::GradientContext;
using ir::InferContext;
using ir::OpDefinition;
using ir::Type;
using ir::Value;

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
  throw Error(ErrorCode::kInvalidInput,
              "attribute 'label_smoothing' is " + std::to_string(smoothing) + ", expected 0 to 1");
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
      OpCase{
          .name = "distributions", .inputs = {Uniform({6, 5}, -3, 3), distributions}, .outputs = 2},
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

}  // namespace

void RegisterCrossEntropy(ir::OpRegistry& registry) {
  AddSoftmaxCrossEntropy(registry);
  AddSoftmaxCrossEntropyGradient(registry);
}

}  // namespace ingot::ops
