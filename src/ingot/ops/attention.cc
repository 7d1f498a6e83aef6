// Sizes and strides of attention.
#include "ingot/ops/attention.h"

#include <cmath>
#include <string>
#include <vector>

#include "ingot/base/error.h"
#include "ingot/ir/op.h"
#include "ingot/ops/broadcast.h"
#include "ingot/tensor/shape.h"

namespace ingot::ops {
namespace {

std::string Text(std::span<const int64_t> dims) {
  return Shape(std::vector<int64_t>(dims.begin(), dims.end())).ToString();
}

struct Heads {
  int64_t batch, heads, length, size;
  HeadStrides strides;
};

Heads HeadsOf(const ir::Node& node, std::span<const int64_t> dims, const char* what,
              const char* attribute) {
  if (dims.size() == 4) {
    return {dims[0],
            dims[1],
            dims[2],
            dims[3],
            {dims[1] * dims[2] * dims[3], dims[2] * dims[3], dims[3]}};
  }
  if (dims.size() != 3) {
    throw Error(ErrorCode::kInvalidInput,
                std::string(what) + " is " + Text(dims) +
                    ", expected [batch, heads, length, size] or [batch, length, heads * size]");
  }
  const int64_t heads = node.GetInt(attribute, 0);
  if (heads < 1 || dims[2] % heads != 0) {
    throw Error(ErrorCode::kInvalidInput,
                std::string(what) + " is " + Text(dims) + ", whose last axis cannot be cut into " +
                    std::to_string(heads) + " heads",
                std::string("give a divisor of it as attribute '") + attribute + "'");
  }
  const int64_t size = dims[2] / heads;
  return {dims[0], heads, dims[1], size, {dims[1] * dims[2], size, dims[2]}};
}

void Require(bool holds, const std::string& message) {
  if (!holds) throw Error(ErrorCode::kInvalidInput, message);
}

}  // namespace

AttentionSizes SizesOfAttention(const ir::Node& node, std::span<const int64_t> q,
                                std::span<const int64_t> k, std::span<const int64_t> v,
                                std::span<const int64_t> mask) {
  const Heads query = HeadsOf(node, q, "Q", "q_num_heads");
  const Heads key = HeadsOf(node, k, "K", "kv_num_heads");
  const Heads value = HeadsOf(node, v, "V", "kv_num_heads");
  const std::string shapes = "Q " + Text(q) + ", K " + Text(k) + ", V " + Text(v);
  Require(q.size() == k.size() && k.size() == v.size(), shapes + " differ in rank");
  Require(query.batch == key.batch && key.batch == value.batch, shapes + " differ in their batch");
  Require(query.size == key.size, shapes + ": the heads of Q and K differ in size, " +
                                      std::to_string(query.size) + " and " +
                                      std::to_string(key.size));
  Require(key.heads == value.heads && key.length == value.length,
          shapes + ": K and V differ in heads or length");
  Require(key.heads > 0 && query.heads % key.heads == 0,
          shapes + ": " + std::to_string(query.heads) + " query heads are no multiple of " +
              std::to_string(key.heads) + " key heads");
  AttentionSizes sizes;
  sizes.batch = query.batch;
  sizes.query_heads = query.heads;
  sizes.key_heads = key.heads;
  sizes.query_length = query.length;
  sizes.key_length = key.length;
  sizes.head_size = query.size;
  sizes.value_size = value.size;
  sizes.query = query.strides;
  sizes.key = key.strides;
  sizes.value = value.strides;
  const int64_t row = query.heads * value.size;
  sizes.output = q.size() == 4
                     ? HeadStrides{row * query.length, value.size * query.length, value.size}
                     : HeadStrides{row * query.length, value.size, row};
  sizes.scale = node.HasAttribute("scale") ? node.GetFloat("scale")
                                           : 1 / std::sqrt(static_cast<double>(query.size));
  sizes.softcap = node.GetFloat("softcap");
  Require(sizes.softcap >= 0, "attribute 'softcap' is negative");
  sizes.causal = node.GetInt("is_causal") != 0;
  const int64_t whole[] = {query.batch, query.heads, query.length, key.length};
  const std::vector<int64_t> strides = BroadcastStrides(mask, whole);
  std::copy(strides.begin(), strides.end(), sizes.mask_strides);
  return sizes;
}

}  // namespace ingot::ops
