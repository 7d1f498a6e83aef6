// What Winograd's algorithms on the f32 tile share: which thread takes which tiles, and the
// products at each place of them. Sums do not depend on the number of threads.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "backends/cpu/convolution.h"
#include "backends/cpu/counts.h"
#include "backends/cpu/tile_product.h"
#include "backends/cpu/winograd_grid.h"
#include "ingot/runtime/team.h"

namespace ingot::cpu {

class WinogradTiles {
 public:
  // A tile has side x side outputs. `block_bytes` of transformed tiles stay in cache,
  // `most_together` of them at the most.
  WinogradTiles(const ConvolutionShape& shape, int64_t side, int64_t block_bytes,
                int64_t most_together);

  const WinogradGrid& grid() const { return grid_; }
  int64_t width() const { return width_; }  // elements of a row of all panels of filters
  size_t packed_floats() const;
  size_t scratch_bytes() const;  // of each thread

  // transform_input(tile, slot, stride, v) and transform_output(tile, slot, stride, m) for each
  // tile, between them a product for each place: v [place, slot, channel] to m [place, slot,
  // output], whose places are `stride` floats apart.
  template <class Input, class Output>
  void Run(const float* packed, std::byte* scratch, size_t scratch_stride, runtime::Team& team,
           const Input& transform_input, const Output& transform_output) const;

 private:
  void Multiply(const float* packed, int64_t place, int64_t slots, const float* v, float* m) const;

  ConvolutionShape shape_;
  WinogradGrid grid_;
  int64_t together_;  // tiles that one thread takes at once
  int64_t width_;
};

template <class Input, class Output>
void WinogradTiles::Run(const float* packed, std::byte* scratch, size_t scratch_stride,
                        runtime::Team& team, const Input& transform_input,
                        const Output& transform_output) const {
  int64_t blocks = CeilDiv(grid_.count(), together_);
  const auto threads = static_cast<int64_t>(team.threads());
  // Each thread takes as many tiles as the others and reads all of the filters; or, where those are
  // large and the tiles few, some of the products, for which the transformed tiles change hands.
  if (threads > 1 && blocks < 4 * threads) blocks = CeilDiv(blocks, threads) * threads;
  const bool large =
      shape_.channels * shape_.outputs > 2 * (shape_.channels + shape_.outputs) * grid_.count();
  if (threads > 1 && large && grid_.count() <= 4 * together_) {
    // All tiles at once, a loop of the team for each of the three steps.
    auto* v = reinterpret_cast<float*>(scratch);
    const int64_t v_stride = WinogradGrid::Stride(grid_.count(), shape_.channels);
    const int64_t m_stride = WinogradGrid::Stride(grid_.count(), shape_.outputs);
    float* m = v + grid_.places() * v_stride;
    const auto count = static_cast<size_t>(grid_.count());
    const size_t pieces = std::min<size_t>(count, static_cast<size_t>(threads) * 4);
    const auto cut = [&](size_t i) { return static_cast<int64_t>(count * i / pieces); };
    team.ForEach(pieces, [&](size_t i, size_t) {
      for (int64_t t = cut(i); t < cut(i + 1); ++t) transform_input(t, t, v_stride, v);
    });
    team.ForEach(static_cast<size_t>(grid_.places()), [&](size_t place, size_t) {
      Multiply(packed, static_cast<int64_t>(place), grid_.count(), v, m);
    });
    team.ForEach(pieces, [&](size_t i, size_t) {
      for (int64_t t = cut(i); t < cut(i + 1); ++t) transform_output(t, t, m_stride, m);
    });
    return;
  }
  team.ForEach(static_cast<size_t>(blocks), [&](size_t block, size_t thread) {
    const int64_t begin = grid_.count() * static_cast<int64_t>(block) / blocks;
    const int64_t rows = grid_.count() * (static_cast<int64_t>(block) + 1) / blocks - begin;
    auto* v = reinterpret_cast<float*>(scratch + thread * scratch_stride);
    const int64_t v_stride = WinogradGrid::Stride(rows, shape_.channels);
    const int64_t m_stride = WinogradGrid::Stride(rows, shape_.outputs);
    float* m = v + grid_.places() * v_stride;
    for (int64_t t = 0; t < rows; ++t) transform_input(begin + t, t, v_stride, v);
    for (int64_t place = 0; place < grid_.places(); ++place) Multiply(packed, place, rows, v, m);
    for (int64_t t = 0; t < rows; ++t) transform_output(begin + t, t, m_stride, m);
  });
}

}  // namespace ingot::cpu
