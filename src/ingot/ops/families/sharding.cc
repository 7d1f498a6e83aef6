// Ops of the data-parallel step: what is computed for each shard of a batch, and how shards meet.
#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "ingot/ops/definition.h"
#include "ingot/ops/elementwise.h"
#include "ingot/ops/shape_rule.h"
#include "ingot/ops/shard_map.h"

namespace ingot::ops {

void RegisterSharding(ir::OpRegistry& registry);

namespace {

using ir::AttributeKind;
using ir::Dimension;
using ir::Dimensions;
using ir::InferContext;
using ir::OpDefinition;
using ir::Type;

int64_t PositiveAttribute(const ir::Node& node, const char* name) {
  const int64_t value = node.GetInt(name);
  if (value < 1) {
    Refuse("attribute '" + std::string(name) + "' is " + std::to_string(value) +
           ", expected at least 1");
  }
  return value;
}

// ---- ShardMap ----

// What the body's symbols stand for outside; a shard's number of rows is known to nobody there.
using Bindings = std::map<std::string, Dimension>;

// Slice s of [shards, ...].
Type SliceType(const Type& given, int64_t shards) {
  if (!given.is_tensor() || !given.has_rank()) return given;
  const bool fits =
      given.rank() > 0 && (!given.dim(0).is_static() || given.dim(0).value() == shards);
  if (!fits) {
    Refuse("a sliced input is " + given.ToString() + ", expected one value for each of " +
           std::to_string(shards) + " shards");
  }
  return given.WithDims(Dimensions(given.dims().begin() + 1, given.dims().end()));
}

// Checks that an input fits the body's and binds the symbols of the body's type. `first_axis` is 1
// for a sharded input, whose rows differ.
void BindInput(const ir::Value& wanted, const Type& given, int first_axis, Bindings& bindings) {
  const Type& type = wanted.type();
  bool fits = given.is_tensor() && given.dtype() == type.dtype();
  if (fits && given.has_rank() && type.has_rank()) {
    fits = given.rank() == type.rank() && given.rank() >= first_axis;
    for (int i = first_axis; fits && i < type.rank(); ++i) {
      const Dimension& inside = type.dim(i);
      const Dimension& outside = given.dim(i);
      if (inside.is_symbolic()) bindings.emplace(inside.symbol(), outside);
      fits = !inside.is_static() || !outside.is_static() || inside.value() == outside.value();
    }
  }
  if (!fits) {
    Refuse("input '" + wanted.name() + "' of the body is " + type.ToString() +
           ", but it is given " + given.ToString());
  }
}

Dimension Outside(const Dimension& dim, const Bindings& bindings) {
  if (!dim.is_symbolic()) return dim;
  const auto found = bindings.find(dim.symbol());
  return found == bindings.end() ? Dimension() : found->second;
}

Type OutputType(const Type& inside, int64_t kind, int64_t shards, const Dimension& batch,
                const Bindings& bindings) {
  if (!inside.has_rank()) return Type::TensorOfUnknownRank(inside.dtype());
  Dimensions dims;
  for (const Dimension& dim : inside.dims()) dims.push_back(Outside(dim, bindings));
  if (kind == kPartialOutput) {
    dims.insert(dims.begin(), Dimension(shards));
  } else if (dims.empty()) {
    Refuse("an output of rows is " + inside.ToString() + " in the body, expected a row axis");
  } else {
    dims[0] = batch;
  }
  return Type::Tensor(inside.dtype(), std::move(dims));
}

void CheckShardMap(const ir::Node& node, const ir::Graph& body) {
  const int64_t sharded = PositiveAttribute(node, "sharded");
  const int64_t sliced = node.GetInt("sliced");
  const std::vector<int64_t>& kinds = node.GetInts("output_kinds");
  if (body.inputs().size() != node.inputs().size()) {
    Refuse("the body takes " + std::to_string(body.inputs().size()) + " inputs, but the node has " +
           std::to_string(node.inputs().size()));
  }
  if (sliced < 0 || static_cast<size_t>(sharded + sliced) > node.inputs().size()) {
    Refuse(std::to_string(sharded) + " inputs are to be sharded and " + std::to_string(sliced) +
           " to be sliced, but there are " + std::to_string(node.inputs().size()));
  }
  if (kinds.size() != body.outputs().size() || kinds.size() != node.outputs().size()) {
    Refuse("output_kinds has " + std::to_string(kinds.size()) + " entries, the body " +
           std::to_string(body.outputs().size()) + " outputs and the node " +
           std::to_string(node.outputs().size()) + "; the numbers must be equal");
  }
  for (const int64_t kind : kinds) {
    if (kind != 0 && kind != 1) {
      Refuse("output_kinds holds " + std::to_string(kind) + ", expected 0 (partial) or 1 (rows)");
    }
  }
}

void InferShardMap(InferContext& context) {
  const ir::Node& node = context.node();
  const ir::Graph& body = *node.GetGraph("body");
  const int64_t shards = PositiveAttribute(node, "shards");
  CheckShardMap(node, body);
  const auto sharded = static_cast<size_t>(node.GetInt("sharded"));
  const size_t sliced_end = sharded + static_cast<size_t>(node.GetInt("sliced"));
  Dimension batch;
  Bindings bindings;
  for (size_t i = 0; i < node.inputs().size(); ++i) {
    const bool is_sliced = i >= sharded && i < sliced_end;
    const Type given = is_sliced ? SliceType(context.input(i), shards) : context.input(i);
    BindInput(*body.inputs()[i], given, i < sharded ? 1 : 0, bindings);
    if (i >= sharded || !given.has_rank()) continue;
    const Dimension& rows = given.dim(0);
    if (batch.is_static() && rows.is_static() && batch.value() != rows.value()) {
      Refuse("sharded inputs have " + batch.ToString() + " and " + rows.ToString() +
             " rows; all must have the same number");
    }
    if (!batch.is_static() && (rows.is_static() || rows.is_symbolic())) batch = rows;
  }
  bindings["batch"] = Dimension();
  const std::vector<int64_t>& kinds = node.GetInts("output_kinds");
  for (size_t i = 0; i < kinds.size(); ++i) {
    context.SetOutput(i, OutputType(body.outputs()[i]->type(), kinds[i], shards, batch, bindings));
  }
}

// Rows pass through, and their sum over a shard is a partial one.
std::shared_ptr<ir::Graph> ExampleBody(const ir::OpRegistry& registry) {
  auto body = std::make_shared<ir::Graph>("shard");
  const DType dtype = DType::kF64;
  ir::Value* x = body->AddInput("x", Type::Tensor(dtype, {Dimension("batch"), Dimension(2)}));
  ir::Value* key = body->AddInput("random_key", Type::Tensor(DType::kI64, {Dimension(3)}));
  ir::Builder builder(*body, registry);
  body->AddOutput(builder.Op("ingot.TreeReduce", {x}), "sum");
  body->AddOutput(x, "rows");
  body->AddOutput(key, "key");
  return body;
}

OpDefinition ShardMap(const ir::OpRegistry& registry) {
  OpDefinition op;
  op.name = "ShardMap";
  op.domain = "ingot";
  op.summary =
      "Runs a body for each shard of a batch: the first `sharded` inputs are cut along axis 0, the "
      "next `sliced` hold one value for each shard, the others are given whole.";
  op.inputs = {Variadic("inputs", "")};
  op.outputs = {Variadic("outputs", "")};
  op.attributes = {RequiredAttribute("body", AttributeKind::kGraph),
                   RequiredAttribute("shards", AttributeKind::kInt),
                   RequiredAttribute("sharded", AttributeKind::kInt), IntAttribute("sliced", 0),
                   RequiredAttribute("output_kinds", AttributeKind::kInts)};
  op.infer = InferShardMap;
  OpCase::Input rows = Integers({3, 2}, {1, 2, 4, 8, 16, 32});
  rows.value = rows.value->Cast(DType::kF64);
  op.cases = {OpCase{.name = "uneven",
                     .inputs = {rows, Integers({3}, {7, 5, 100})},
                     .attributes = {{"body", ExampleBody(registry)},
                                    {"shards", int64_t{2}},
                                    {"sharded", int64_t{1}},
                                    {"output_kinds", std::vector<int64_t>{0, 1, 0}}},
                     .expected = {{1, 2, 20, 40}, {1, 2, 4, 8, 16, 32}, {7, 5, 100, 7, 5, 101}},
                     .outputs = 3,
                     .gradient = false}};
  return op;
}

// ---- TreeReduce ----

void InferTreeReduce(InferContext& context) {
  RequireType(context, 0, Types::kFloat);
  const Type& x = context.input(0);
  if (!x.has_rank()) return context.SetOutput(0, x);
  if (x.rank() == 0) Refuse("input 0 (X) is " + x.ToString() + ", expected an axis to sum over");
  context.SetOutput(0, x.WithDims(Dimensions(x.dims().begin() + 1, x.dims().end())));
}

void TreeReduceReference(const ir::ReferenceCall& call) {
  const TensorView& x = call.input(0);
  DispatchFloat("ingot.TreeReduce", x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const auto parts = static_cast<size_t>(x.dim(0));
    const auto size = static_cast<size_t>(call.output().size());
    std::vector<double> sums(parts);
    for (size_t i = 0; i < size; ++i) {
      for (size_t s = 0; s < parts; ++s) sums[s] = x.as<T>()[s * size + i];
      for (size_t stride = 1; stride < parts; stride *= 2) {
        for (size_t s = 0; s + stride < parts; s += 2 * stride) sums[s] += sums[s + stride];
      }
      call.output().as<T>()[i] = static_cast<T>(parts == 0 ? 0.0 : sums[0]);
    }
  });
}

OpDefinition TreeReduce() {
  OpDefinition op;
  op.name = "TreeReduce";
  op.domain = "ingot";
  op.summary = "The sum over axis 0 by a fixed binary tree over its indices.";
  op.inputs = {Required("X")};
  op.outputs = {Required("Y")};
  op.infer = InferTreeReduce;
  op.reference = TreeReduceReference;
  op.cases = {
      OpCase{.name = "three",
             .inputs = {Floats({3, 2}, {1, 2, 4, 8, 16, 32})},
             .expected = {{21, 42}},
             .gradient = false},
      OpCase{.name = "one", .inputs = {Floats({1, 2}, {5, 6})}, .expected = {{5, 6}}},
      OpCase{.name = "none", .inputs = {Uniform({0, 2})}, .expected = {{0, 0}}, .gradient = false},
      // In f64: (2^53 + 1) + (1 + 1) by the tree, where index order would lose every 1.
      OpCase{.name = "tree_order",
             .inputs = {Floats({4}, {0x1p53, 1, 1, 1})},
             .expected = {{0x1p53 + 2}},
             .gradient = false},
      OpCase{.name = "many", .inputs = {Uniform({13, 5, 7})}, .gradient = false},
      OpCase{.name = "shards", .inputs = {Uniform({8, 784, 64})}, .gradient = false},
  };
  return op;
}

// ---- ShardSum ----

OpDefinition ShardSum() {
  OpDefinition op;
  op.name = "ShardSum";
  op.domain = "ingot";
  op.summary =
      "The sum of X over all shards of the batch, known to every shard; X itself where there is "
      "one. CutAtShardSums makes it a TreeReduce between two ShardMaps.";
  op.inputs = {Required("X")};
  op.outputs = {Required("Y")};
  op.infer = [](InferContext& context) {
    RequireType(context, 0, Types::kFloat);
    context.SetOutput(0, context.input(0));
  };
  // What a shard adds reaches every shard's loss.
  op.gradient = [](ir::GradientContext& context) {
    context.SetInputGradient(0,
                             context.builder().Op("ingot.ShardSum", {context.output_gradient(0)}));
  };
  op.reference = [](const ir::ReferenceCall& call) {
    const TensorView& x = call.input(0);
    const auto bytes = static_cast<size_t>(x.size()) * ItemSize(x.dtype);
    if (bytes > 0) std::memcpy(call.output().data, x.data, bytes);
  };
  op.never_merged = true;
  op.cases = {OpCase{.name = "one_shard", .inputs = {Floats({2}, {3, -4})}, .expected = {{3, -4}}}};
  return op;
}

// ---- ShardMatMul ----

void InferShardMatMul(InferContext& context) {
  RequireType(context, 1, Types::kFloat);
  if (context.input(0).dtype() != DType::kU8) RequireType(context, 0, Types::kFloat);
  const int64_t shards = PositiveAttribute(context.node(), "shards");
  const Type& x = context.input(0);
  const Type& d = context.input(1);
  const bool known = x.has_rank() && d.has_rank();
  const bool rows_differ = known && x.rank() == 2 && d.rank() == 2 && x.dim(0).is_static() &&
                           d.dim(0).is_static() && !x.dim(0).SurelyEquals(d.dim(0));
  if (rows_differ || (known && (x.rank() != 2 || d.rank() != 2))) {
    Refuse("inputs are " + x.ToString() + " and " + d.ToString() +
           ", expected [B, M] and [B, N] with the same B");
  }
  context.SetOutput(0, d.WithDims({Dimension(shards), x.has_rank() ? x.dim(1) : Dimension(),
                                   d.has_rank() ? d.dim(1) : Dimension()}));
}

void ShardMatMulReference(const ir::ReferenceCall& call) {
  const TensorView& x = call.input(0);
  const TensorView& d = call.input(1);
  const int64_t shards = call.node.GetInt("shards");
  const int64_t m = x.dim(1), n = d.dim(1);
  DispatchFloat("ingot.ShardMatMul", d.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const auto scale = static_cast<T>(call.node.GetFloat("x_scale"));
    const auto left_at = [&](int64_t at) {
      if (x.dtype != DType::kU8) return double{x.as<T>()[at]};
      // Rounded as the numbers that the shard itself multiplies are.
      return double{static_cast<T>(static_cast<T>(x.as<uint8_t>()[at]) * scale)};
    };
    std::vector<double> sums(static_cast<size_t>(m * n));
    for (int64_t s = 0; s < shards; ++s) {
      std::fill(sums.begin(), sums.end(), 0.0);
      const int64_t end = ShardBegin(s + 1, shards, x.dim(0));
      for (int64_t row = ShardBegin(s, shards, x.dim(0)); row < end; ++row) {
        for (int64_t i = 0; i < m; ++i) {
          const double left = left_at(row * m + i);
          double* sum = sums.data() + i * n;
          for (int64_t j = 0; j < n; ++j) sum[j] += left * double{d.as<T>()[row * n + j]};
        }
      }
      T* out = call.output().as<T>() + s * m * n;
      std::transform(sums.begin(), sums.end(), out, [](double v) { return static_cast<T>(v); });
    }
  });
}

