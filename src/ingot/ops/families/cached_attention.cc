// ingot.CachedAttention: ONNX's Attention with what serving a model needs: past keys and values,
// the number of keys that count, windows, and the scores as an output. Attention (without these) is
// what networks are trained with, and has kernels.
//
// Keys and values are past ones, then the given ones: T of them. With o the number of keys before
// the first query (the past's length; nonpad_kv_seqlen - queries where that is given; else 0),
// query i may look at key j where j < nonpad_kv_seqlen; j <= i + o where is_causal; and i + o -
// left_window_size <= j <= i + o + right_window_size, for sizes that are not -1. A mask that ends
// before T hides what is beyond. A query that may look at nothing gives 0.
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "ingot/base/error.h"
#include "ingot/ops/broadcast.h"
#include "ingot/ops/definition.h"
#include "ingot/ops/doubles.h"
#include "ingot/ops/elementwise.h"
#include "ingot/ops/shape_rule.h"

namespace ingot::ops {
namespace {

using ir::Attribute;
using ir::Attributes;
using ir::Dimension;
using ir::Dimensions;
using ir::InferContext;
using ir::Type;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

void Require(bool holds, const std::string& message) {
  if (!holds) throw Error(ErrorCode::kInvalidInput, message);
}

// A tensor as [batch, heads, length, size], whichever of the two layouts it has.
struct Heads {
  Heads(const ir::Node& node, const TensorView& view, const char* attribute)
      : values(ReadDoubles(view)) {
    batch = view.dim(0);
    if (view.rank() == 4) {
      heads = view.dim(1), length = view.dim(2), size = view.dim(3);
      head_stride = length * size, row_stride = size;
    } else {
      heads = node.GetInt(attribute, 0);
      Require(view.rank() == 3 && heads > 0 && view.dim(2) % heads == 0,
              "Q, K and V must be [batch, heads, length, size], or [batch, length, heads * size] "
              "with q_num_heads and kv_num_heads");
      length = view.dim(1), size = view.dim(2) / heads;
      head_stride = size, row_stride = heads * size;
    }
  }
  const double* Row(int64_t b, int64_t h, int64_t t) const {
    return values.data() + b * heads * length * size + h * head_stride + t * row_stride;
  }

  std::vector<double> values;
  int64_t batch = 0, heads = 0, length = 0, size = 0, head_stride = 0, row_stride = 0;
};

// Past rows, then new ones: [batch, heads, total, size].
struct Cache {
  Cache(const ir::ReferenceCall& call, size_t past, const Heads& fresh)
      : heads(fresh.heads), size(fresh.size) {
    std::vector<double> old;
    if (call.has_input(past)) {
      const TensorView& view = call.input(past);
      Require(view.rank() == 4 && view.dim(0) == fresh.batch && view.dim(1) == heads &&
                  view.dim(3) == size,
              "past_key and past_value must be [batch, heads, length, size] like K and V");
      past_length = view.dim(2);
      old = ReadDoubles(view);
    }
    total = past_length + fresh.length;
    for (int64_t line = 0; line < fresh.batch * heads; ++line) {
      const auto from = old.begin() + line * past_length * size;
      values.insert(values.end(), from, from + past_length * size);
      for (int64_t t = 0; t < fresh.length; ++t) {
        const double* row = fresh.Row(line / heads, line % heads, t);
        values.insert(values.end(), row, row + size);
      }
    }
  }
  const double* Row(int64_t b, int64_t h, int64_t t) const {
    return values.data() + ((b * heads + h) * total + t) * size;
  }

  std::vector<double> values;
  int64_t heads, size, past_length = 0, total = 0;
};

// The bias of each score: the mask, and -infinity where a query may not look.
class Bias {
 public:
  Bias(const ir::ReferenceCall& call, const Heads& q, const Cache& keys)
      : causal_(call.node.GetInt("is_causal") != 0),
        left_(call.node.GetInt("left_window_size")),
        right_(call.node.GetInt("right_window_size")),
        offset_(keys.past_length),
        queries_(q.length) {
    Require(left_ >= -1 && right_ >= -1, "window sizes must be -1 or more");
    if (call.has_input(6)) {
      Require(!call.has_input(4), "nonpad_kv_seqlen has no meaning beside past keys");
      counts_ = ReadInts(call.input(6));
      Require(static_cast<int64_t>(counts_.size()) == q.batch,
              "nonpad_kv_seqlen must have one number a sample");
    }
    if (!call.has_input(3)) return;
    const TensorView& mask = call.input(3);
    Require(mask.rank() > 0 && mask.dim(-1) <= keys.total, "the mask is longer than the keys");
    mask_length_ = mask.dim(-1);
    mask_.resize(static_cast<size_t>(mask.size()));
    ConvertElements(mask.data, mask.dtype, mask_.data(), DType::kF64, mask.size());
    if (mask.dtype == DType::kBool) {
      for (double& value : mask_) value = value != 0 ? 0 : -kInfinity;
    }
    const int64_t whole[] = {q.batch, q.heads, q.length, mask_length_};
    strides_ = BroadcastStrides(mask.dims, whole);
  }

