// Scaled dot-product attention (ingot/ops/attention.h says what it computes) and its gradient,
// which keeps of the forward pass only Y and one number a row, so that memory is linear in length.
//
// The softcap is applied before the mask, so that a mask of -infinity stays one.
#include "ingot/ops/attention.h"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "ingot/base/error.h"
#include "ingot/ops/definition.h"
#include "ingot/ops/elementwise.h"

namespace ingot::ops {

void RegisterAttention(ir::OpRegistry& registry);

namespace {

using ir::Attributes;
using ir::GradientContext;
using ir::InferContext;
using ir::OpDefinition;
using ir::Type;
using ir::Value;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

DType LogSumType(DType dtype) {
  return dtype == DType::kF64 ? DType::kF64 : DType::kF32;
}

// An element of a tensor of any float type, or of a mask of bools (-infinity where false).
double Load(const TensorView& view, int64_t at) {
  if (view.dtype == DType::kBool) return view.as<bool>()[at] ? 0 : -kInfinity;
  double value = 0;
  DispatchFloat("Attention", view.dtype, [&](auto tag) {
    value = static_cast<double>(view.as<typename decltype(tag)::type>()[at]);
  });
  return value;
}

void Store(const TensorView& view, const std::vector<double>& values) {
  DispatchFloat("Attention", view.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (size_t i = 0; i < values.size(); ++i) view.as<T>()[i] = static_cast<T>(values[i]);
  });
}

std::vector<double> Doubles(const TensorView& view) {
  std::vector<double> values(static_cast<size_t>(view.size()));
  for (size_t i = 0; i < values.size(); ++i) values[i] = Load(view, static_cast<int64_t>(i));
  return values;
}

AttentionSizes SizesOf(const ir::ReferenceCall& call, size_t mask) {
  return SizesOfAttention(
      call.node, call.input(0).dims, call.input(1).dims, call.input(2).dims,
      call.has_input(mask) ? call.input(mask).dims : std::span<const int64_t>());
}

// The scores of one query row, and their slope against scale * q . k (1 without a softcap).
struct ScoreRow {
  std::vector<double> score, slope;
};

class Scores {
 public:
  Scores(const ir::ReferenceCall& call, size_t mask)
      : sizes_(SizesOf(call, mask)),
        q_(Doubles(call.input(0))),
        k_(Doubles(call.input(1))),
        mask_(call.has_input(mask) ? Doubles(call.input(mask)) : std::vector<double>()) {}

  const AttentionSizes& sizes() const { return sizes_; }
  const std::vector<double>& q() const { return q_; }
  const std::vector<double>& k() const { return k_; }

  ScoreRow Row(int64_t b, int64_t h, int64_t i) const {
    const AttentionSizes& s = sizes_;
    ScoreRow row{std::vector<double>(static_cast<size_t>(s.key_length), -kInfinity),
                 std::vector<double>(static_cast<size_t>(s.key_length), 1)};
    for (int64_t j = 0; j < s.key_length; ++j) {
      if (s.causal && j > i) break;
      double dot = 0;
      for (int64_t d = 0; d < s.head_size; ++d) {
        dot += q_[static_cast<size_t>(s.query.At(b, h, i) + d)] *
               k_[static_cast<size_t>(s.key.At(b, h / s.group(), j) + d)];
      }
      double score = s.scale * dot;
      if (s.softcap > 0) {
        const double t = std::tanh(score / s.softcap);
        row.slope[static_cast<size_t>(j)] = 1 - t * t;
        score = s.softcap * t;
      }
      if (!mask_.empty()) {
        score += mask_[static_cast<size_t>(b * s.mask_strides[0] + h * s.mask_strides[1] +
                                           i * s.mask_strides[2] + j * s.mask_strides[3])];
      }
      row.score[static_cast<size_t>(j)] = score;
    }
    return row;
  }

