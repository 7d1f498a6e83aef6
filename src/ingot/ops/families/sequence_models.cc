// Ops of sequence models beyond attention and recurrence: LinearAttention, CausalConvWithState,
// ReverseSequence; and Det, a determinant.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include "ingot/base/error.h"
#include "ingot/ops/doubles.h"
#include "ingot/ops/elementwise.h"
#include "ingot/ops/shape_rule.h"

namespace ingot::ops {
namespace {

using ir::Attribute;
using ir::Attributes;
using ir::Dimension;
using ir::InferContext;
using ir::Type;

void RequireSize(const char* name, const std::vector<double>& values, int64_t size) {
  if (values.empty() || static_cast<int64_t>(values.size()) == size) return;
  throw Error(ErrorCode::kInvalidInput, std::string(name) + " has " +
                                            std::to_string(values.size()) + " elements, expected " +
                                            std::to_string(size));
}

// ---- LinearAttention ----

struct LinearHeads {
  explicit LinearHeads(const ir::Node& node)
      : queries(node.GetInt("q_num_heads")), keys(node.GetInt("kv_num_heads")) {
    if (queries < 1 || keys < 1 || queries % keys != 0) {
      throw Error(ErrorCode::kInvalidInput, std::to_string(queries) + " query heads and " +
                                                std::to_string(keys) +
                                                " key heads do not fit together");
    }
  }
  int64_t queries, keys;
};

// S = decay S; S += beta k (v - S^T k) or k v^T; o = scale S^T q: token after token.
void LinearAttentionReference(const ir::ReferenceCall& call) {
  const ir::Node& node = call.node;
  const LinearHeads heads(node);
  const TensorView& q = call.input(0);
  const int64_t batch = q.dim(0), tokens = q.dim(1);
  const int64_t dk = call.output(1).dim(2), dv = call.output(1).dim(3);
  const std::vector<double> query = ReadDoubles(call, 0), key = ReadDoubles(call, 1),
                            value = ReadDoubles(call, 2), past = ReadDoubles(call, 3),
                            decay = ReadDoubles(call, 4), beta = ReadDoubles(call, 5);
  const std::string& rule = node.GetString("update_rule");
  const bool gated = rule == "gated" || rule == "gated_delta";
  const bool delta = rule == "delta" || rule == "gated_delta";
  if ((!gated && !delta && rule != "linear") || (gated && decay.empty()) ||
      (delta && beta.empty())) {
    throw Error(ErrorCode::kInvalidInput,
                "attribute 'update_rule' is '" + rule +
                    "': expected linear, gated, delta or gated_delta with the inputs it needs");
  }
  RequireSize("key", key, batch * tokens * heads.keys * dk);
  RequireSize("value", value, batch * tokens * heads.keys * dv);
  RequireSize("past_state", past, batch * heads.keys * dk * dv);
  // Decay for each key dimension or for each head; beta for each head or for all.
  const int64_t places = batch * tokens;
  const int64_t decay_width =
      decay.empty() || places == 0 ? 0 : static_cast<int64_t>(decay.size()) / places;
  const int64_t beta_width =
      beta.empty() || places == 0 ? 0 : static_cast<int64_t>(beta.size()) / places;
  const bool each_key = decay_width == heads.keys * dk && dk > 1;
  if ((gated && !each_key && decay_width != heads.keys) ||
      (delta && beta_width != heads.keys && beta_width != 1)) {
    throw Error(ErrorCode::kInvalidInput, "decay or beta do not fit the heads");
  }
  double scale = node.GetFloat("scale");
  if (scale == 0) scale = 1 / std::sqrt(static_cast<double>(dk));
  std::vector<double> state = past;
  if (state.empty()) state.assign(static_cast<size_t>(batch * heads.keys * dk * dv), 0);
  std::vector<double> out(static_cast<size_t>(call.output(0).size()));
  const int64_t shared = heads.queries / heads.keys;
  std::vector<double> change(static_cast<size_t>(dv));
  for (int64_t n = 0; n < batch; ++n) {
    for (int64_t t = 0; t < tokens; ++t) {
      const int64_t place = n * tokens + t;
      for (int64_t h = 0; h < heads.keys; ++h) {
        double* s = state.data() + (n * heads.keys + h) * dk * dv;
        const double* k = key.data() + (place * heads.keys + h) * dk;
        const double* v = value.data() + (place * heads.keys + h) * dv;
        if (gated) {
          for (int64_t i = 0; i < dk; ++i) {
            const int64_t at = place * decay_width + (each_key ? h * dk + i : h);
            const double factor = std::exp(decay[static_cast<size_t>(at)]);
            for (int64_t j = 0; j < dv; ++j) s[i * dv + j] *= factor;
          }
        }
        for (int64_t j = 0; j < dv; ++j) {
          double add = v[j];
          if (delta) {
            double seen = 0;
            for (int64_t i = 0; i < dk; ++i) seen += s[i * dv + j] * k[i];
            const int64_t at = place * beta_width + (beta_width == 1 ? 0 : h);
            add = beta[static_cast<size_t>(at)] * (v[j] - seen);
          }
          change[static_cast<size_t>(j)] = add;
        }
        for (int64_t i = 0; i < dk; ++i) {
          for (int64_t j = 0; j < dv; ++j) s[i * dv + j] += k[i] * change[static_cast<size_t>(j)];
        }
        for (int64_t g = h * shared; g < (h + 1) * shared; ++g) {
          const double* qs = query.data() + (place * heads.queries + g) * dk;
          for (int64_t j = 0; j < dv; ++j) {
            double sum = 0;
            for (int64_t i = 0; i < dk; ++i) sum += qs[i] * s[i * dv + j];
            out[static_cast<size_t>((place * heads.queries + g) * dv + j)] = scale * sum;
          }
        }
      }
    }
  }
  WriteDoubles(out, call.output(0));
  WriteDoubles(state, call.output(1));
}

void InferLinearAttention(InferContext& context) {
  const LinearHeads heads(context.node());
  const Type& q = context.input(0);
  const Type& v = context.input(2);
  RequireType(context, 0, Types::kFloat);
  const auto part = [](const Type& type, int64_t count) -> Dimension {
    if (!type.has_rank()) return {};
    if (type.rank() != 3 || (type.dim(2).is_static() && type.dim(2).value() % count != 0)) {
      throw Error(ErrorCode::kInvalidInput,
                  type.ToString() + " does not hold [batch, tokens, heads x size] for " +
                      std::to_string(count) + " heads");
    }
    return type.dim(2).is_static() ? Dimension(type.dim(2).value() / count) : Dimension();
  };
  const Dimension dk = part(q, heads.queries), dv = part(v, heads.keys);
  const Dimension batch = q.has_rank() ? q.dim(0) : Dimension();
  const Dimension width = dv.is_static() ? Dimension(dv.value() * heads.queries) : Dimension();
  context.SetOutput(0,
                    Type::Tensor(q.dtype(), {batch, q.has_rank() ? q.dim(1) : Dimension(), width}));
  if (context.node().outputs().size() > 1) {
    const DType dtype = context.HasInput(3) ? context.input(3).dtype() : q.dtype();
    context.SetOutput(1, Type::Tensor(dtype, {batch, Dimension(heads.keys), dk, dv}));
  }
}

void RegisterLinearAttention(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "LinearAttention";
  op.since_version = 27;
  op.summary = "Attention whose memory is a matrix that each token changes.";
  op.inputs = {Required("query"),           Required("key"),   Required("value"),
               Optional("past_state", "S"), Optional("decay"), Optional("beta")};
  op.outputs = {Required("output"), Required("present_state", "S")};
  op.attributes = {IntAttribute("chunk_size", 64),
                   RequiredAttribute("kv_num_heads", ir::AttributeKind::kInt),
                   RequiredAttribute("q_num_heads", ir::AttributeKind::kInt),
                   FloatAttribute("scale", 0), StringAttribute("update_rule", "gated_delta")};
  op.infer = InferLinearAttention;
  op.reference = LinearAttentionReference;
  const auto rule = [](const char* name) {
    return Attributes{{"kv_num_heads", Attribute(int64_t{1})},
                      {"q_num_heads", Attribute(int64_t{1})},
                      {"scale", 1.0},
                      {"update_rule", Attribute(std::string(name))}};
  };
  // One head of one dimension: s += k v; o = q s.
  const OpCase::Input q = Floats({1, 2, 1}, {1, 2}), k = Floats({1, 2, 1}, {1, 1}),
                      v = Floats({1, 2, 1}, {3, 5});
  const auto make = [](const char* name, std::vector<OpCase::Input> inputs, Attributes attributes,
                       std::vector<double> out, std::vector<double> state) {
    OpCase test = ExpectedOnly(name, std::move(inputs), std::move(out), std::move(attributes));
    test.outputs = 2;
    test.expected.push_back(std::move(state));
    return test;
  };
  op.cases = {make("linear", {q, k, v}, rule("linear"), {3, 16}, {8}),
              make("past", {q, k, v, Floats({1, 1, 1, 1}, {1})}, rule("linear"), {4, 18}, {9}),
              // 3 * 1, then 3 + 0.5 (5 - 3).
              make("delta", {q, k, v, Absent(), Absent(), Floats({1, 2, 1}, {1, 0.5})},
                   rule("delta"), {3, 8}, {4})};
  registry.Add(std::move(op));
}

// ---- CausalConvWithState ----

void CausalConvReference(const ir::ReferenceCall& call) {
  const TensorView& x = call.input(0);
  const TensorView& w = call.input(1);
  const std::string& activation = call.node.GetString("activation");
  const bool swish = activation == "silu" || activation == "swish";
  if (!swish && activation != "none") {
    throw Error(ErrorCode::kInvalidInput,
                "attribute 'activation' is '" + activation + "', expected silu, swish or none");
  }
  const std::vector<double> input = ReadDoubles(call, 0), weights = ReadDoubles(call, 1),
                            bias = ReadDoubles(call, 2), past = ReadDoubles(call, 3);
  const int64_t batch = x.dim(0), channels = x.dim(1), length = x.dim(2), kernel = w.dim(2);
  RequireSize("bias", bias, channels);
  RequireSize("past_state", past, batch * channels * (kernel - 1));
  std::vector<double> out, state;
  for (int64_t line = 0; line < batch * channels; ++line) {
    const int64_t c = line % channels;
    // What came before, then this input.
    std::vector<double> all(static_cast<size_t>(kernel - 1), 0);
    if (!past.empty()) {
      std::copy_n(past.begin() + line * (kernel - 1), kernel - 1, all.begin());
    }
    all.insert(all.end(), input.begin() + line * length, input.begin() + (line + 1) * length);
    for (int64_t t = 0; t < length; ++t) {
      double sum = bias.empty() ? 0 : bias[static_cast<size_t>(c)];
      for (int64_t i = 0; i < kernel; ++i) {
        sum += all[static_cast<size_t>(t + i)] * weights[static_cast<size_t>(c * kernel + i)];
      }
      out.push_back(swish ? sum / (1 + std::exp(-sum)) : sum);
    }
    state.insert(state.end(), all.end() - (kernel - 1), all.end());
  }
  WriteDoubles(out, call.output(0));
  if (call.outputs.size() > 1) WriteDoubles(state, call.output(1));
}

void RegisterCausalConv(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "CausalConvWithState";
  op.since_version = 27;
  op.summary = "A depthwise convolution along a sequence that continues from the last call.";
  op.inputs = {Required("input"), Required("weight"), Optional("bias"), Optional("past_state")};
  op.outputs = {Required("output"), Optional("present_state")};
  op.attributes = {StringAttribute("activation", "none")};
  op.infer = [](InferContext& context) {
    RequireType(context, 0, Types::kFloat);
    const Type& x = context.input(0);
    const Type& w = context.input(1);
    if ((x.has_rank() && x.rank() != 3) || (w.has_rank() && w.rank() != 3) ||
        (w.has_rank() && w.dim(2).is_static() && w.dim(2).value() < 1)) {
      throw Error(ErrorCode::kInvalidInput, "input is " + x.ToString() + " and weight " +
                                                w.ToString() +
                                                ", expected [N, C, length] and "
                                                "[C, 1, kernel]");
    }
    if (x.has_rank() && w.has_rank()) Merge(x.dim(1), w.dim(0), "channels of input and weight");
    context.SetOutput(0, x);
    if (context.node().outputs().size() < 2) return;
    Dimension kept;
    if (w.has_rank() && w.dim(2).is_static()) kept = w.dim(2).value() - 1;
    context.SetOutput(1, Type::Tensor(x.dtype(), {x.has_rank() ? x.dim(0) : Dimension(),
                                                  x.has_rank() ? x.dim(1) : Dimension(), kept}));
  };
  op.reference = CausalConvReference;
  OpCase test = ExpectedOnly("past",
                             {Floats({1, 1, 3}, {1, 2, 3}), Floats({1, 1, 3}, {1, 10, 100}),
                              Floats({1}, {0.5}), Floats({1, 1, 2}, {4, 5})},
                             {154.5, 215.5, 321.5});
  test.outputs = 2;
  test.expected.push_back({2, 3});
  op.cases = {
      std::move(test),
      ExpectedOnly("start", {Floats({1, 1, 2}, {1, 2}), Floats({1, 1, 2}, {1, 10})}, {10, 21})};
  registry.Add(std::move(op));
}

// ---- ReverseSequence ----

void RegisterReverseSequence(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "ReverseSequence";
  op.since_version = 10;
  op.summary = "The first sequence_lens[b] steps of each sequence b the other way round.";
  op.inputs = {Required("input"), Required("sequence_lens", "I")};
  op.outputs = {Required("Y")};
  op.attributes = {IntAttribute("batch_axis", 1), IntAttribute("time_axis", 0)};
  op.infer = [](InferContext& context) { context.SetOutput(0, context.input(0)); };
  op.reference = [](const ir::ReferenceCall& call) {
    const TensorView& x = call.input(0);
    const auto batch_axis =
        static_cast<size_t>(NormalizeAxis(call.node.GetInt("batch_axis"), x.rank()));
    const auto time_axis =
        static_cast<size_t>(NormalizeAxis(call.node.GetInt("time_axis"), x.rank()));
    const std::vector<int64_t> lengths = ReadInts(call.input(1)), strides = Strides(x.dims);
    const size_t item = ItemSize(x.dtype);
    if (static_cast<int64_t>(lengths.size()) != x.dims[batch_axis]) {
      throw Error(ErrorCode::kInvalidInput, "sequence_lens must have one length a sequence");
    }
    for (int64_t i = 0; i < x.size(); ++i) {
      const int64_t b = i / strides[batch_axis] % x.dims[batch_axis];
      const int64_t t = i / strides[time_axis] % x.dims[time_axis];
      const int64_t length = std::min(lengths[static_cast<size_t>(b)], x.dims[time_axis]);
      const int64_t from = t < length ? i + (length - 1 - 2 * t) * strides[time_axis] : i;
      std::memcpy(static_cast<std::byte*>(call.output().data) + static_cast<size_t>(i) * item,
                  static_cast<const std::byte*>(x.data) + static_cast<size_t>(from) * item, item);
    }
  };
  // It is its own inverse and its own transpose.
  op.gradient = [](ir::GradientContext& context) {
    if (!context.wants(0)) return;
    context.SetInputGradient(
        0, context.builder().Op("ReverseSequence", {context.output_gradient(), context.input(1)},
                                context.node().attributes()));
  };
  const OpCase::Input x = Floats({3, 2}, {1, 2, 3, 4, 5, 6});
  op.cases = {
      ExpectedCase("time_first", {x, Integers({2}, {3, 2})}, {5, 4, 3, 2, 1, 6}),
      ExpectedCase("batch_first", {x, Integers({3}, {2, 1, 0})}, {2, 1, 3, 4, 5, 6},
                   {{"batch_axis", Attribute(int64_t{0})}, {"time_axis", Attribute(int64_t{1})}})};
  registry.Add(std::move(op));
}

// ---- Det ----

// By elimination with the largest pivot of each column; changes `m`.
double Determinant(std::vector<double>& m, size_t n) {
  double result = 1;
  for (size_t c = 0; c < n; ++c) {
    size_t pivot = c;
    for (size_t r = c; r < n; ++r) {
      if (std::fabs(m[r * n + c]) > std::fabs(m[pivot * n + c])) pivot = r;
    }
    if (m[pivot * n + c] == 0) return 0;
    if (pivot != c) {
      std::swap_ranges(m.begin() + static_cast<int64_t>(pivot * n),
                       m.begin() + static_cast<int64_t>((pivot + 1) * n),
                       m.begin() + static_cast<int64_t>(c * n));
      result = -result;
    }
    result *= m[c * n + c];
    for (size_t r = c + 1; r < n; ++r) {
      const double factor = m[r * n + c] / m[c * n + c];
      for (size_t k = c; k < n; ++k) m[r * n + k] -= factor * m[c * n + k];
    }
  }
  return result;
}

void RegisterDet(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "Det";
  op.since_version = 22;
  op.summary = "The determinant of each square matrix.";
  op.inputs = {Required("X")};
  op.outputs = {Required("Y")};
  op.infer = [](InferContext& context) {
    RequireType(context, 0, Types::kFloat);
    const Type& x = context.input(0);
    if (!x.has_rank()) {
      context.SetOutput(0, x);
      return;
    }
    if (x.rank() < 2) throw Error(ErrorCode::kInvalidInput, "X is " + x.ToString() + ", no matrix");
    Merge(x.dim(-1), x.dim(-2), "the extents of a square matrix");
    context.SetOutput(
        0, Type::Tensor(x.dtype(), ir::Dimensions(x.dims().begin(), x.dims().end() - 2)));
  };
  op.reference = [](const ir::ReferenceCall& call) {
    const auto n = static_cast<size_t>(call.input(0).dim(-1));
    const std::vector<double> x = ReadDoubles(call, 0);
    std::vector<double> out;
    for (int64_t i = 0; i < call.output().size(); ++i) {
      const auto first = x.begin() + i * static_cast<int64_t>(n * n);
      std::vector<double> matrix(first, first + static_cast<int64_t>(n * n));
      out.push_back(Determinant(matrix, n));
    }
    WriteDoubles(out, call.output());
  };
  op.cases = {ExpectedOnly("one", {Floats({2, 2}, {0, 2, 3, 4})}, {-6}),
              ExpectedOnly("stack", {Floats({2, 2, 2}, {1, 2, 2, 4, 2, 0, 0, 4})}, {0, 8})};
  registry.Add(std::move(op));
}

}  // namespace

void RegisterSequenceModels(ir::OpRegistry& registry) {
  RegisterLinearAttention(registry);
  RegisterCausalConv(registry);
  RegisterReverseSequence(registry);
  RegisterDet(registry);
}

}  // namespace ingot::ops
