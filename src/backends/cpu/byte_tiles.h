// The register tile of products of bytes: rows of i16 (bytes without their zero points) by panels
// of weights, in exact i32, and what becomes of the sums.
//
// Weights of four consecutive k and a column stand as two pairs: [k / 4][pair][column]. Where the
// instruction set has no better, a tile takes half of the multiplications (Winograd's inner
// product, 1968): with pairs a = (0, 1) and b = (2, 3) of both sides,
//   xa wa + xb wb = (xa + wb)(xb + wa) - xa xb - wa wb,
// of which the last two are sums of one side alone, made once (`inner`). All of it is arithmetic of
// integers modulo 2^32: the bits are the same on every instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backends/cpu/byte_rows.h"

namespace ingot::cpu {

// Rows of the largest tile, on every instruction set.
inline constexpr size_t kMostByteRows = 4;
// Columns of the widest tile of any instruction set.
inline constexpr size_t kWidestByteTile = 64;

struct ByteTileCall {
  size_t tiles = 1;            // one below the other; what follows is of the first of them
  const int16_t* x = nullptr;  // [rows], x_row apart; 4 * quads of each are read
  size_t x_row = 0;
  const int32_t* x_inner = nullptr;  // [rows], subtracted; null where continues
  const int16_t* w = nullptr;        // [quads][2][width][2]
  size_t quads = 0;
  const int32_t* start = nullptr;  // [width], where not continues
  bool continues = false;          // from what is in sums
  int32_t* sums = nullptr;         // [rows][width], sums_row apart: of whole vectors
  size_t sums_row = 0;
  const ByteFinish* finish = nullptr;  // null: the sums are stored
  std::byte* to = nullptr;             // [rows], to_row bytes apart; `columns` of each are written
  size_t to_row = 0;
  size_t columns = 0;
};

struct ByteTileSet {
  size_t lanes = 0;    // i32 in a vector
  size_t vectors = 0;  // of the widest tile
  bool inner = false;  // whether inner products of one side are wanted
  void (*run[kMostByteRows][4])(const ByteTileCall& call) = {};  // [rows - 1][vectors - 1]

  size_t width() const { return lanes * vectors; }
};

// For the instruction set in use.
const ByteTileSet& ByteTiles();

// Rows of `count` bytes, `from_row` apart, without their zero point, as i16 `to_row` apart, zeros
// up to a multiple of four; inner[row] = what a tile subtracts.
struct WidenRowsCall {
  const std::byte* from = nullptr;
  int64_t from_row = 0, rows = 0, count = 0;
  bool is_signed = false;
  int32_t zero = 0;
  int16_t* to = nullptr;
  int64_t to_row = 0;
  int32_t* inner = nullptr;
};
void WidenRows(const WidenRowsCall& call);

// What filters meet at positions that follow each other in a row, inside of the plane: of each
// position `lines` pieces of `piece` bytes, one behind the other, as WidenRows has them. Up to
// kGatherSlack bytes more than a piece are read, and numbers more than a row written.
inline constexpr int64_t kGatherSlack = 32;
struct GatherRowsCall {
  const std::byte* from = nullptr;
  int64_t step = 0;                        // bytes from position to position
  int64_t line = 0, lines = 0, piece = 0;  // bytes from piece to piece
  WidenRowsCall rows;                      // `from`, `from_row` and `count` are not looked at
};
void GatherRows(const GatherRowsCall& call);

// The same of numbers that are i16 already.
int32_t InnerOf(const int16_t* row, int64_t count);  // count: a multiple of four

}  // namespace ingot::cpu
