// Strides of broadcast operands, and strided copies of elements of any size.
#include "ingot/ops/broadcast.h"

#include <cstring>
#include <string>
#include <type_traits>

#include "ingot/base/error.h"
#include "ingot/tensor/shape.h"

namespace ingot::ops {

std::vector<int64_t> BroadcastStrides(std::span<const int64_t> from, std::span<const int64_t> to) {
  const auto fail = [&] {
    throw Error(ErrorCode::kInvalidInput, "shape " + Shape(from).ToString() +
                                              " cannot be broadcast to " + Shape(to).ToString());
  };
  if (from.size() > to.size()) fail();
  const std::vector<int64_t> own = Strides(from);
  std::vector<int64_t> strides(to.size(), 0);
  const size_t skip = to.size() - from.size();
  for (size_t i = 0; i < from.size(); ++i) {
    if (from[i] == to[skip + i]) {
      strides[skip + i] = own[i];
    } else if (from[i] != 1) {
      fail();
    }
  }
  return strides;
}

namespace {

// Calls f with the item size as a constant, so that memcpy becomes one move.
template <typename F>
void WithItemSize(size_t item_size, F&& f) {
  switch (item_size) {
    case 1:
      return f(std::integral_constant<size_t, 1>{});
    case 2:
      return f(std::integral_constant<size_t, 2>{});
    case 4:
      return f(std::integral_constant<size_t, 4>{});
    case 8:
      return f(std::integral_constant<size_t, 8>{});
    case 16:
      return f(std::integral_constant<size_t, 16>{});
    default:
      throw Error(ErrorCode::kUnsupported,
                  "cannot copy elements of " + std::to_string(item_size) + " bytes one by one");
  }
}

}  // namespace

int64_t Product(std::span<const int64_t> dims) {
  int64_t product = 1;
  for (const int64_t dim : dims) product *= dim;
  return product;
}

void GatherStrided(const void* from, int64_t start, const std::vector<int64_t>& strides,
                   std::span<const int64_t> dims, void* to, size_t item_size) {
  WithItemSize(item_size, [&](auto size) {
    const auto* source = static_cast<const std::byte*>(from);
    auto* target = static_cast<std::byte*>(to);
    StridedIndex<1> index(dims, {strides}, {start});
    const int64_t count = Product(dims);
    for (int64_t i = 0; i < count; ++i, index.Next()) {
      std::memcpy(target + static_cast<size_t>(i) * size,
                  source + static_cast<size_t>(index[0]) * size, size);
    }
  });
}

void ScatterStrided(const void* from, std::span<const int64_t> dims, void* to, int64_t start,
                    const std::vector<int64_t>& strides, size_t item_size) {
  WithItemSize(item_size, [&](auto size) {
    const auto* source = static_cast<const std::byte*>(from);
    auto* target = static_cast<std::byte*>(to);
    StridedIndex<1> index(dims, {strides}, {start});
    const int64_t count = Product(dims);
    for (int64_t i = 0; i < count; ++i, index.Next()) {
      std::memcpy(target + static_cast<size_t>(index[0]) * size,
                  source + static_cast<size_t>(i) * size, size);
    }
  });
}

}  // namespace ingot::ops