OpDefinition ShardMatMul() {
  OpDefinition op;
  op.name = "ShardMatMul";
  op.domain = "ingot";
  op.summary =
      "X^T D of each shard of the rows: a weight gradient before it is summed over shards. Bytes X "
      "stand for x_scale times themselves.";
  op.inputs = {Required("X", "T1"), Required("D")};
  op.outputs = {Required("Y")};
  op.attributes = {RequiredAttribute("shards", AttributeKind::kInt), FloatAttribute("x_scale", 1)};
  op.infer = InferShardMatMul;
  op.reference = ShardMatMulReference;
  const auto shards = [](int64_t count) { return ir::Attributes{{"shards", count}}; };
  op.cases = {
      OpCase{.name = "two_of_three_rows",
             .inputs = {Floats({3, 2}, {1, 2, 3, 4, 5, 6}), Floats({3, 1}, {1, 10, 100})},
             .attributes = shards(2),
             .expected = {{1, 2, 530, 640}},
             .gradient = false},
      OpCase{.name = "more_shards_than_rows",
             .inputs = {Floats({1, 2}, {3, 4}), Floats({1, 1}, {2})},
             .attributes = shards(3),
             .expected = {{0, 0, 0, 0, 6, 8}},
             .gradient = false},
      OpCase{.name = "ragged",
             .inputs = {Uniform({29, 17}), Uniform({29, 13})},
             .attributes = shards(4),
             .gradient = false},
      OpCase{.name = "dense_layer",
             .inputs = {Uniform({128, 196}, 0, 1), Uniform({128, 64})},
             .attributes = shards(8),
             .gradient = false},
      OpCase{.name = "bytes",
             .inputs = {Bytes({3, 2}, {0, 2, 255, 4, 5, 6}), Floats({3, 1}, {1, 10, 100})},
             .attributes = {{"shards", int64_t{2}}, {"x_scale", 0.5}},
             .expected = {{0, 1, 1525, 320}},
             .gradient = false},
  };
  return op;
}

}  // namespace

void RegisterSharding(ir::OpRegistry& registry) {
  registry.Add(TreeReduce());  // the body of ShardMap's example uses it
  registry.Add(ShardMap(registry));
  registry.Add(ShardSum());
  registry.Add(ShardMatMul());
}

}  // namespace ingot::ops
