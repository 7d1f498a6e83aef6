// The kernels where shards meet, against the ops ingot.TreeReduce and ingot.ShardMatMul.
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "backends/cpu/buffer_test_util.h"
#include "backends/cpu/kernel_table.h"
#include "ingot/base/error.h"
#include "ingot/ir/builder.h"
#include "ingot/ops/interpreter.h"
#include "ingot/ops/op_case_runner.h"
#include "ingot/ops/shard_map.h"
#include "ingot/ops/standard_ops.h"
#include "ingot/tensor/philox.h"

namespace ingot::cpu {
namespace {

const ir::OpRegistry& Ops() {
  static const ir::OpRegistry registry = ops::StandardOps();
  return registry;
}

Tensor Random(DType dtype, const Shape& shape, const std::string& name) {
  Tensor tensor(DType::kF64, shape);
  const RandomKey key(1, name);
  std::span<double> values = tensor.data<double>();
  for (size_t i = 0; i < values.size(); ++i) values[i] = 2 * key.Uniform(i) - 1;
  return tensor.Cast(dtype);
}

// What the ops make of x [B, M] and d [B, N], or of stacked partials [S, ...].
Tensor ByReference(const std::vector<Tensor>& inputs, int64_t shards) {
  ir::Graph graph;
  ir::Builder builder(graph, Ops());
  std::vector<ir::Value*> values;
  for (size_t i = 0; i < inputs.size(); ++i) {
    values.push_back(graph.AddInput("input" + std::to_string(i),
                                    ir::Type::Tensor(inputs[i].dtype(), inputs[i].shape())));
  }
  ir::Value* stacked = values[0];
  if (values.size() == 2) stacked = builder.Op("ingot.ShardMatMul", values, {{"shards", shards}});
  graph.AddOutput(builder.Op("ingot.TreeReduce", {stacked}), "sum");
  return ops::InterpretInOrder(graph, inputs)[0];
}

class ShardReduce : public testing::TestWithParam<std::string> {
 protected:
  // The result in tiles of `tile` rows; inputs[i] holds all shards' rows one after the other.
  static Tensor Run(const ReduceRequest& request, const std::vector<Tensor>& inputs, int64_t batch,
                    int64_t tile) {
    const auto kernel = MakeReduceKernel(request);
    std::vector<std::unique_ptr<ExactCopy>> memory;
    std::vector<std::vector<runtime::ShardValue>> lists;
    for (const Tensor& input : inputs) {
      lists.emplace_back();
      const size_t row = input.bytes() / static_cast<size_t>(batch);
      for (int64_t s = 0; s < request.shards; ++s) {
        const int64_t begin = ops::ShardBegin(s, request.shards, batch);
        const int64_t rows = ops::ShardBegin(s + 1, request.shards, batch) - begin;
        memory.push_back(std::make_unique<ExactCopy>(input.raw() + static_cast<size_t>(begin) * row,
                                                     static_cast<size_t>(rows) * row));
        lists.back().push_back({static_cast<const std::byte*>(memory.back()->raw()), rows});
      }
    }
    const std::vector<std::span<const runtime::ShardValue>> spans(lists.begin(), lists.end());
    Tensor result(request.dtype, Shape{request.rows, request.row_elements});
    const size_t row = static_cast<size_t>(request.row_elements) * ItemSize(request.dtype);
    GuardedBuffer scratch(kernel->scratch_bytes());
    for (int64_t begin = 0; begin < request.rows; begin += tile) {
      const int64_t end = std::min(begin + tile, request.rows);
      GuardedBuffer out(static_cast<size_t>(end - begin) * row);
      kernel->Run(spans, begin, end, out.data(), scratch.data());
      EXPECT_TRUE(out.Intact()) << kernel->name() << " writes beyond its tile";
      EXPECT_TRUE(scratch.Intact()) << kernel->name() << " writes beyond its scratch";
      std::memcpy(result.raw() + static_cast<size_t>(begin) * row, out.raw(),
                  static_cast<size_t>(end - begin) * row);
    }
    return result;
  }

  // The whole, and tile by tile the same bits.
  static void Check(const ReduceRequest& request, const std::vector<Tensor>& inputs,
                    int64_t batch) {
    const Tensor expected = ByReference(inputs, request.shards);
    const Tensor whole = Run(request, inputs, batch, request.rows);
    const double relative = request.dtype == DType::kF64 ? 1e-13 : 1e-5;
    EXPECT_EQ(ops::Compare(whole.Reshape(expected.shape()), expected, relative), "")
        << request.shards << " shards of " << request.rows << " x " << request.row_elements;
    for (const int64_t tile : {1, 5}) {
      const Tensor tiled = Run(request, inputs, batch, tile);
      EXPECT_EQ(std::memcmp(tiled.raw(), whole.raw(), whole.bytes()), 0)
          << request.shards << " shards in tiles of " << tile;
    }
  }
};

INSTANTIATE_TEST_SUITE_P(EverySet, ShardReduce, testing::ValuesIn(InstructionSets()),
                         [](const auto& info) { return info.param; });

TEST_P(ShardReduce, SumsPartialsByTheTree) {
  const InstructionSetScope scope(GetParam());
  for (const DType dtype : {DType::kF32, DType::kF64}) {
    for (int64_t shards = 1; shards <= 9; ++shards) {
      for (const int64_t rows : {1, 3, 17, 64}) {
        ReduceRequest request;
        request.dtype = dtype;
        request.rows = rows;
        request.shards = shards;
        // One row for each shard: that is how partials are stacked.
        Check(request, {Random(dtype, Shape{shards, rows}, "partials")}, shards);
      }
    }
  }
}

TEST_P(ShardReduce, SumsProductsByTheTree) {
  const InstructionSetScope scope(GetParam());
  for (const DType dtype : {DType::kF32, DType::kF64}) {
    for (int64_t shards = 1; shards <= 9; ++shards) {
      for (const int64_t batch : {9, 13, 40}) {
        for (const int64_t columns : {1, 10, 33}) {
          ReduceRequest request;
          request.dtype = dtype;
          request.product = true;
          request.rows = 11;
          request.row_elements = columns;
          request.shards = shards;
          request.largest_rows = (batch + shards - 1) / shards;
          Check(request,
                {Random(dtype, Shape{batch, 11}, "x"), Random(dtype, Shape{batch, columns}, "d")},
                batch);
        }
      }
    }
  }
}

TEST(ShardReduceTest, OtherTypesAreAnError) {
  ReduceRequest request;
  request.dtype = DType::kBf16;
  try {
    MakeReduceKernel(request);
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
    EXPECT_NE(error.message().find("reduction over shards"), std::string::npos) << error.message();
    EXPECT_NE(error.message().find("bf16"), std::string::npos) << error.message();
  }
}

}  // namespace
}  // namespace ingot::cpu
