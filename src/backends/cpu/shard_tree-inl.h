// The fixed tree over the shards in registers: partial sums meet in a binary counter, in which
// level l holds the sum of 2^l neighbouring shards until its sibling is there. Included once for
// each instruction set, from within the namespace of that target.
#if defined(INGOT_BACKENDS_CPU_SHARD_TREE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef INGOT_BACKENDS_CPU_SHARD_TREE_INL_H_
#undef INGOT_BACKENDS_CPU_SHARD_TREE_INL_H_
#else
#define INGOT_BACKENDS_CPU_SHARD_TREE_INL_H_
#endif

#include <cstddef>

#include "hwy/highway.h"

#include "backends/cpu/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr size_t kMostLevels = 32;

// Adds the sums that wait to a shard's, and leaves the result to wait itself, or in `sum` where
// this was the last shard. `occupied`: bit l says that levels + l * (floats of a tile) holds a sum.
template <int MR, int NV>
HWY_INLINE void MeetSiblings(bool last, float* HWY_RESTRICT levels, size_t& occupied,
                             TileSum<MR, NV>& sum) {
  const FloatTag d;
  const size_t lanes = hn::Lanes(d);
  const size_t tile = MR * NV * lanes;
  size_t level = 0;
  // In the last round every level is taken, lowest first: what TreeReduce does with a ragged end.
  for (; last ? (occupied >> level) != 0 : (occupied >> level & 1) != 0; ++level) {
    if ((occupied >> level & 1) == 0) continue;
    const float* left = levels + level * tile;
    for (int i = 0; i < MR; ++i) {
      for (int j = 0; j < NV; ++j) {
        sum.v[i][j] = hn::Add(hn::Load(d, left), sum.v[i][j]);
        left += lanes;
      }
    }
  }
  if (last) return;
  occupied = (occupied >> level | 1) << level;
  float* keep = levels + level * tile;
  for (int i = 0; i < MR; ++i) {
    for (int j = 0; j < NV; ++j) {
      hn::Store(sum.v[i][j], d, keep);
      keep += lanes;
    }
  }
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
