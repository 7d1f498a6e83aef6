// Interleaving stores of vectors, then what is left one by one.
#include "backends/cpu/interleave.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backends/cpu/interleave.cc"
#include "hwy/foreach_target.h"
// foreach_target.h must come first.
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <typename T>
void InterleaveOf(const T* from, size_t stride, size_t rows, size_t count, T* to) {
  const hn::ScalableTag<T> d;
  const size_t lanes = hn::Lanes(d);
  const auto row = [&](size_t r, size_t i) { return hn::LoadU(d, from + r * stride + i); };
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    T* place = to + i * rows;
    if (rows == 2) hn::StoreInterleaved2(row(0, i), row(1, i), d, place);
    if (rows == 3) hn::StoreInterleaved3(row(0, i), row(1, i), row(2, i), d, place);
    if (rows == 4) hn::StoreInterleaved4(row(0, i), row(1, i), row(2, i), row(3, i), d, place);
  }
  for (; i < count; ++i) {
    for (size_t r = 0; r < rows; ++r) to[i * rows + r] = from[r * stride + i];
  }
}

void InterleaveFloats(const float* from, size_t stride, size_t rows, size_t count, float* to) {
  InterleaveOf(from, stride, rows, count, to);
}
void InterleaveBytes(const uint8_t* from, size_t stride, size_t rows, size_t count, uint8_t* to) {
  InterleaveOf(from, stride, rows, count, to);
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {

HWY_EXPORT(InterleaveFloats);
HWY_EXPORT(InterleaveBytes);

void Interleave(const float* from, size_t stride, size_t rows, size_t count, float* to) {
  HWY_DYNAMIC_DISPATCH(InterleaveFloats)(from, stride, rows, count, to);
}
void Interleave(const uint8_t* from, size_t stride, size_t rows, size_t count, uint8_t* to) {
  HWY_DYNAMIC_DISPATCH(InterleaveBytes)(from, stride, rows, count, to);
}

}  // namespace ingot::cpu
#endif
