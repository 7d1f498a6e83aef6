// A product whose right side is ready to be read in whole vectors: the tile of tile_product.h taken
// over rows and columns, for kernels that keep their own buffers (attention, recurrence).
//
// Sums go upwards in k, one chain for each element. Thread-safe; allocates nothing.
#pragma once

#include <cstddef>

namespace ingot::cpu {

// A multiple of the lanes of every instruction set.
inline constexpr size_t kPanelAlignment = 16;
constexpr size_t PanelWidth(size_t columns) {
  return (columns + kPanelAlignment - 1) / kPanelAlignment * kPanelAlignment;
}

// c[i, j] = (continues ? c[i, j] : 0) + sum_p a[i * a_row + p * a_column] * b[p * b_row + j] for
// i < m, j < n, p < k. Rows of b are readable up to PanelWidth(n); what is there is not used.
struct PanelProduct {
  const float* a = nullptr;
  size_t a_row = 0;
  size_t a_column = 1;
  const float* b = nullptr;
  size_t b_row = 0;
  float* c = nullptr;
  size_t c_row = 0;
  size_t m = 0, n = 0, k = 0;
  bool continues = false;
  bool packed = false;  // b was written by PackPanels or PackTransposedPanels; b_row is not used
};

void Multiply(const PanelProduct& product);
// The sum of two with the same c, m and n, both packed: the first one's terms come first.
void MultiplyBoth(const PanelProduct& first, const PanelProduct& then);

// to[i * width + j] = from[i * stride + j] for i < rows, j < columns; 0 for columns <= j < width.
void CopyPadded(const float* from, size_t stride, size_t rows, size_t columns, size_t width,
                float* to);
// to[j * width + i] = from[i * stride + j] for i < rows, j < columns; 0 for rows <= i < width,
// which is a multiple of kPanelAlignment.
void CopyTransposed(const float* from, size_t stride, size_t rows, size_t columns, size_t width,
                    float* to);

// The right side [k, n] as panels for the instruction set in use, in PanelFloats(k, n) floats:
// worth it for one that many products read. Transposed: from [n, k].
constexpr size_t PanelFloats(size_t k, size_t n) {
  return k * PanelWidth(n) + kPanelAlignment;
}
void PackPanels(const float* from, size_t stride, size_t k, size_t n, float* to);
void PackTransposedPanels(const float* from, size_t stride, size_t k, size_t n, float* to);

}  // namespace ingot::cpu