 private:
  AttentionSizes sizes_;
  std::vector<double> q_, k_, mask_;
};

// p = softmax(score) in place; log(sum e^score).
double SoftmaxInPlace(std::vector<double>& score) {
  double highest = -kInfinity;
  for (const double v : score) highest = std::max(highest, v);
  if (highest == -kInfinity) {
    std::fill(score.begin(), score.end(), 0);
    return -kInfinity;
  }
  double sum = 0;
  for (double& v : score) sum += v = std::exp(v - highest);
  for (double& v : score) v /= sum;
  return highest + std::log(sum);
}

template <typename F>
void ForEachRow(const AttentionSizes& s, F f) {
  for (int64_t b = 0; b < s.batch; ++b) {
    for (int64_t h = 0; h < s.query_heads; ++h) {
      for (int64_t i = 0; i < s.query_length; ++i) f(b, h, i);
    }
  }
}

void ForwardReference(const ir::ReferenceCall& call) {
  const Scores scores(call, 3);
  const AttentionSizes& s = scores.sizes();
  const std::vector<double> v = Doubles(call.input(2));
  std::vector<double> y(static_cast<size_t>(call.output().size()), 0);
  std::vector<double> log_sums;
  ForEachRow(s, [&](int64_t b, int64_t h, int64_t i) {
    std::vector<double> p = scores.Row(b, h, i).score;
    log_sums.push_back(SoftmaxInPlace(p));
    for (int64_t j = 0; j < s.key_length; ++j) {
      for (int64_t d = 0; d < s.value_size; ++d) {
        y[static_cast<size_t>(s.output.At(b, h, i) + d)] +=
            p[static_cast<size_t>(j)] * v[static_cast<size_t>(s.value.At(b, h / s.group(), j) + d)];
      }
    }
  });
  Store(call.output(), y);
  if (call.outputs.size() > 1) Store(call.output(1), log_sums);
}

// Inputs Q, K, V, Y, LSE, dY, mask, dLSE.
void BackwardReference(const ir::ReferenceCall& call) {
  const Scores scores(call, 6);
  const AttentionSizes& s = scores.sizes();
  const std::vector<double> v = Doubles(call.input(2)), y = Doubles(call.input(3)),
                            log_sums = Doubles(call.input(4)), dy = Doubles(call.input(5));
  const std::vector<double> d_log =
      call.has_input(7) ? Doubles(call.input(7)) : std::vector<double>(log_sums.size(), 0);
  std::vector<double> dq(scores.q().size(), 0), dk(scores.k().size(), 0), dv(v.size(), 0);
  size_t row_index = 0;
  ForEachRow(s, [&](int64_t b, int64_t h, int64_t i) {
    const size_t at = row_index++;
    const ScoreRow row = scores.Row(b, h, i);
    double delta = -d_log[at];
    const auto out = static_cast<size_t>(s.output.At(b, h, i));
    for (size_t d = 0; d < static_cast<size_t>(s.value_size); ++d)
      delta += dy[out + d] * y[out + d];
    for (int64_t j = 0; j < s.key_length; ++j) {
      const double score = row.score[static_cast<size_t>(j)];
      if (score == -kInfinity) continue;
      const double p = std::exp(score - log_sums[at]);
      const auto value = static_cast<size_t>(s.value.At(b, h / s.group(), j));
      double dp = 0;
      for (size_t d = 0; d < static_cast<size_t>(s.value_size); ++d) {
        dp += dy[out + d] * v[value + d];
        dv[value + d] += p * dy[out + d];
      }
      const double ds = p * (dp - delta) * row.slope[static_cast<size_t>(j)] * s.scale;
      const auto query = static_cast<size_t>(s.query.At(b, h, i));
      const auto key = static_cast<size_t>(s.key.At(b, h / s.group(), j));
      for (size_t d = 0; d < static_cast<size_t>(s.head_size); ++d) {
        dq[query + d] += ds * scores.k()[key + d];
        dk[key + d] += ds * scores.q()[query + d];
      }
    }
  });
  Store(call.output(0), dq);
  Store(call.output(1), dk);
  Store(call.output(2), dv);
}

// Checks what is known of the shapes; whether all of it is.
bool CheckShapes(const InferContext& context, size_t mask) {
  RequireType(context, 0, Types::kFloat);
  if (context.HasInput(mask) && context.input(mask).dtype() != DType::kBool) {
    RequireType(context, mask, Types::kFloat);
  }
  const auto known = [&](size_t i) { return context.input(i).is_static(); };
  if (!known(0) || !known(1) || !known(2)) return false;
  if (context.HasInput(mask) && !known(mask)) return false;
  SizesOfAttention(
      context.node(), context.input(0).shape().dims(), context.input(1).shape().dims(),
      context.input(2).shape().dims(),
      context.HasInput(mask) ? context.input(mask).shape().dims() : std::span<const int64_t>());
  return true;
}

// Extents that are not numbers yet (the batch) come from Q and V.
void InferForward(InferContext& context) {
  CheckShapes(context, 3);
  const Type& q = context.input(0);
  const Type& v = context.input(2);
  const bool has_log_sum = context.node().outputs().size() > 1;
  const DType log_sum = LogSumType(q.dtype());
  if (!q.has_rank() || !v.has_rank() || q.rank() != v.rank()) {
    context.SetOutput(0, Type::TensorOfUnknownRank(q.dtype()));
    if (has_log_sum) context.SetOutput(1, Type::TensorOfUnknownRank(log_sum));
    return;
  }
  const int64_t heads = context.node().GetInt("q_num_heads", 0);
  const int64_t key_heads = context.node().GetInt("kv_num_heads", 0);
  ir::Dimensions dims = q.dims();
  if (q.rank() == 4) {
    dims[3] = v.dim(3);
    if (has_log_sum) context.SetOutput(1, Type::Tensor(log_sum, {dims[0], dims[1], dims[2]}));
  } else if (q.rank() == 3) {
    if (heads < 1 || key_heads < 1) {
      throw Error(ErrorCode::kInvalidInput,
                  "Q is " + q.ToString() + ", but the number of heads is not given",
                  "set the attributes 'q_num_heads' and 'kv_num_heads'");
    }
    dims[2] = v.dim(2).is_static() ? ir::Dimension(v.dim(2).value() / key_heads * heads)
                                   : ir::Dimension();
    if (has_log_sum) {
      context.SetOutput(1, Type::Tensor(log_sum, {dims[0], ir::Dimension(heads), dims[1]}));
    }
  } else {
    throw Error(ErrorCode::kInvalidInput, "Q is " + q.ToString() + ", expected rank 3 or 4");
  }
  context.SetOutput(0, Type::Tensor(q.dtype(), std::move(dims)));
}

void InferBackward(InferContext& context) {
  CheckShapes(context, 6);
  for (size_t i = 0; i < 3; ++i) context.SetOutput(i, context.input(i));
}

std::vector<ir::AttributeSpec> AttentionAttributes() {
  return {IntAttribute("is_causal", 0), OptionalAttribute("q_num_heads", ir::AttributeKind::kInt),
          OptionalAttribute("kv_num_heads", ir::AttributeKind::kInt),
          OptionalAttribute("scale", ir::AttributeKind::kFloat), FloatAttribute("softcap", 0)};
}

void AttentionGradientRule(GradientContext& context) {
  if (context.wants(3)) {
    throw Error(ErrorCode::kUnsupported,
                context.node().Describe() + ": the gradient for attn_mask is not defined",
                "add a trained bias to the scores with MatMul, Add and Softmax instead");
  }
  ir::Builder& b = context.builder();
  const ir::Node& node = context.node();
  Value* y = context.output(0);
  const bool keeps = node.outputs().size() > 1;
  Value* log_sum = keeps ? context.output(1) : nullptr;
  if (!keeps) {
    // Nobody kept the sums: attend once more, with them.
    const std::vector<Value*> again =
        b.Ops("Attention", {node.inputs().begin(), node.inputs().end()}, 2, node.attributes());
    y = again[0];
    log_sum = again[1];
  }
  Value* dy = context.output_gradient(0);
  if (dy == nullptr) dy = b.MulScalar(y, 0);
  std::vector<Value*> inputs = {
      context.input(0), context.input(1), context.input(2), y, log_sum, dy};
  Value* d_log = keeps ? context.output_gradient(1) : nullptr;
  if (node.input(3) != nullptr || d_log != nullptr) inputs.push_back(node.input(3));
  if (d_log != nullptr) inputs.push_back(d_log);
  const std::vector<Value*> gradients =
      b.Ops("ingot.AttentionGradient", std::move(inputs), 3, node.attributes());
  for (size_t i = 0; i < 3; ++i) {
    if (context.wants(i)) context.SetInputGradient(i, gradients[i]);
  }
}

// ---- cases ----

Attributes Heads(int64_t query, int64_t key, Attributes more = {}) {
  more["q_num_heads"] = query;
  more["kv_num_heads"] = key;
  return more;
}

OpCase Random(std::string name, std::vector<OpCase::Input> inputs, Attributes attributes,
              bool gradient = true, size_t outputs = 1) {
  return OpCase{.name = std::move(name),
                .inputs = std::move(inputs),
                .attributes = std::move(attributes),
                .outputs = outputs,
                .gradient = gradient};
}

std::vector<OpCase> ForwardCases() {
  const Attributes causal = {{"is_causal", int64_t{1}}};
  const double e = std::exp(1.0);
  const OpCase::Input one = Floats({1, 1, 1, 1}, {1});
  const OpCase::Input keys = Floats({1, 1, 2, 1}, {0, 1});
  const OpCase::Input values = Floats({1, 1, 2, 1}, {4, 8});
  const double capped = std::exp(0.5 * std::tanh(2.0));
  OpCase::Input mask = Uniform({2, 1, 3, 4}, -2, 2);
  mask.differentiable = false;
  OpCase::Input hidden = Floats({1, 4}, {0, -INFINITY, 0, 1});
  hidden.differentiable = false;
  const auto heads4 = [](int64_t b, int64_t h, int64_t t, int64_t d) {
    return Uniform({b, h, t, d}, -2, 2);
  };
  return {
      OpCase{.name = "by_hand",
             .inputs = {one, keys, values},
             .expected = {{(4 + 8 * e) / (1 + e)}, {std::log(1 + e)}},
             .outputs = 2},
      OpCase{.name = "softcap_by_hand",
             .inputs = {one, keys, values},
             .attributes = {{"softcap", 0.5}},
             .expected = {{(4 + 8 * capped) / (1 + capped)}}},
      OpCase{.name = "heads_in_the_last_axis_by_hand",
             .inputs = {Floats({1, 1, 2}, {1, 0}), Floats({1, 2, 1}, {0, 1}),
                        Floats({1, 2, 1}, {4, 8})},
             .attributes = Heads(2, 1),
             .expected = {{(4 + 8 * e) / (1 + e), 6}}},
      OpCase{.name = "causal_by_hand",
             .inputs = {Floats({1, 1, 2, 1}, {1, 0}), keys, values},
             .attributes = causal,
             .expected = {{4, 6}, {0, std::log(2.0)}},
             .outputs = 2},
      OpCase{.name = "mask_by_hand",
             .inputs = {one, keys, values, Integers({1, 2}, {0, 1}, DType::kBool)},
             .expected = {{8}}},
      OpCase{.name = "all_hidden",
             .inputs = {one, keys, values, Integers({2}, {0, 0}, DType::kBool)},
             .expected = {{0}},
             .gradient = false},
      Random("heads", {heads4(2, 3, 4, 5), heads4(2, 3, 6, 5), heads4(2, 3, 6, 2)}, {}),
      Random("causal", {heads4(1, 2, 5, 3), heads4(1, 2, 5, 3), heads4(1, 2, 5, 3)}, causal, true,
             2),
      Random("grouped", {heads4(2, 4, 3, 2), heads4(2, 2, 4, 2), heads4(2, 2, 4, 3)}, causal),
      Random("rows", {Uniform({2, 4, 6}), Uniform({2, 4, 6}), Uniform({2, 4, 9})},
             Heads(3, 3, causal)),
      Random("grouped_rows", {Uniform({2, 3, 8}), Uniform({2, 5, 4}), Uniform({2, 5, 6})},
             Heads(4, 2, {{"scale", 0.7}})),
      Random("softcap", {heads4(1, 2, 3, 4), heads4(1, 2, 4, 4), heads4(1, 2, 4, 4)},
             {{"softcap", 1.5}, {"is_causal", int64_t{1}}}),
      Random("mask", {heads4(2, 2, 3, 4), heads4(2, 2, 4, 4), heads4(2, 2, 4, 4), mask}, {}),
      Random("hidden", {heads4(2, 2, 3, 4), heads4(2, 2, 4, 4), heads4(2, 2, 4, 4), hidden},
             {{"softcap", 2.0}}),
      Random("ragged", {heads4(1, 2, 67, 33), heads4(1, 2, 131, 33), heads4(1, 2, 131, 17)}, {},
             false, 2),
      Random("ragged_causal",
             {Uniform({2, 137, 60}, -3, 3), Uniform({2, 137, 20}, -3, 3),
              Uniform({2, 137, 20}, -3, 3)},
             Heads(3, 1, causal), false, 2),
      Random("blocks", {heads4(1, 2, 128, 32), heads4(1, 2, 128, 32), heads4(1, 2, 128, 32)},
             causal, false, 2),
      Random("no_queries", {heads4(1, 1, 0, 2), heads4(1, 1, 3, 2), heads4(1, 1, 3, 2)}, {}),
  };
}

std::vector<OpCase> BackwardCases() {
  OpCase by_hand;
  by_hand.name = "by_hand";
  by_hand.inputs = {Floats({1, 1, 1, 1}, {0}),    Floats({1, 1, 2, 1}, {0, 1}),
                    Floats({1, 1, 2, 1}, {4, 8}), Floats({1, 1, 1, 1}, {6}),
                    Floats({1, 1, 1}, {0}),       Floats({1, 1, 1, 1}, {1})};
  // With LSE = 0 and q = 0: p = [1, 1], dp = [4, 8], ds = [-2, 2].
  by_hand.expected = {{2}, {0, 0}, {1, 1}};
  by_hand.outputs = 3;
  by_hand.gradient = false;
  const auto random = [](const char* name, Shape q, Shape k, Shape v, Shape y, Shape rows,
                         Attributes attributes) {
    // Sums of exponentials that go with scores of about 0.
    OpCase op_case;
    op_case.name = name;
    op_case.inputs = {Uniform(q), Uniform(k),          Uniform(v),
                      Uniform(y), Uniform(rows, 4, 5), Uniform(y)};
    op_case.attributes = std::move(attributes);
    op_case.outputs = 3;
    op_case.gradient = false;
    return op_case;
  };
  const Attributes causal = {{"is_causal", int64_t{1}}};
  return {by_hand,
          random("ragged", {1, 2, 67, 33}, {1, 2, 131, 33}, {1, 2, 131, 17}, {1, 2, 67, 17},
                 {1, 2, 67}, {}),
          random("grouped_rows", {2, 137, 60}, {2, 137, 20}, {2, 137, 20}, {2, 137, 60},
                 {2, 3, 137}, Heads(3, 1, causal)),
          random("softcap", {2, 2, 9, 8}, {2, 2, 9, 8}, {2, 2, 9, 8}, {2, 2, 9, 8}, {2, 2, 9},
                 {{"softcap", 0.75}, {"is_causal", int64_t{1}}}),
          random("blocks", {1, 2, 128, 32}, {1, 2, 128, 32}, {1, 2, 128, 32}, {1, 2, 128, 32},
                 {1, 2, 128}, causal)};
}

}  // namespace

