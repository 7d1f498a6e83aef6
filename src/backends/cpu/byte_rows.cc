// For every instruction set.
#include "backends/cpu/byte_rows.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backends/cpu/byte_rows.cc"
#include "hwy/foreach_target.h"
// foreach_target.h must come first.
#include "hwy/highway.h"

#include "backends/cpu/activation-inl.h"
#include "backends/cpu/requantize-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <typename T, bool kBias, bool kActivates>
void RequantizeRows(const RequantizeCall& call, const ByteFinish& finish) {
  const IntTag d;
  const FTag df;
  const auto columns = static_cast<size_t>(call.columns);
  const size_t lanes = hn::Lanes(d);
  const IntVector zero = hn::Set(d, call.zero);
  const FVector low = hn::Set(df, finish.low), high = hn::Set(df, finish.high);
  const auto requantize = [&](size_t first, size_t j, size_t here) HWY_ATTR {
    IntVector sum = LoadSums(reinterpret_cast<const float*>(call.sums + first + j), here);
    if (kBias) sum = hn::Add(sum, LoadSums(reinterpret_cast<const float*>(call.bias + j), here));
    FVector value = hn::Mul(hn::ConvertTo(df, sum), LoadFloats(call.scale + j, here));
    if (kActivates) {
      if (call.offset != nullptr) value = hn::Add(value, LoadFloats(call.offset + j, here));
      value = Activate(df, finish.epilogue, value, value);
    }
    if constexpr (sizeof(T) == 1) {
      value = hn::Min(hn::Max(value, low), high);
      StoreBytes(value, zero, static_cast<T*>(call.to) + first + j, here);
    } else {
      StoreFloats(value, static_cast<float*>(call.to) + first + j, here);
    }
  };
  for (int64_t row = 0; row < call.rows; ++row) {
    const auto first = static_cast<size_t>(row * call.columns);
    size_t j = 0;
#if HWY_TARGET == HWY_AVX2
    if constexpr (sizeof(T) == 1 && !kActivates) {
      const IntVector shift = hn::Set(d, kRoundsBits - call.zero);
      for (; j + 2 * lanes <= columns; j += 2 * lanes) {
        IntVector number[2];
        for (size_t half = 0; half < 2; ++half) {
          const size_t at = j + half * lanes;
          IntVector sum = hn::LoadU(d, call.sums + first + at);
          if (kBias) sum = hn::Add(sum, hn::LoadU(d, call.bias + at));
          const FVector value = hn::Mul(hn::ConvertTo(df, sum), hn::LoadU(df, call.scale + at));
          number[half] = Whole(hn::Min(hn::Max(value, low), high), shift);
        }
        StoreTwoOfBytes(number[0], number[1], static_cast<T*>(call.to) + first + j);
      }
    }
#endif
    for (; j + lanes <= columns; j += lanes) requantize(first, j, lanes);
    if (j < columns) requantize(first, j, columns - j);
  }
}

template <typename T>
void RequantizeTo(const RequantizeCall& call) {
  const ByteFinish finish = ByteFinish::Of(call, 0);  // whether it is plain is not asked here
  const bool activates = call.offset != nullptr || finish.epilogue.kind != Epilogue::Kind::kNone;
  if (call.bias != nullptr) {
    activates ? RequantizeRows<T, true, true>(call, finish)
              : RequantizeRows<T, true, false>(call, finish);
  } else {
    activates ? RequantizeRows<T, false, true>(call, finish)
              : RequantizeRows<T, false, false>(call, finish);
  }
}

void RequantizeImpl(const RequantizeCall& call) {
  switch (call.type) {
    case RequantizeCall::Type::kF32:
      return RequantizeTo<float>(call);
    case RequantizeCall::Type::kU8:
      return RequantizeTo<uint8_t>(call);
    case RequantizeCall::Type::kI8:
      return RequantizeTo<int8_t>(call);
  }
}

void QuantizeBytesImpl(const float* from, float scale, int32_t zero, bool is_signed, int64_t count,
                       void* to) {
  const IntTag d;
  const FTag df;
  const size_t lanes = hn::Lanes(d);
  const IntVector zeros = hn::Set(d, zero);
  const FVector scales = hn::Set(df, scale);
  for (size_t i = 0; i < static_cast<size_t>(count); i += lanes) {
    const size_t here = std::min(lanes, static_cast<size_t>(count) - i);
    const FVector value = hn::Div(LoadFloats(from + i, here), scales);
    if (is_signed) {
      StoreBytes(value, zeros, static_cast<int8_t*>(to) + i, here);
    } else {
      StoreBytes(value, zeros, static_cast<uint8_t*>(to) + i, here);
    }
  }
}

