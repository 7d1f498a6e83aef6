// Values, limits and grids of quantised tensors.
#include "ingot/ops/quantization.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "ingot/base/error.h"
#include "ingot/ops/doubles.h"
#include "ingot/tensor/narrow.h"

namespace ingot::ops {
namespace {

// The number in the low bits of a byte.
int SignExtended(std::byte byte, int bits) {
  const int value = std::to_integer<int>(byte) & ((1 << bits) - 1);
  return value < 1 << (bits - 1) ? value : value - (1 << bits);
}

bool IsSmallInteger(DType dtype) {
  return IsInteger(dtype) && BitWidth(dtype) < 8;
}
bool IsSigned(DType dtype) {
  switch (dtype) {
    case DType::kI2:
    case DType::kI4:
    case DType::kI8:
    case DType::kI16:
    case DType::kI32:
      return true;
    default:
      return false;
  }
}

}  // namespace

double LowestOf(DType dtype) {
  return IsSigned(dtype) ? -std::ldexp(1.0, BitWidth(dtype) - 1) : 0.0;
}

double HighestOf(DType dtype) {
  return std::ldexp(1.0, BitWidth(dtype) - (IsSigned(dtype) ? 1 : 0)) - 1;
}

bool IsSmallFloat(DType dtype) {
  return IsNarrow(dtype) && !IsInteger(dtype);
}

bool IsQuantizedType(DType dtype) {
  switch (dtype) {
    case DType::kU2:
    case DType::kI2:
    case DType::kU4:
    case DType::kI4:
    case DType::kU8:
    case DType::kI8:
    case DType::kU16:
    case DType::kI16:
      return true;
    default:
      return IsSmallFloat(dtype) && dtype != DType::kF8E8M0;
  }
}

std::vector<double> QuantizedValues(const TensorView& view) {
  if (!IsSmallInteger(view.dtype)) return ReadDoubles(view);
  std::vector<double> values(static_cast<size_t>(view.size()));
  const auto* bytes = static_cast<const std::byte*>(view.data);
  const int bits = BitWidth(view.dtype);
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = IsSigned(view.dtype) ? SignExtended(bytes[i], bits)
                                     : std::to_integer<int>(bytes[i]) & ((1 << bits) - 1);
  }
  return values;
}

void StoreQuantized(const std::vector<double>& values, const TensorView& view, bool saturate) {
  if (IsSmallFloat(view.dtype)) {
    for (size_t i = 0; i < values.size(); ++i) {
      view.as<uint8_t>()[i] = EncodeNarrow(view.dtype, values[i], saturate);
    }
    return;
  }
  const double low = LowestOf(view.dtype), high = HighestOf(view.dtype);
  std::vector<double> limited = values;
  // NaN becomes the least, as a comparison with it fails.
  for (double& value : limited) value = value >= low ? std::min(value, high) : low;
  if (!IsSmallInteger(view.dtype)) {
    WriteDoubles(limited, view);
    return;
  }
  auto* bytes = static_cast<std::byte*>(view.data);
  const int mask = (1 << BitWidth(view.dtype)) - 1;
  for (size_t i = 0; i < limited.size(); ++i) {
    bytes[i] = static_cast<std::byte>(static_cast<int>(limited[i]) & mask);
  }
}

QuantizationGrid::QuantizationGrid(std::span<const int64_t> x, std::span<const int64_t> scale,
                                   int64_t axis, int64_t block_size) {
  const auto fail = [&](const std::string& expected) {
    throw Error(ErrorCode::kInvalidInput, "the scale of " + Shape(x).ToString() + " is " +
                                              Shape(scale).ToString() + ", expected " + expected);
  };
  count_ = Shape(scale).size();
  if (count_ == 1 && block_size == 0) return;
  const int at = NormalizeAxis(axis, static_cast<int>(x.size()));
  extent_ = x[static_cast<size_t>(at)];
  for (size_t i = static_cast<size_t>(at) + 1; i < x.size(); ++i) inner_ *= x[i];
  if (block_size == 0) {
    if (scale.size() != 1 || count_ != extent_) {
      fail("one number, or " + std::to_string(extent_) + " along axis " + std::to_string(at));
    }
    return;
  }
  std::vector<int64_t> blocked(x.begin(), x.end());
  blocks_ = (extent_ + block_size - 1) / block_size;
  blocked[static_cast<size_t>(at)] = blocks_;
  if (!std::equal(blocked.begin(), blocked.end(), scale.begin(), scale.end())) {
    fail(Shape(blocked).ToString() + " for blocks of " + std::to_string(block_size));
  }
  block_ = block_size;
}

}  // namespace ingot::ops