void RegisterAttention(ir::OpRegistry& registry) {
  OpDefinition op;
  op.name = "Attention";
  op.since_version = 23;
  op.summary = "Scaled dot-product attention of one or more heads; optionally log(sum(e^score)).";
  op.inputs = {Required("Q"), Required("K"), Required("V"), Optional("attn_mask", "U")};
  op.outputs = {Required("Y"), Optional("LSE", "S")};
  op.attributes = AttentionAttributes();
  op.infer = InferForward;
  op.reference = ForwardReference;
  op.gradient = AttentionGradientRule;
  op.cases = ForwardCases();
  registry.Add(std::move(op));

  OpDefinition gradient;
  gradient.name = "AttentionGradient";
  gradient.domain = "ingot";
  gradient.summary = "d(Q), d(K) and d(V) of Attention from its inputs, Y, LSE and d(Y).";
  gradient.inputs = {Required("Q"),
                     Required("K"),
                     Required("V"),
                     Required("Y"),
                     Required("LSE", "S"),
                     Required("dY"),
                     Optional("attn_mask", "U"),
                     Optional("dLSE", "S")};
  gradient.outputs = {Required("dQ"), Required("dK"), Required("dV")};
  gradient.attributes = AttentionAttributes();
  gradient.infer = InferBackward;
  gradient.reference = BackwardReference;
  gradient.cases = BackwardCases();
  registry.Add(std::move(gradient));
}

}  // namespace ingot::ops
