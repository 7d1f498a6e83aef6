// A product of a few rows with packed panels on a TileSet, for code that has its own memory around
// it: the places of Winograd's algorithm.
#pragma once

#include <cstdint>

#include "backends/cpu/tile_product.h"

namespace ingot::cpu {

// m [rows, outputs] = v [rows, k] times w; its elements are what the tile's are. The panels of w
// lie one behind the other, each [k][columns], `width` columns of whole vectors in all.
void MultiplyByPanels(const TileSet& tiles, const float* v, const float* w, int64_t rows, int64_t k,
                      int64_t outputs, int64_t width, float* m);

}  // namespace ingot::cpu
