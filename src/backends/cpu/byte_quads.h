// The register tile of products of bytes with weights that are bytes too, without widening either:
// where an instruction multiplies u8 by i8 and adds pairs of products in 16 bits (AVX2).
//
// The sum of such a pair is cut at 2^15. Four consecutive k of a panel (a quad) whose weights keep
// all pairs below that stand as they are; those of the others as their sizes |w| and masks m, so
// that x ^ m, read as a signed byte, is x - 128 where w >= 0 and 127 - x elsewhere:
//   sum w x = sum |w| (x ^ m) + 128 sum w + sum of |w| where w < 0,
// whose pairs are at most 2^15 in size. What is added are numbers of the weights alone. So no sum
// is cut, and the bits are those of every other instruction set.
//
// Most weights are far smaller than the largest: two quads that stand as they are and whose pairs
// stay below 2^15 even when they are added to each other share what widens them to 32 bits. Masked
// ones gain nothing by that: their masks take the place of what is saved.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backends/cpu/byte_rows.h"

namespace ingot::cpu {

inline constexpr size_t kMostQuadRows = 4;

struct QuadTileCall {
  size_t tiles = 1;              // one below the other; what follows is of the first of them
  const std::byte* x = nullptr;  // u8 [rows], x_row bytes apart
  size_t x_row = 0;
  const int32_t* at = nullptr;         // [plain + masked]: where each quad begins in a row
  const std::byte* plain_w = nullptr;  // [plain][width][4]
  size_t plain = 0;
  size_t plain_twos = 0;                // of them, so many times two that fit each other, first
  const std::byte* masked_w = nullptr;  // [masked][2][width][4]: sizes, then masks
  size_t masked = 0;
  const int32_t* start = nullptr;  // [width]
  int32_t* sums = nullptr;         // [rows][width], sums_row apart: of whole vectors
  size_t sums_row = 0;
  const ByteFinish* finish = nullptr;  // null: the sums are stored
  std::byte* to = nullptr;             // [rows], to_row bytes apart; `columns` of each are written
  size_t to_row = 0;
  size_t columns = 0;
};

// [rows - 1][vectors - 1]; null on instruction sets whose tile of 16 bits is as good.
struct QuadTileSet {
  void (*run[kMostQuadRows][2])(const QuadTileCall& call) = {};
};
const QuadTileSet* QuadTiles();

// Rows of `count` bytes, `from_row` apart, as u8: those with a sign are 128 more.
void CopyBytes(const std::byte* from, bool is_signed, int64_t count, std::byte* to);

}  // namespace ingot::cpu
