// The tile of tile_product.h for integers: its elements of four bytes are pairs of i16 on both
// sides, and sums of i32.
//
//   c[i][j] = (continues ? c[i][j] : 0) + sum over pairs and p of
//             a.low * b.low + a.high * b.high, for the two halves of each element.
// Exact, so that the bits are the same on every instruction set: bytes without their zero points
// are at most 255 in size, and 2^31 / 255^2 products fit. Bias and epilogue are not looked at.
#pragma once

#include "backends/cpu/tile_product.h"

namespace ingot::cpu {

// For the instruction set in use.
const TileSet& PairTiles();

// For each row of `count` bytes, signed or not: to[p] = the pair (from[2p] - zero, from[2p + 1] -
// zero), 0 beyond them: (count + 1) / 2 pairs a row.
void WidenBytes(const void* from, bool is_signed, int32_t zero, int64_t rows, int64_t count,
                uint32_t* to);

// What becomes of rows of sums.
struct RequantizeCall {
  const int32_t* sums = nullptr;      // [rows, columns]
  const float* exact_sums = nullptr;  // instead: sums that are whole numbers as f32
  const int32_t* bias = nullptr;      // [columns], or null; added to the sums
  const float* scale = nullptr;       // [columns]
  const float* offset = nullptr;      // [columns], or null
  Epilogue epilogue;                  // of sum * scale + offset
  int32_t zero = 0;                   // added after rounding to nearest even
  enum class Type : uint8_t { kF32, kU8, kI8 } type = Type::kF32;  // f32: neither rounded nor cut
  void* to = nullptr;                                              // [rows, columns]
  int64_t rows = 1, columns = 0;
};
void Requantize(const RequantizeCall& call);

// Whole tensors: QuantizeLinear and DequantizeLinear with one scale, and the least and largest.
void QuantizeBytes(const float* from, float scale, int32_t zero, bool is_signed, int64_t count,
                   void* to);
void DequantizeBytes(const void* from, bool is_signed, float scale, int32_t zero, int64_t count,
                     float* to);
void FindRange(const float* from, int64_t count, float& low, float& high);  // widens [low, high]

}  // namespace ingot::cpu
