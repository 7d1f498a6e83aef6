// Metrics that are computed with the step, one value for each sample.
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "ingot/base/error.h"
#include "ingot/ops/definition.h"
#include "ingot/ops/elementwise.h"
#include "ingot/ops/labels.h"

namespace ingot::ops {

void RegisterMetrics(ir::OpRegistry& registry);

namespace {

using ir::InferContext;
using ir::OpDefinition;

void InferTopKHits(InferContext& context) {
  RequireType(context, 0, Types::kFloat);
  CheckLabels(context, 0, 1, /*may_be_distributions=*/false);
  const int64_t k = context.node().GetInt("k");
  if (k < 1) {
    throw Error(ErrorCode::kInvalidInput,
                "attribute 'k' is " + std::to_string(k) + ", expected at least 1");
  }
  const ir::Type& scores = context.input(0);
  const ir::Type& labels = context.input(1);
  ir::Dimension samples = scores.has_rank() ? scores.dim(0) : ir::Dimension();
  if (!samples.is_static() && labels.has_rank()) samples = labels.dim(0);
  context.SetOutput(0, ir::Type::Tensor(DType::kF32, {samples}));
}

// A NaN counts as the largest score, and the score of a NaN label as the smallest: a network that
// has gone wrong is never right.
bool StandsBefore(double score, int64_t index, double label_score, int64_t label) {
  if (index == label) return false;
  return !(score < label_score || (score == label_score && index > label));
}

void TopKHitsReference(const ir::ReferenceCall& call) {
  const TensorView& scores = call.input(0);
  const int64_t classes = scores.dim(1);
  const int64_t k = call.node.GetInt("k");
  const std::vector<int64_t> labels = ReadLabels(call.input(1), classes);
  DispatchFloat("ingot.TopKHits", scores.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (int64_t n = 0; n < scores.dim(0); ++n) {
      const T* row = scores.as<T>() + n * classes;
      const int64_t label = labels[static_cast<size_t>(n)];
      int64_t before = 0;
      for (int64_t c = 0; c < classes; ++c) before += StandsBefore(row[c], c, row[label], label);
      call.output().as<float>()[n] = before < k ? 1.0f : 0.0f;
    }
  });
}

OpCase TopKCase(std::string name, OpCase::Input scores, std::vector<int64_t> labels, int64_t k,
                std::vector<std::vector<double>> expected = {}) {
  const auto samples = static_cast<int64_t>(labels.size());
  return OpCase{.name = std::move(name),
                .inputs = {std::move(scores), Integers({samples}, labels)},
                .attributes = {{"k", k}},
                .expected = std::move(expected),
                .gradient = false};
}

}  // namespace

void RegisterMetrics(ir::OpRegistry& registry) {
  OpDefinition op;
  op.name = "TopKHits";
  op.domain = "ingot";
  op.summary = "1 where the label is among the k largest scores, else 0; ties: lower index first.";
  op.inputs = {Required("scores"), Required("labels", "L")};
  op.outputs = {Required("hits", "H")};
  op.attributes = {IntAttribute("k", 1)};
  op.infer = InferTopKHits;
  op.reference = TopKHitsReference;
  const auto scores = Floats({4, 3}, {1, 3, 2, 1, 3, 2, 1, 3, 2, 5, 5, 5});
  const auto wrong = Floats({2, 2}, {NAN, 1, NAN, 1});
  op.cases = {
      TopKCase("accuracy", scores, {1, 2, 0, 0}, 1, {{1, 0, 0, 1}}),
      TopKCase("top_2", scores, {1, 2, 0, 1}, 2, {{1, 1, 0, 1}}),
      TopKCase("ties", scores, {1, 1, 1, 2}, 2, {{1, 1, 1, 0}}),
      TopKCase("all", scores, {0, 1, 2, 2}, 3, {{1, 1, 1, 1}}),
      TopKCase("more_than_classes", scores, {0, 1, 2, 2}, 9, {{1, 1, 1, 1}}),
      TopKCase("nan", wrong, {0, 1}, 1, {{0, 0}}),
      TopKCase("no_samples", Uniform({0, 3}), {}, 1),
      TopKCase("ragged", Uniform({7, 131}), {0, 130, 64, 1, 2, 3, 4}, 17),
  };
  registry.Add(std::move(op));
}

}  // namespace ingot::ops
