// Walking over tensors element by element with a stride for each operand and axis: broadcasting,
// transposition, slices and reductions are all this walk with different strides.
//
// Strides and offsets count elements. Not thread-safe; holds no memory of the tensors.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace ingot::ops {

// How many elements a shape has.
int64_t Product(std::span<const int64_t> dims);

// Row-major strides of an operand of shape `from` while one walks over shape `to`, to which `from`
// broadcasts as NumPy and ONNX define it: 0 along axes where it is repeated. One stride for each
// axis of `to`. Throws Error(kInvalidInput) naming both shapes where it does not broadcast.
std::vector<int64_t> BroadcastStrides(std::span<const int64_t> from, std::span<const int64_t> to);

// The offsets of N operands, moved along the elements of `dims` in row-major order.
template <size_t N>
class StridedIndex {
 public:
  // `strides[k]` has one stride for each of `dims`.
  StridedIndex(std::span<const int64_t> dims, std::array<std::vector<int64_t>, N> strides,
               std::array<int64_t, N> start = {})
      : dims_(dims.begin(), dims.end()),
        strides_(std::move(strides)),
        position_(dims.size(), 0),
        offset_(start) {}

  int64_t operator[](size_t operand) const { return offset_[operand]; }

  // To the next element; after the last one it stands at the first again.
  void Next() {
    for (size_t axis = dims_.size(); axis-- > 0;) {
      if (++position_[axis] < dims_[axis]) {
        for (size_t k = 0; k < N; ++k) offset_[k] += strides_[k][axis];
        return;
      }
      for (size_t k = 0; k < N; ++k) offset_[k] -= strides_[k][axis] * (dims_[axis] - 1);
      position_[axis] = 0;
    }
  }

 private:
  std::vector<int64_t> dims_;
  std::array<std::vector<int64_t>, N> strides_;
  std::vector<int64_t> position_;
  std::array<int64_t, N> offset_;
};

// The walk over `dims` with N operands that broadcast to it.
template <size_t N>
StridedIndex<N> BroadcastIndex(std::span<const int64_t> dims,
                               const std::array<std::span<const int64_t>, N>& operands) {
  std::array<std::vector<int64_t>, N> strides;
  for (size_t k = 0; k < N; ++k) strides[k] = BroadcastStrides(operands[k], dims);
  return StridedIndex<N>(dims, std::move(strides));
}

// Row-major copy of a strided view: element i of the walk over `dims` goes to to[i] from
// from[start + offset]. Both hold elements of `item_size` bytes and do not overlap.
void GatherStrided(const void* from, int64_t start, const std::vector<int64_t>& strides,
                   std::span<const int64_t> dims, void* to, size_t item_size);
// The inverse: from[i] goes to to[start + offset].
void ScatterStrided(const void* from, std::span<const int64_t> dims, void* to, int64_t start,
                    const std::vector<int64_t>& strides, size_t item_size);

}  // namespace ingot::ops
