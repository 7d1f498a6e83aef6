// The meeting of shards: sums of partials and of weight-gradient products by the fixed tree, for
// f32 on the vector kernels and for f64 in plain loops.
#include <algorithm>
#include <vector>

#include "backends/cpu/blocked_shard_matmul.h"
#include "backends/cpu/kernel_table.h"
#include "backends/cpu/matmul.h"
#include "ingot/base/align.h"
#include "ingot/base/error.h"
#include "ingot/tensor/tensor.h"

namespace ingot::cpu {
namespace {

class PartialSum : public runtime::ReduceKernel {
 public:
  explicit PartialSum(const ReduceRequest& request) : request_(request) {}

  void Run(std::span<const std::span<const runtime::ShardValue>> inputs, int64_t begin, int64_t end,
           std::byte* out, std::byte* scratch) const override {
    auto** parts = reinterpret_cast<const float**>(scratch);
    const std::span<const runtime::ShardValue> shards = inputs[0];
    for (size_t s = 0; s < shards.size(); ++s) {
      parts[s] = reinterpret_cast<const float*>(shards[s].data) + begin * request_.row_elements;
    }
    TreeSum({parts, shards.size()}, static_cast<size_t>((end - begin) * request_.row_elements),
            reinterpret_cast<float*>(out));
  }
  size_t scratch_bytes() const override {
    return static_cast<size_t>(request_.shards) * sizeof(float*);
  }
  std::string name() const override { return "tree_sum_f32"; }

 private:
  ReduceRequest request_;
};

class ProductSum : public runtime::ReduceKernel {
 public:
  explicit ProductSum(const ReduceRequest& request) : request_(request) {}

  // inputs: x [rows of the shard, M] and d [rows of the shard, N]; M = rows, N = row_elements.
  void Run(std::span<const std::span<const runtime::ShardValue>> inputs, int64_t begin, int64_t end,
           std::byte* out, std::byte* scratch) const override {
    auto* products = reinterpret_cast<ShardProduct*>(scratch);
    const size_t shards = inputs[0].size();
    for (size_t s = 0; s < shards; ++s) {
      products[s] = {
          reinterpret_cast<const float*>(inputs[0][s].data), static_cast<size_t>(request_.rows),
          reinterpret_cast<const float*>(inputs[1][s].data),
          static_cast<size_t>(request_.row_elements), static_cast<size_t>(inputs[0][s].rows)};
      if (request_.bytes) products[s].bytes = reinterpret_cast<const uint8_t*>(inputs[0][s].data);
    }
    scratch += TableBytes();
    const auto n = static_cast<size_t>(request_.row_elements);
    auto* result = reinterpret_cast<float*>(out);
    for (auto row = static_cast<size_t>(begin); row < static_cast<size_t>(end);) {
      const size_t next = std::min(row + rows_at_once(), static_cast<size_t>(end));
      if (request_.bytes && IsBlocked()) {
        Widen(inputs[0], row, next, products, reinterpret_cast<float*>(scratch));
        Multiply({products, shards}, 0, next - row, n, result, scratch + WidenedBytes());
      } else {
        Multiply({products, shards}, row, next, n, result, scratch);
      }
      result += (next - row) * n;
      row = next;
    }
  }
  size_t scratch_bytes() const override {
    return TableBytes() + WidenedBytes() + sizeof(float) * ProductFloats();
  }
  std::string name() const override {
    return std::string(IsBlocked() ? "blocked_shard_matmul_" : "shard_matmul_") +
           (request_.bytes ? "u8" : "f32");
  }

 private:
  static constexpr size_t kRowsAtOnce = 96;

  bool IsBlocked() const {
    return IsBlockedShardProduct(static_cast<size_t>(request_.row_elements),
                                 static_cast<size_t>(request_.largest_rows));
  }
  size_t rows_at_once() const {
    return IsBlocked() ? kRowsAtOnce : static_cast<size_t>(request_.rows);
  }
  size_t TableBytes() const {
    return AlignUp(static_cast<size_t>(request_.shards) * sizeof(ShardProduct));
  }
  size_t WidenedBytes() const {
    return request_.bytes && IsBlocked()
               ? AlignUp(sizeof(float) * kRowsAtOnce *
                         static_cast<size_t>(request_.shards * request_.largest_rows))
               : 0;
  }
  size_t ProductFloats() const {
    const auto shards = static_cast<size_t>(request_.shards);
    const auto largest_rows = static_cast<size_t>(request_.largest_rows);
    return IsBlocked() ? BlockedShardMatMulScratchFloats(shards, largest_rows, kRowsAtOnce)
                       : ShardMatMulScratchFloats(shards, largest_rows,
                                                  static_cast<size_t>(request_.row_elements),
                                                  request_.bytes);
  }