template <typename T>
void Dequantize(const T* from, float scale, int32_t zero, int64_t count, float* to) {
  const IntTag d;
  const FTag df;
  const hn::Rebind<T, IntTag> narrow;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const IntVector zeros = hn::Set(d, zero);
  const FVector scales = hn::Set(df, scale);
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const IntVector number = hn::Sub(hn::PromoteTo(d, hn::LoadU(narrow, from + i)), zeros);
    hn::StoreU(hn::Mul(hn::ConvertTo(df, number), scales), df, to + i);
  }
  for (; i < count; ++i) to[i] = static_cast<float>(from[i] - zero) * scale;
}

void DequantizeBytesImpl(const void* from, bool is_signed, float scale, int32_t zero, int64_t count,
                         float* to) {
  if (is_signed) {
    Dequantize(static_cast<const int8_t*>(from), scale, zero, count, to);
  } else {
    Dequantize(static_cast<const uint8_t*>(from), scale, zero, count, to);
  }
}

void FindRangeImpl(const float* from, int64_t count, float& low, float& high) {
  const FTag d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  FVector least = hn::Set(d, low), most = hn::Set(d, high);
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const FVector value = hn::LoadU(d, from + i);
    least = hn::Min(least, value);
    most = hn::Max(most, value);
  }
  low = hn::GetLane(hn::MinOfLanes(d, least));
  high = hn::GetLane(hn::MaxOfLanes(d, most));
  for (; i < count; ++i) {
    low = std::min(low, from[i]);
    high = std::max(high, from[i]);
  }
}

// Vectors of one side from `at` on, without zero point and times its scale.
template <typename T>
HWY_INLINE FVector ScaledBytes(const T* from, IntVector zero, FVector scale) {
  const IntTag d;
  const hn::Rebind<T, IntTag> narrow;
  const IntVector number = hn::Sub(hn::PromoteTo(d, hn::LoadU(narrow, from)), zero);
  return hn::Mul(hn::ConvertTo(FTag(), number), scale);
}

template <typename A, typename B, typename T>
HWY_INLINE void AddBytesTo(const AddBytesCall& call) {
  const IntTag d;
  const FTag df;
  const hn::Rebind<T, IntTag> narrow;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto* a = static_cast<const A*>(call.a.bytes);
  const auto* b = static_cast<const B*>(call.b.bytes);
  auto* to = static_cast<T*>(call.to);
  const IntVector a_zero = hn::Set(d, call.a.zero), b_zero = hn::Set(d, call.b.zero);
  const FVector a_scale = hn::Set(df, call.a.scale), b_scale = hn::Set(df, call.b.scale);
  const FVector low = hn::Set(df, static_cast<float>(call.least - call.zero));
  const FVector high = hn::Set(df, static_cast<float>(call.most - call.zero));
  const IntVector shift = hn::Set(d, kRoundsBits - call.zero);
  const auto sum = [&](const A* left, const B* right) HWY_ATTR {
    const FVector value =
        hn::Add(ScaledBytes(left, a_zero, a_scale), ScaledBytes(right, b_zero, b_scale));
    return Whole(hn::Min(hn::Max(value, low), high), shift);
  };
  int64_t i = 0;
#if HWY_TARGET == HWY_AVX2
  for (; i + 2 * lanes <= call.count; i += 2 * lanes) {
    StoreTwoOfBytes(sum(a + i, b + i), sum(a + i + lanes, b + i + lanes), to + i);
  }
#endif
  for (; i + lanes <= call.count; i += lanes) {
    hn::StoreU(hn::DemoteTo(narrow, sum(a + i, b + i)), narrow, to + i);
  }
  if (i == call.count) return;
  const auto rest = static_cast<size_t>(call.count - i);
  HWY_ALIGN A left[HWY_MAX_BYTES / 4] = {};
  HWY_ALIGN B right[HWY_MAX_BYTES / 4] = {};
  HWY_ALIGN T result[HWY_MAX_BYTES / 4];
  std::memcpy(left, a + i, rest);
  std::memcpy(right, b + i, rest);
  hn::StoreU(hn::DemoteTo(narrow, sum(left, right)), narrow, result);
  std::memcpy(to + i, result, rest);
}

template <typename A, typename B>
void AddBytesOf(const AddBytesCall& call) {
  call.is_signed ? AddBytesTo<A, B, int8_t>(call) : AddBytesTo<A, B, uint8_t>(call);
}

