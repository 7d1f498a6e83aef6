// Transpose of 4-byte elements: axes that stay neighbours are merged, then runs are copied or
// squares transposed.
#include <algorithm>
#include <cstring>

#include "backends/cpu/interleave.h"
#include "backends/cpu/kernel_factories.h"
#include "backends/cpu/tile_product.h"
#include "ingot/ir/op.h"
#include "ingot/tensor/tensor.h"

namespace ingot::cpu {
namespace {

// An axis of the result: its extent, and the elements between neighbours in the input and in the
// result.
struct TransposeAxis {
  int64_t extent = 1, from = 0, to = 0;
};

class TransposeKernel : public runtime::Kernel {
 public:
  // Axes of the result, the last one dense in it.
  explicit TransposeKernel(std::vector<TransposeAxis> axes) : axes_(std::move(axes)) {
    // The axis that is dense in the input, if it is another one, is transposed with the last.
    for (size_t i = 0; i + 1 < axes_.size(); ++i) {
      if (axes_[i].from != 1) continue;
      dense_ = axes_[i];
      axes_.erase(axes_.begin() + static_cast<std::ptrdiff_t>(i));
      break;
    }
  }

  void Run(std::span<void* const> operands, std::byte* /*scratch*/) const override {
    Visit(0, static_cast<const float*>(operands[0]), static_cast<float*>(operands[1]));
  }
  std::string name() const override { return "transpose_f32"; }

 private:
  void Visit(size_t depth, const float* from, float* to) const {
    const TransposeAxis& axis = axes_[depth];
    if (depth + 2 == axes_.size() && dense_.extent > 1 && axis.from == dense_.extent) {
      return Brick(axis, axes_[depth + 1], from, to);
    }
    if (depth + 1 == axes_.size()) return Last(axis, from, to);
    for (int64_t i = 0; i < axis.extent; ++i) {
      Visit(depth + 1, from + i * axis.from, to + i * axis.to);
    }
  }

  void Last(const TransposeAxis& axis, const float* from, float* to) const {
    if (dense_.extent > 1) return Plane(axis, from, to);
    if (axis.from == 1) {
      std::memcpy(to, from, static_cast<size_t>(axis.extent) * sizeof(float));
      return;
    }
    for (int64_t i = 0; i < axis.extent; ++i) to[i] = from[i * axis.from];
  }

  // to[p * dense_.to + j] = from[j * axis.from + p].
  void Plane(const TransposeAxis& axis, const float* from, float* to) const {
    constexpr int64_t kSquare = 16;
    if (dense_.to == axis.extent && axis.extent >= 8) {
      Tiles().pack_transposed(from, static_cast<size_t>(axis.from),
                              static_cast<size_t>(dense_.extent), static_cast<size_t>(axis.extent),
                              static_cast<size_t>(axis.extent), to);
      return;
    }
    if (dense_.to == axis.extent && axis.extent >= 2 &&
        axis.extent <= static_cast<int64_t>(kMostInterleaved)) {
      Interleave(from, static_cast<size_t>(axis.from), static_cast<size_t>(axis.extent),
                 static_cast<size_t>(dense_.extent), to);
      return;
    }
    for (int64_t j = 0; j < axis.extent; j += kSquare) {
      const int64_t end = std::min(axis.extent, j + kSquare);
      for (int64_t p = 0; p < dense_.extent; ++p) {
        float* row = to + p * dense_.to;
        for (int64_t i = j; i < end; ++i) row[i] = from[i * axis.from + p];
      }
    }
  }

  // A convolution's weights, [O, I, K] to [K, I, O] or back: I and K stand together in the input,
  // so that runs of it are transposed into a buffer, whose rows then go to their places.
  void Brick(const TransposeAxis& middle, const TransposeAxis& last, const float* from,
             float* to) const {
    constexpr int64_t kWidth = 16;  // elements of `last` at once: a cache line of the result
    constexpr int64_t kRows = 256;
    alignas(64) float buffer[kRows * kWidth];
    const int64_t runs = std::max<int64_t>(kRows / dense_.extent, 1);
    for (int64_t o = 0; o < last.extent; o += kWidth) {
      const int64_t width = std::min(last.extent - o, kWidth);
      for (int64_t m = 0; m < middle.extent; m += runs) {
        const int64_t rows = std::min(middle.extent - m, runs) * dense_.extent;
        const float* run = from + o * last.from + m * middle.from;
        // A run that is longer than the buffer goes through it in pieces.
        for (int64_t row = 0; row < rows; row += kRows) {
          const int64_t here = std::min(rows - row, kRows);
          Tiles().pack_transposed(run + row, static_cast<size_t>(last.from),
                                  static_cast<size_t>(here), static_cast<size_t>(width),
                                  static_cast<size_t>(width), buffer);
          Scatter(buffer, row, here, width, to + m * middle.to + o, middle.to);
        }
      }
    }
  }

  // Rows of `width` elements, counted over the middle axis and the dense one.
  void Scatter(const float* buffer, int64_t row, int64_t count, int64_t width, float* to,
               int64_t middle_to) const {
    int64_t j = row / dense_.extent;
    int64_t p = row % dense_.extent;
    for (int64_t i = 0; i < count; ++i, buffer += width) {
      float* place = to + j * middle_to + p * dense_.to;
      if (width == 16) {
        std::memcpy(place, buffer, 16 * sizeof(float));
      } else {
        std::copy(buffer, buffer + width, place);
      }
      if (++p == dense_.extent) {
        p = 0;
        ++j;
      }
    }
  }

  std::vector<TransposeAxis> axes_;
  TransposeAxis dense_;
};

}  // namespace

KernelPointer MakeTransposeKernel(const ir::Node& node) {
  const ir::Type& type = node.input(0)->type();
  if (!type.is_static() || type.dtype() != DType::kF32 || type.shape().size() == 0) return nullptr;
  const Shape shape = type.shape();
  std::vector<int64_t> strides(static_cast<size_t>(shape.rank()), 1);
  for (int i = shape.rank() - 1; i-- > 0;) {
    strides[static_cast<size_t>(i)] = strides[static_cast<size_t>(i + 1)] * shape[i + 1];
  }
  std::vector<int64_t> perm;
  if (const std::vector<int64_t>* given = node.FindInts("perm"); given && !given->empty()) {
    perm = *given;
  } else {
    for (int axis = shape.rank(); axis-- > 0;) perm.push_back(axis);
  }
  std::vector<TransposeAxis> axes;
  for (const int64_t source : perm) {
    const TransposeAxis axis = {shape[static_cast<int>(source)],
                                strides[static_cast<size_t>(source)], 0};
    if (axis.extent == 1) continue;
    if (!axes.empty() && axes.back().from == axis.from * axis.extent) {
      axes.back() = {axes.back().extent * axis.extent, axis.from, 0};
    } else {
      axes.push_back(axis);
    }
  }
  if (axes.empty()) axes.push_back({1, 1, 0});
  int64_t stride = 1;
  for (size_t i = axes.size(); i-- > 0;) {
    axes[i].to = stride;
    stride *= axes[i].extent;
  }
  return std::make_shared<TransposeKernel>(std::move(axes));
}

}  // namespace ingot::cpu