  void Multiply(std::span<const ShardProduct> products, size_t begin, size_t end, size_t n,
                float* out, std::byte* scratch) const {
    auto* floats = reinterpret_cast<float*>(scratch);
    if (IsBlocked()) {
      BlockedShardMatMulTile(products, begin, end, n, out, floats);
    } else {
      ShardMatMulTile(products, begin, end, n, out, floats, request_.byte_scale);
    }
  }

  // Columns [begin, end) of x as the numbers that the bytes stand for, dense, shard after shard.
  void Widen(std::span<const runtime::ShardValue> x, size_t begin, size_t end,
             ShardProduct* products, float* out) const {
    for (size_t s = 0; s < x.size(); ++s) {
      const auto rows = static_cast<size_t>(x[s].rows);
      WidenBytes(reinterpret_cast<const uint8_t*>(x[s].data) + begin,
                 static_cast<size_t>(request_.rows), rows, end - begin, request_.byte_scale, out);
      products[s].x = out;
      products[s].x_stride = end - begin;
      out += rows * (end - begin);
    }
  }

  ReduceRequest request_;
};

// Any float type that is computed in double: the precision that tests and comparisons use.
class PlainReduce : public runtime::ReduceKernel {
 public:
  explicit PlainReduce(const ReduceRequest& request) : request_(request) {}

  void Run(std::span<const std::span<const runtime::ShardValue>> inputs, int64_t begin, int64_t end,
           std::byte* out, std::byte* scratch) const override {
    auto* partial = reinterpret_cast<double*>(scratch);
    auto* result = reinterpret_cast<double*>(out);
    const size_t shards = inputs[0].size();
    for (int64_t row = begin; row < end; ++row) {
      for (int64_t column = 0; column < request_.row_elements; ++column) {
        for (size_t s = 0; s < shards; ++s) partial[s] = Partial(inputs, s, row, column);
        for (size_t stride = 1; stride < shards; stride *= 2) {
          for (size_t i = 0; i + stride < shards; i += 2 * stride)
            partial[i] += partial[i + stride];
        }
        *result++ = partial[0];
      }
    }
  }
  size_t scratch_bytes() const override {
    return static_cast<size_t>(request_.shards) * sizeof(double);
  }
  std::string name() const override {
    return request_.product ? "shard_matmul_f64" : "tree_sum_f64";
  }

 private:
  double Partial(std::span<const std::span<const runtime::ShardValue>> inputs, size_t shard,
                 int64_t row, int64_t column) const {
    const auto* x = reinterpret_cast<const double*>(inputs[0][shard].data);
    if (!request_.product) return x[row * request_.row_elements + column];
    const auto* d = reinterpret_cast<const double*>(inputs[1][shard].data);
    double sum = 0;
    for (int64_t r = 0; r < inputs[0][shard].rows; ++r) {
      sum += x[r * request_.rows + row] * d[r * request_.row_elements + column];
    }
    return sum;
  }
  ReduceRequest request_;
};

}  // namespace

int64_t RowsAtOnce(const ReduceRequest& request) {
  constexpr int64_t kMostBytes = 256 << 10;
  constexpr int64_t kUnit = 48;  // whole register tiles of six rows, whole cache lines of x
  if (!request.product || request.dtype != DType::kF32 ||
      !IsBlockedShardProduct(static_cast<size_t>(request.row_elements),
                             static_cast<size_t>(request.largest_rows))) {
    return 0;
  }
  const auto row_bytes = request.row_elements * static_cast<int64_t>(sizeof(float));
  return kMostBytes / row_bytes >= kUnit ? kUnit : 0;
}

std::shared_ptr<const runtime::ReduceKernel> MakeReduceKernel(const ReduceRequest& request) {
  INGOT_ASSERT(!request.bytes || (request.product && request.dtype == DType::kF32),
               "bytes are the left factor of an f32 product");
  if (request.dtype == DType::kF64) return std::make_shared<PlainReduce>(request);
  if (request.dtype != DType::kF32) ThrowUnsupportedDType("reduction over shards", request.dtype);
  if (request.product) return std::make_shared<ProductSum>(request);
  return std::make_shared<PartialSum>(request);
}

}  // namespace ingot::cpu
