// Planes to pixels: a few rows of f32 or bytes whose elements are to stand side by side, as the
// channels of a picture do in channels-last order.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ingot::cpu {

// Rows that Interleave takes.
inline constexpr size_t kMostInterleaved = 4;

// to[i * rows + r] = from[r * stride + i] for i < count, r < rows; rows from 2 to kMostInterleaved.
void Interleave(const float* from, size_t stride, size_t rows, size_t count, float* to);
void Interleave(const uint8_t* from, size_t stride, size_t rows, size_t count, uint8_t* to);

}  // namespace ingot::cpu
