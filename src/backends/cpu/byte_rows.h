// From sums of products of bytes to f32 or bytes, and between the two.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backends/cpu/activation.h"

namespace ingot::cpu {

// What becomes of rows of sums.
struct RequantizeCall {
  const int32_t* sums = nullptr;  // [rows, columns]
  const int32_t* bias = nullptr;  // [columns], or null; added to the sums
  const float* scale = nullptr;   // [columns]
  const float* offset = nullptr;  // [columns], or null
  Epilogue epilogue;              // of sum * scale + offset
  int32_t zero = 0;               // added after rounding to nearest even
  enum class Type : uint8_t { kF32, kU8, kI8 } type = Type::kF32;  // f32: neither rounded nor cut
  void* to = nullptr;                                              // [rows, columns]
  int64_t rows = 1, columns = 0;
};
void Requantize(const RequantizeCall& call);

// What becomes of sums: RequantizeCall's, made ready. Scale and offset are those of a panel's
// width.
struct ByteFinish {
  const float* scale = nullptr;
  const float* offset = nullptr;  // or null
  Epilogue epilogue;
  float low = 0, high = 0;  // of bytes: what they are cut to before they are rounded
  int32_t zero = 0;
  RequantizeCall::Type type = RequantizeCall::Type::kF32;
  // Bytes of neither offset nor activation whose scales are below 1: values that i32 holds, so that
  // nothing need be cut before it is rounded. The bytes that low and high stand for.
  bool plain = false;
  int32_t lowest = 0, highest = 0;

  // With activations that cut taken into low and high; `columns` of scale are looked at.
  static ByteFinish Of(const RequantizeCall& call, size_t columns);
};

// to = (a - a_zero) * a_scale + (b - b_zero) * b_scale, rounded to nearest even, plus zero, cut to
// [least, most].
struct AddBytesCall {
  struct Side {
    const void* bytes = nullptr;
    bool is_signed = false;
    int32_t zero = 0;
    float scale = 1;
  };
  Side a, b;
  bool is_signed = false;
  int32_t zero = 0, least = 0, most = 255;
  int64_t count = 0;
  void* to = nullptr;
};
void AddBytes(const AddBytesCall& call);

// to = the largest of `count` rows of bytes, at least one, for each of the channels.
void MaxOfBytes(const std::byte* const* rows, size_t count, bool is_signed, size_t channels,
                std::byte* to);

// Whole tensors: QuantizeLinear and DequantizeLinear with one scale, and the least and largest.
void QuantizeBytes(const float* from, float scale, int32_t zero, bool is_signed, int64_t count,
                   void* to);
void DequantizeBytes(const void* from, bool is_signed, float scale, int32_t zero, int64_t count,
                     float* to);
void FindRange(const float* from, int64_t count, float& low, float& high);  // widens [low, high]

}  // namespace ingot::cpu
