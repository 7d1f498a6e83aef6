// RotaryEmbedding: pairs of numbers of each head are turned by angles that grow with the position
// (Su et al., RoFormer, arXiv 2104.09864). Its gradient is the turn back: the same op with -sin.
//
// X is [B, heads, T, size] or [B, T, heads * size] with num_heads. The caches are [positions, R/2]
// with position_ids [B, T], or [B, T, R/2], or (beyond ONNX) [T, R/2] for positions 0 to T - 1.
#include <cmath>
#include <string>
#include <vector>

#include "ingot/base/error.h"
#include "ingot/ops/definition.h"
#include "ingot/ops/elementwise.h"
#include "ingot/ops/shape_rule.h"

namespace ingot::ops {

void RegisterRotaryEmbedding(ir::OpRegistry& registry);

namespace {

using ir::GradientContext;
using ir::InferContext;
using ir::Type;

struct Sizes {
  int64_t batch, heads, length, size, rotated;
  int64_t batch_stride, head_stride, row_stride;
};

Sizes SizesOf(const ir::Node& node, std::span<const int64_t> x, std::span<const int64_t> cache) {
  Sizes s{};
  if (x.size() == 4) {
    s = {x[0], x[1], x[2], x[3], 0, x[1] * x[2] * x[3], x[2] * x[3], x[3]};
  } else {
    const int64_t heads = node.GetInt("num_heads");
    if (heads < 1 || x[2] % heads != 0) {
      throw Error(ErrorCode::kInvalidInput,
                  "the last axis of X, " + std::to_string(x[2]) + ", cannot be cut into " +
                      std::to_string(heads) + " heads",
                  "set the attribute 'num_heads' to a divisor of it");
    }
    s = {x[0], heads, x[1], x[2] / heads, 0, x[1] * x[2], x[2] / heads, x[2]};
  }
  const int64_t given = node.GetInt("rotary_embedding_dim");
  s.rotated = given == 0 ? s.size : given;
  if (s.rotated < 0 || s.rotated > s.size || s.rotated % 2 != 0 || cache.back() != s.rotated / 2) {
    throw Error(ErrorCode::kInvalidInput,
                "the caches hold " + std::to_string(cache.back()) + " angles a position, but " +
                    std::to_string(s.rotated) + " of " + std::to_string(s.size) +
                    " numbers a head are turned",
                "expected half as many angles as numbers");
  }
  return s;
}

// The row of the caches for sample b at place t.
int64_t CacheRow(const ir::ReferenceCall& call, const Sizes& s, const std::vector<int64_t>& ids,
                 int64_t b, int64_t t) {
  const TensorView& cache = call.input(1);
  if (call.has_input(3)) {
    const int64_t position = ids[static_cast<size_t>(b * s.length + t)];
    if (position >= 0 && position < cache.dim(0)) return position;
    throw Error(ErrorCode::kInvalidInput, "position " + std::to_string(position) +
                                              " is outside of caches of " +
                                              std::to_string(cache.dim(0)) + " positions");
  }
  return cache.rank() == 3 ? b * s.length + t : t;
}

void Reference(const ir::ReferenceCall& call) {
  const TensorView& x = call.input(0);
  const Sizes s = SizesOf(call.node, x.dims, call.input(1).dims);
  const bool interleaved = call.node.GetInt("interleaved") != 0;
  const std::vector<int64_t> ids = ReadInts(call, 3);
  const int64_t half = s.rotated / 2;
  DispatchFloat("RotaryEmbedding", x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (int64_t b = 0; b < s.batch; ++b) {
      for (int64_t t = 0; t < s.length; ++t) {
        const int64_t row = CacheRow(call, s, ids, b, t);
        const T* cos = call.input(1).as<T>() + row * half;
        const T* sin = call.input(2).as<T>() + row * half;
        for (int64_t h = 0; h < s.heads; ++h) {
          const int64_t at = b * s.batch_stride + h * s.head_stride + t * s.row_stride;
          const T* from = x.as<T>() + at;
          T* to = call.output().as<T>() + at;
          for (int64_t j = 0; j < half; ++j) {
            const int64_t first = interleaved ? 2 * j : j;
            const int64_t second = interleaved ? 2 * j + 1 : half + j;
            const auto u = static_cast<double>(from[first]), v = static_cast<double>(from[second]);
            const auto c = static_cast<double>(cos[j]), n = static_cast<double>(sin[j]);
            to[first] = static_cast<T>(c * u - n * v);
            to[second] = static_cast<T>(n * u + c * v);
          }
          for (int64_t j = s.rotated; j < s.size; ++j) to[j] = from[j];
        }
      }
    }
  });
}

void Infer(InferContext& context) {
  RequireType(context, 0, Types::kFloat);
  const Type& x = context.input(0);
  const Type& cos = context.input(1);
  if (x.has_rank() && x.rank() != 3 && x.rank() != 4) {
    throw Error(ErrorCode::kInvalidInput, "X is " + x.ToString() + ", expected rank 3 or 4");
  }
  if (cos.has_rank() && cos.rank() != 2 && cos.rank() != 3) {
    throw Error(ErrorCode::kInvalidInput,
                "cos_cache is " + cos.ToString() + ", expected rank 2 or 3");
  }
  if (x.is_static() && cos.is_static()) {
    const Sizes s = SizesOf(context.node(), x.shape().dims(), cos.shape().dims());
    const Shape cache = cos.shape();
    const bool has_ids = context.HasInput(3);
    const bool fits = has_ids             ? cache.rank() == 2
                      : cache.rank() == 3 ? cache[0] == s.batch && cache[1] == s.length
                                          : cache[0] >= s.length;
    if (!fits) {
      throw Error(ErrorCode::kInvalidInput,
                  "cos_cache is " + cos.ToString() + " for " + std::to_string(s.batch) +
                      " samples of " + std::to_string(s.length) + " positions",
                  "make the cache as long as the sequence");
    }
  }
  context.SetOutput(0, x);
}

}  // namespace

