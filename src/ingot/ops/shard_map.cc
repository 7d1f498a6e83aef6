// Cutting inputs into shards and joining what the shards computed.
#include "ingot/ops/shard_map.h"

#include <algorithm>
#include <string>

#include "ingot/base/error.h"

namespace ingot::ops {

int64_t ShardBegin(int64_t shard, int64_t shards, int64_t batch) {
  return shard * batch / shards;
}

int64_t ShardedBatch(const ir::Node& node, std::span<const Tensor> inputs) {
  const auto sharded = static_cast<size_t>(node.GetInt("sharded"));
  for (size_t i = 0; i < sharded; ++i) {
    const Shape& shape = inputs[i].shape();
    if (shape.rank() > 0 && shape[0] == inputs[0].shape()[0]) continue;
    throw Error(ErrorCode::kInvalidInput,
                "sharded input " + std::to_string(i) + " is " + inputs[i].Describe() +
                    ", but input 0 is " + inputs[0].Describe() +
                    "; all sharded inputs must have the same number of rows");
  }
  return inputs[0].shape()[0];
}

namespace {

// Rows [begin, end) of `whole` without copying: a shared pointer to its first byte keeps all alive.
Tensor Rows(const Tensor& whole, int64_t begin, int64_t end) {
  std::vector<int64_t> dims = whole.shape().dims();
  const size_t row_bytes = dims[0] == 0 ? 0 : whole.bytes() / static_cast<size_t>(dims[0]);
  dims[0] = end - begin;
  auto owner = std::make_shared<Tensor>(whole);
  std::byte* first = owner->raw() + static_cast<size_t>(begin) * row_bytes;
  return Tensor(whole.dtype(), Shape(std::move(dims)), std::shared_ptr<std::byte>(owner, first));
}

// Slice `index` of [shards, ...], likewise.
Tensor Slice(const Tensor& stacked, int64_t index) {
  const Tensor row = Rows(stacked, index, index + 1);
  std::vector<int64_t> dims(row.shape().dims().begin() + 1, row.shape().dims().end());
  auto owner = std::make_shared<Tensor>(row);
  return Tensor(row.dtype(), Shape(std::move(dims)),
                std::shared_ptr<std::byte>(owner, owner->raw()));
}

Tensor Advanced(const Tensor& random_key, int64_t first_row) {
  Tensor key = random_key.Clone();
  if (key.dtype() != DType::kI64 || key.size() != 3) {
    throw Error(ErrorCode::kInvalidInput, "input 'random_key' is " + random_key.Describe() +
                                              ", expected i64[3]: seed, step, first sample");
  }
  key.data<int64_t>()[2] += first_row;
  return key;
}

}  // namespace

std::vector<Tensor> ShardInputs(const ir::Node& node, std::span<const Tensor> inputs,
                                int64_t shard) {
  const ir::Graph& body = *node.GetGraph("body");
  const int64_t shards = node.GetInt("shards");
  const auto sharded = static_cast<size_t>(node.GetInt("sharded"));
  const size_t sliced_end = sharded + static_cast<size_t>(node.GetInt("sliced"));
  const int64_t batch = ShardedBatch(node, inputs);
  const int64_t begin = ShardBegin(shard, shards, batch);
  const int64_t end = ShardBegin(shard + 1, shards, batch);
  std::vector<Tensor> result;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (i < sharded) {
      result.push_back(Rows(inputs[i], begin, end));
    } else if (i < sliced_end) {
      result.push_back(Slice(inputs[i], shard));
    } else if (body.inputs()[i]->name() == kRandomKeyInput) {
      result.push_back(Advanced(inputs[i], begin));
    } else {
      result.push_back(inputs[i]);
    }
  }
  return result;
}

namespace {

// The shards' outputs one after another: both kinds of output are the same bytes under another
// shape.
Tensor Concatenate(const std::vector<std::vector<Tensor>>& shard_outputs, size_t output,
                   ShardOutput kind) {
  const Tensor& first = shard_outputs[0][output];
  std::vector<int64_t> dims = first.shape().dims();
  if (kind == ShardOutput::kPartial) {
    dims.insert(dims.begin(), static_cast<int64_t>(shard_outputs.size()));
  } else {
    dims.at(0) = 0;
    for (const auto& outputs : shard_outputs) dims[0] += outputs[output].shape().dim(0);
  }
  Tensor joined(first.dtype(), Shape(std::move(dims)));
  size_t offset = 0;
  for (const auto& outputs : shard_outputs) {
    const Tensor& part = outputs[output];
    INGOT_ASSERT(offset + part.bytes() <= joined.bytes(), "a shard's output has another shape");
    std::copy_n(part.raw(), part.bytes(), joined.raw() + offset);
    offset += part.bytes();
  }
  return joined;
}

}  // namespace

std::vector<Tensor> JoinShards(const ir::Node& node,
                               const std::vector<std::vector<Tensor>>& shard_outputs) {
  const std::vector<int64_t>& kinds = node.GetInts("output_kinds");
  std::vector<Tensor> outputs;
  for (size_t i = 0; i < kinds.size(); ++i) {
    outputs.push_back(Concatenate(shard_outputs, i, static_cast<ShardOutput>(kinds[i])));
  }
  return outputs;
}

}  // namespace ingot::ops