  double At(int64_t b, int64_t h, int64_t i, int64_t j) const {
    const int64_t place =
        i + (counts_.empty() ? offset_ : counts_[static_cast<size_t>(b)] - queries_);
    if (!counts_.empty() && j >= counts_[static_cast<size_t>(b)]) return -kInfinity;
    if (causal_ && j > place) return -kInfinity;
    if (left_ >= 0 && place - j > left_) return -kInfinity;
    if (right_ >= 0 && j - place > right_) return -kInfinity;
    if (mask_.empty()) return 0;
    if (j >= mask_length_) return -kInfinity;
    return mask_[static_cast<size_t>(b * strides_[0] + h * strides_[1] + i * strides_[2] +
                                     j * strides_[3])];
  }

 private:
  bool causal_;
  int64_t left_, right_, offset_, queries_, mask_length_ = 0;
  std::vector<int64_t> counts_, strides_;
  std::vector<double> mask_;
};

// What the fourth output holds.
enum Shown { kRaw, kCapped, kBiased, kProbability };

void CachedAttentionReference(const ir::ReferenceCall& call) {
  const ir::Node& node = call.node;
  const Heads q(node, call.input(0), "q_num_heads"), k(node, call.input(1), "kv_num_heads"),
      v(node, call.input(2), "kv_num_heads");
  Require(call.has_input(4) == call.has_input(5), "past_key and past_value go together");
  Require(q.batch == k.batch && k.batch == v.batch && q.size == k.size && k.heads == v.heads &&
              k.length == v.length && k.heads > 0 && q.heads % k.heads == 0,
          "Q, K and V do not fit together");
  const Cache keys(call, 4, k), values(call, 5, v);
  const Bias bias(call, q, keys);
  const double scale = node.HasAttribute("scale") ? node.GetFloat("scale")
                                                  : 1 / std::sqrt(static_cast<double>(q.size));
  const double softcap = node.GetFloat("softcap");
  const int64_t mode = node.GetInt("qk_matmul_output_mode");
  const int64_t group = q.heads / k.heads, total = keys.total;
  const bool rows_first = call.input(0).rank() == 3;
  std::vector<double> y(static_cast<size_t>(call.output(0).size()), 0), shown;
  std::vector<double> score(static_cast<size_t>(total));
  for (int64_t b = 0; b < q.batch; ++b) {
    for (int64_t h = 0; h < q.heads; ++h) {
      for (int64_t i = 0; i < q.length; ++i) {
        const double* query = q.Row(b, h, i);
        double highest = -kInfinity, open = -kInfinity, sum = 0;
        for (int64_t j = 0; j < total; ++j) {
          const double* key = keys.Row(b, h / group, j);
          double dot = 0;
          for (int64_t d = 0; d < q.size; ++d) dot += query[d] * key[d];
          double value = dot * scale;
          if (mode == kRaw) shown.push_back(value);
          if (softcap > 0) value = softcap * std::tanh(value / softcap);
          if (mode == kCapped) shown.push_back(value);
          const double extra = bias.At(b, h, i, j);
          value += extra;
          if (mode == kBiased) shown.push_back(value);
          score[static_cast<size_t>(j)] = value;
          open = std::max(open, extra);
          highest = std::max(highest, value);
        }
        const bool hidden = open == -kInfinity;
        for (double& value : score) sum += value = hidden ? 0 : std::exp(value - highest);
        const int64_t row = rows_first ? ((b * q.length + i) * q.heads + h) * v.size
                                       : ((b * q.heads + h) * q.length + i) * v.size;
        for (int64_t j = 0; j < total; ++j) {
          const double p = hidden ? 0 : score[static_cast<size_t>(j)] / sum;
          if (mode == kProbability) shown.push_back(p);
          const double* value = values.Row(b, h / group, j);
          for (int64_t d = 0; p != 0 && d < v.size; ++d) {
            y[static_cast<size_t>(row + d)] += p * value[d];
          }
        }
      }
    }
  }
  WriteDoubles(y, call.output(0));
  if (call.outputs.size() > 1) WriteDoubles(keys.values, call.output(1));
  if (call.outputs.size() > 2) WriteDoubles(values.values, call.output(2));
  if (call.outputs.size() > 3) WriteDoubles(shown, call.output(3));
}

// [batch, heads, length, size] as far as it is known.
Dimensions HeadDimensions(const InferContext& context, size_t input, const char* attribute) {
  const Type& type = context.input(input);
  if (!type.has_rank()) return UnknownDimensions(4);
  if (type.rank() == 4) return type.dims();
  const int64_t heads = context.node().GetInt(attribute, 0);
  Require(type.rank() == 3 && heads > 0,
          "input " + std::to_string(input) + " is " + type.ToString() +
              ", expected rank 4, or rank 3 with q_num_heads and kv_num_heads");
  const Dimension& width = type.dim(2);
  return {type.dim(0), Dimension(heads), type.dim(1),
          width.is_static() ? Dimension(width.value() / heads) : Dimension()};
}

void Infer(InferContext& context) {
  RequireType(context, 0, Types::kFloat);
  const ir::Node& node = context.node();
  const DType dtype = context.input(0).dtype();
  const Dimensions q = HeadDimensions(context, 0, "q_num_heads");
  Dimensions k = HeadDimensions(context, 1, "kv_num_heads");
  Dimensions v = HeadDimensions(context, 2, "kv_num_heads");
  if (context.HasInput(4)) {
    const Type& past = context.input(4);
    const bool known =
        past.has_rank() && past.rank() == 4 && past.dim(2).is_static() && k[2].is_static();
    k[2] = known ? Dimension(past.dim(2).value() + k[2].value()) : Dimension();
    v[2] = k[2];
  }
  const bool rows_first = context.input(0).has_rank() && context.input(0).rank() == 3;
  const bool width = q[1].is_static() && v[3].is_static();
  context.SetOutput(
      0, Type::Tensor(dtype, rows_first ? Dimensions{q[0], q[2],
                                                     width ? Dimension(q[1].value() * v[3].value())
                                                           : Dimension()}
                                        : Dimensions{q[0], q[1], q[2], v[3]}));
  const size_t outputs = node.outputs().size();
  if (outputs > 1) context.SetOutput(1, Type::Tensor(context.input(1).dtype(), k));
  if (outputs > 2) context.SetOutput(2, Type::Tensor(context.input(2).dtype(), v));
  if (outputs > 3) context.SetOutput(3, Type::Tensor(dtype, {q[0], q[1], q[2], k[2]}));
}

std::vector<OpCase> Cases() {
  const auto make = [](const char* name, std::vector<OpCase::Input> inputs,
                       std::vector<std::vector<double>> expected, Attributes attributes = {}) {
    OpCase test;
    test.name = name;
    test.inputs = std::move(inputs);
    test.attributes = std::move(attributes);
    test.outputs = expected.size();
    test.expected = std::move(expected);
    test.gradient = false;
    return test;
  };
  // Queries of 0 look at all keys alike, so that results are means of values.
  const OpCase::Input q = Floats({1, 1, 2, 1}, {0, 0});
  const OpCase::Input k = Floats({1, 1, 2, 1}, {1, 2}), v = Floats({1, 1, 2, 1}, {4, 8});
  const OpCase::Input past = Floats({1, 1, 1, 1}, {3}), past_value = Floats({1, 1, 1, 1}, {0});
  const Attributes causal = {{"is_causal", Attribute(int64_t{1})}};
  Attributes probabilities = causal;
  probabilities["qk_matmul_output_mode"] = Attribute(int64_t{3});
  const Attributes window = {{"left_window_size", Attribute(int64_t{0})},
                             {"right_window_size", Attribute(int64_t{0})}};
  return {
      make("plain", {q, k, v}, {{6, 6}}),
      make("past", {q, k, v, Absent(), past, past_value}, {{2, 4}, {3, 1, 2}, {0, 4, 8}}, causal),
      make("counted", {q, k, v, Absent(), Absent(), Absent(), Integers({1}, {1})}, {{0, 4}},
           causal),
      make("window", {q, k, v}, {{4, 8}}, window),
      make("short_mask", {q, k, v, Integers({1}, {1}, DType::kBool)}, {{4, 4}}),
      make("probabilities", {q, k, v}, {{4, 6}, {1, 2}, {4, 8}, {1, 0, 0.5, 0.5}}, probabilities),
      make("scores", {Floats({1, 1, 1, 1}, {2}), k, v}, {{}, {}, {}, {2, 4}})};
}

}  // namespace

void RegisterCachedAttention(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "CachedAttention";
  op.domain = "ingot";
  op.summary = "Attention with past keys and values, windows, and its scores as an output.";
  op.inputs = {Required("Q"),
               Required("K"),
               Required("V"),
               Optional("attn_mask", "U"),
               Optional("past_key"),
               Optional("past_value"),
               Optional("nonpad_kv_seqlen", "I")};
  op.outputs = {Required("Y"), Optional("present_key"), Optional("present_value"),
                Optional("qk_matmul_output")};
  op.attributes = {IntAttribute("is_causal", 0),
                   OptionalAttribute("kv_num_heads", ir::AttributeKind::kInt),
                   IntAttribute("left_window_size", -1),
                   OptionalAttribute("q_num_heads", ir::AttributeKind::kInt),
                   IntAttribute("qk_matmul_output_mode", 0),
                   IntAttribute("right_window_size", -1),
                   OptionalAttribute("scale", ir::AttributeKind::kFloat),
                   FloatAttribute("softcap", 0),
                   OptionalAttribute("softmax_precision", ir::AttributeKind::kInt)};
  op.infer = Infer;
  op.reference = CachedAttentionReference;
  op.cases = Cases();
  registry.Add(std::move(op));
}

}  // namespace ingot::ops
