// Plans of exchanges: see exchange_plan.h.
#include "ingot/dist/exchange_plan.h"

#include <utility>

#include "ingot/base/align.h"
#include "ingot/base/error.h"

namespace ingot::dist {
namespace {

template <typename T>
void AddAs(std::byte* sum, const std::byte* left, const std::byte* right, uint64_t bytes) {
  auto* out = reinterpret_cast<T*>(sum);
  const auto* x = reinterpret_cast<const T*>(left);
  const auto* y = reinterpret_cast<const T*>(right);
  const uint64_t count = bytes / sizeof(T);
  for (uint64_t i = 0; i < count; ++i) out[i] = x[i] + y[i];
}

}  // namespace

size_t ExchangePlan::AddSegment(std::string name, DType dtype, uint64_t value_bytes, Codec codec) {
  const bool plain = codec == Codec::kPlain;
  INGOT_ASSERT(plain ? bytes == plain_bytes : dtype == DType::kF32,
               "plain segments come first, and codecs are for f32");
  segments.push_back({std::move(name), dtype, bytes, value_bytes, codec});
  bytes += AlignUp(value_bytes);
  if (plain) plain_bytes = bytes;
  return segments.size() - 1;
}

uint64_t ExchangePlan::Place(uint64_t at, int rank) {
  reduced = at;
  partials = at + bytes;
  return partials + static_cast<uint64_t>(subtrees_of(rank)) * bytes;
}

ExchangePlan MakeExchangePlan(const std::vector<ShardRange>& ranges, int leaves) {
  ExchangePlan plan;
  for (const ShardRange& range : ranges) {
    plan.first_subtree.push_back(static_cast<int>(plan.subtrees.size()));
    for (const ShardRange& subtree : SubtreesOf(range, leaves)) plan.subtrees.push_back(subtree);
  }
  plan.first_subtree.push_back(static_cast<int>(plan.subtrees.size()));
  plan.additions = AdditionsAbove(plan.subtrees, leaves);
  plan.AddSegment("flags", DType::kF32, kFlagBytes);
  return plan;
}

void AddValues(DType dtype, std::byte* sum, const std::byte* left, const std::byte* right,
               uint64_t bytes) {
  if (dtype == DType::kF64) {
    AddAs<double>(sum, left, right, bytes);
  } else {
    AddAs<float>(sum, left, right, bytes);
  }
}

}  // namespace ingot::dist