void RegisterRotaryEmbedding(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "RotaryEmbedding";
  op.since_version = 23;
  op.summary = "Pairs of the numbers of each head, turned by the angles of their position.";
  op.inputs = {Required("X"), Required("cos_cache"), Required("sin_cache"),
               Optional("position_ids", "M")};
  op.outputs = {Required("Y")};
  op.attributes = {IntAttribute("interleaved", 0), IntAttribute("num_heads", 0),
                   IntAttribute("rotary_embedding_dim", 0)};
  op.infer = Infer;
  op.reference = Reference;
  op.gradient = [](GradientContext& context) {
    if (context.wants(1) || context.wants(2)) {
      throw Error(ErrorCode::kUnsupported,
                  context.node().Describe() + ": the gradient for its caches is not defined");
    }
    if (!context.wants(0)) return;
    ir::Builder& b = context.builder();
    std::vector<ir::Value*> inputs = {context.output_gradient(), context.input(1),
                                      b.Neg(context.input(2))};
    if (context.input(3) != nullptr) inputs.push_back(context.input(3));
    context.SetInputGradient(
        0, b.Op("RotaryEmbedding", std::move(inputs), context.node().attributes()));
  };
  const auto angles = [](Shape shape) {
    OpCase::Input input = Uniform(std::move(shape));
    input.differentiable = false;
    return input;
  };
  const auto fixed = [](Shape shape, const std::vector<double>& values) {
    OpCase::Input input = Floats(std::move(shape), values);
    input.differentiable = false;
    return input;
  };
  // (cos, sin) of a 3-4-5 triangle times 8, which bf16 holds: turned and stretched.
  const OpCase::Input x = Floats({1, 1, 1, 4}, {1, 2, 3, 4});
  op.cases = {
      ExpectedCase("halves_by_hand", {x, fixed({1, 1, 2}, {3, 0}), fixed({1, 1, 2}, {4, 1})},
                   {3 - 12, -4, 4 + 9, 2}),
      ExpectedCase("interleaved_by_hand", {x, fixed({1, 1, 2}, {3, 0}), fixed({1, 1, 2}, {4, 1})},
                   {3 - 8, 4 + 6, -4, 3}, {{"interleaved", int64_t{1}}}),
      ExpectedCase("part_by_hand", {x, fixed({1, 1}, {3}), fixed({1, 1}, {4})},
                   {3 - 8, 4 + 6, 3, 4}, {{"rotary_embedding_dim", int64_t{2}}}),
      ExpectedCase("positions_by_hand",
                   {Floats({1, 2, 2}, {1, 2, 1, 2}), fixed({3, 1}, {1, 0, 3}),
                    fixed({3, 1}, {0, 1, 4}), Integers({1, 2}, {2, 0})},
                   {3 - 8, 4 + 6, 1, 2}, {{"num_heads", int64_t{1}}}),
      OpCase{.name = "heads",
             .inputs = {Uniform({2, 3, 4, 6}), angles({2, 4, 3}), angles({2, 4, 3})}},
      OpCase{.name = "rows",
             .inputs = {Uniform({2, 5, 12}), angles({5, 2}), angles({5, 2})},
             .attributes = {{"num_heads", int64_t{3}}, {"interleaved", int64_t{1}}}}};
  registry.Add(std::move(op));
}

}  // namespace ingot::ops