void AddBytesImpl(const AddBytesCall& call) {
  if (call.a.is_signed) {
    return call.b.is_signed ? AddBytesOf<int8_t, int8_t>(call) : AddBytesOf<int8_t, uint8_t>(call);
  }
  call.b.is_signed ? AddBytesOf<uint8_t, int8_t>(call) : AddBytesOf<uint8_t, uint8_t>(call);
}

template <typename T>
void MaxOfRows(const T* const* rows, size_t count, size_t channels, T* to) {
  const hn::ScalableTag<T> d;
  const size_t lanes = hn::Lanes(d);
  size_t c = 0;
  for (; c + lanes <= channels; c += lanes) {
    auto largest = hn::LoadU(d, rows[0] + c);
    for (size_t t = 1; t < count; ++t) largest = hn::Max(largest, hn::LoadU(d, rows[t] + c));
    hn::StoreU(largest, d, to + c);
  }
  for (; c < channels; ++c) {
    to[c] = rows[0][c];
    for (size_t t = 1; t < count; ++t) to[c] = std::max(to[c], rows[t][c]);
  }
}

void MaxOfBytesImpl(const std::byte* const* rows, size_t count, bool is_signed, size_t channels,
                    std::byte* to) {
  if (is_signed) {
    MaxOfRows(reinterpret_cast<const int8_t* const*>(rows), count, channels,
              reinterpret_cast<int8_t*>(to));
  } else {
    MaxOfRows(reinterpret_cast<const uint8_t* const*>(rows), count, channels,
              reinterpret_cast<uint8_t*>(to));
  }
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {

HWY_EXPORT(RequantizeImpl);
HWY_EXPORT(QuantizeBytesImpl);
HWY_EXPORT(DequantizeBytesImpl);
HWY_EXPORT(FindRangeImpl);
HWY_EXPORT(AddBytesImpl);
HWY_EXPORT(MaxOfBytesImpl);

ByteFinish ByteFinish::Of(const RequantizeCall& call, size_t columns) {
  ByteFinish finish;
  finish.scale = call.scale;
  finish.offset = call.offset;
  finish.epilogue = call.epilogue;
  finish.zero = call.zero;
  finish.type = call.type;
  if (call.type == RequantizeCall::Type::kF32) return finish;
  const int32_t least = call.type == RequantizeCall::Type::kU8 ? 0 : -128;
  finish.low = static_cast<float>(least - call.zero);
  finish.high = static_cast<float>(least + 255 - call.zero);
  if (call.epilogue.kind == Epilogue::Kind::kRelu) {
    finish.low = std::max(finish.low, 0.0F);
    finish.epilogue = Epilogue();
  }
  if (call.epilogue.kind == Epilogue::Kind::kClip) {
    finish.low = std::max(finish.low, call.epilogue.alpha);
    finish.high = std::min(finish.high, call.epilogue.beta);
    finish.epilogue = Epilogue();
  }
  // Rounding keeps the order: what is cut before it may as well be cut behind it.
  finish.lowest = static_cast<int32_t>(std::nearbyint(finish.low)) + call.zero;
  finish.highest = static_cast<int32_t>(std::nearbyint(finish.high)) + call.zero;
  finish.plain = finish.offset == nullptr && finish.epilogue.kind == Epilogue::Kind::kNone &&
                 finish.low <= finish.high && finish.lowest <= least + 255 &&
                 finish.highest >= least &&
                 std::all_of(call.scale, call.scale + columns,
                             [](float scale) { return std::abs(scale) < 1; });
  return finish;
}

void Requantize(const RequantizeCall& call) {
  HWY_DYNAMIC_DISPATCH(RequantizeImpl)(call);
}
void QuantizeBytes(const float* from, float scale, int32_t zero, bool is_signed, int64_t count,
                   void* to) {
  HWY_DYNAMIC_DISPATCH(QuantizeBytesImpl)(from, scale, zero, is_signed, count, to);
}
void DequantizeBytes(const void* from, bool is_signed, float scale, int32_t zero, int64_t count,
                     float* to) {
  HWY_DYNAMIC_DISPATCH(DequantizeBytesImpl)(from, is_signed, scale, zero, count, to);
}
void AddBytes(const AddBytesCall& call) {
  HWY_DYNAMIC_DISPATCH(AddBytesImpl)(call);
}
void MaxOfBytes(const std::byte* const* rows, size_t count, bool is_signed, size_t channels,
                std::byte* to) {
  HWY_DYNAMIC_DISPATCH(MaxOfBytesImpl)(rows, count, is_signed, channels, to);
}
void FindRange(const float* from, int64_t count, float& low, float& high) {
  HWY_DYNAMIC_DISPATCH(FindRangeImpl)(from, count, low, high);
}

}  // namespace ingot::cpu
#endif
