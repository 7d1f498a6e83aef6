// Ops that move elements of any type by strides alone: Slice with constant bounds, Expand, and
// Transpose of what transpose_kernel.cc leaves.
#include <algorithm>
#include <cstring>
#include <optional>

#include "backends/cpu/interleave.h"
#include "backends/cpu/kernel_factories.h"
#include "ingot/ir/op.h"
#include "ingot/tensor/tensor.h"

namespace ingot::cpu {
namespace {

// Of the result: its extent, and the elements between neighbours in the input (0: the same one).
struct Axis {
  int64_t extent = 1;
  int64_t stride = 0;
};

template <typename T>
void CopyLine(const std::byte* from, int64_t stride, int64_t count, std::byte* to) {
  const auto* source = reinterpret_cast<const T*>(from);
  auto* target = reinterpret_cast<T*>(to);
  for (int64_t i = 0; i < count; ++i) target[i] = source[i * stride];
}

class StridedCopyKernel : public runtime::Kernel {
 public:
  StridedCopyKernel(std::vector<Axis> axes, int64_t first, size_t item_size, size_t inputs,
                    std::string name)
      : first_(first), item_size_(item_size), inputs_(inputs), name_(std::move(name)) {
    for (const Axis& axis : axes) {
      if (axis.extent == 1) continue;
      if (!axes_.empty() && axes_.back().stride == axis.stride * axis.extent) {
        axes_.back() = {axes_.back().extent * axis.extent, axis.stride};
      } else {
        axes_.push_back(axis);
      }
    }
    if (axes_.empty()) axes_.push_back({1, 1});
  }

  void Run(std::span<void* const> operands, std::byte* /*scratch*/) const override {
    const auto item = static_cast<int64_t>(item_size_);
    auto* to = static_cast<std::byte*>(operands[inputs_]);
    Visit(0, static_cast<const std::byte*>(operands[0]) + first_ * item, to);
  }
  std::string name() const override { return name_; }

 private:
  void Visit(size_t depth, const std::byte* from, std::byte*& to) const {
    const Axis& axis = axes_[depth];
    const auto item = static_cast<int64_t>(item_size_);
    if (depth + 2 == axes_.size() && IsPixels(axis, axes_[depth + 1])) {
      const Axis& channels = axes_[depth + 1];
      Interleave(reinterpret_cast<const uint8_t*>(from), static_cast<size_t>(channels.stride),
                 static_cast<size_t>(channels.extent), static_cast<size_t>(axis.extent),
                 reinterpret_cast<uint8_t*>(to));
      to += axis.extent * channels.extent;
      return;
    }
    if (depth + 1 < axes_.size()) {
      for (int64_t i = 0; i < axis.extent; ++i) Visit(depth + 1, from + i * axis.stride * item, to);
      return;
    }
    if (axis.stride == 1) {
      std::memcpy(to, from, static_cast<size_t>(axis.extent * item));
    } else {
      switch (item_size_) {
        case 1:
          CopyLine<uint8_t>(from, axis.stride, axis.extent, to);
          break;
        case 2:
          CopyLine<uint16_t>(from, axis.stride, axis.extent, to);
          break;
        case 4:
          CopyLine<uint32_t>(from, axis.stride, axis.extent, to);
          break;
        case 8:
          CopyLine<uint64_t>(from, axis.stride, axis.extent, to);
          break;
        default:
          for (int64_t i = 0; i < axis.extent; ++i) {
            std::memcpy(to + i * item, from + i * axis.stride * item, item_size_);
          }
      }
    }
    to += axis.extent * item;
  }

  // Few planes of bytes become the channels of a picture.
  bool IsPixels(const Axis& pixels, const Axis& channels) const {
    return item_size_ == 1 && pixels.stride == 1 && channels.extent >= 2 && channels.stride > 0 &&
           channels.extent <= static_cast<int64_t>(kMostInterleaved);
  }

  std::vector<Axis> axes_;
  int64_t first_;  // element
  size_t item_size_, inputs_;
  std::string name_;
};

std::optional<std::vector<int64_t>> ConstantInts(const ir::Value* value) {
  const ir::Node* node = value == nullptr ? nullptr : value->producer();
  if (node == nullptr || node->op().FullName() != "Constant") return std::nullopt;
  return node->GetTensor("value").ToInts();
}

// Where Slice begins along each axis, and its steps; false where they are not constant.
bool SliceOf(const ir::Node& node, const Shape& x, std::vector<int64_t>& starts,
             std::vector<int64_t>& steps) {
  const auto given = ConstantInts(node.input(1));
  if (!given) return false;
  std::vector<int64_t> axes, given_steps(given->size(), 1);
  for (size_t i = 0; i < given->size(); ++i) axes.push_back(static_cast<int64_t>(i));
  if (node.input(3) != nullptr) {
    const auto constant = ConstantInts(node.input(3));
    if (!constant) return false;
    axes = *constant;
  }
  if (node.input(4) != nullptr) {
    const auto constant = ConstantInts(node.input(4));
    if (!constant) return false;
    given_steps = *constant;
  }
  if (axes.size() != given->size() || given_steps.size() != given->size()) return false;
  starts.assign(x.dims().size(), 0);
  steps.assign(x.dims().size(), 1);
  for (size_t i = 0; i < axes.size(); ++i) {
    const int axis = NormalizeAxis(axes[i], x.rank());
    const int64_t extent = x[axis], step = given_steps[i];
    int64_t start = (*given)[i] < 0 ? (*given)[i] + extent : (*given)[i];
    start = step > 0 ? std::clamp<int64_t>(start, 0, extent)
                     : std::clamp<int64_t>(start, 0, std::max<int64_t>(extent - 1, 0));
    starts[static_cast<size_t>(axis)] = start;
    steps[static_cast<size_t>(axis)] = step;
  }
  return true;
}

std::vector<int64_t> PermutationOf(const ir::Node& node, int rank) {
  if (const std::vector<int64_t>* given = node.FindInts("perm"); given && !given->empty()) {
    return *given;
  }
  std::vector<int64_t> reversed;
  for (int axis = rank; axis-- > 0;) reversed.push_back(axis);
  return reversed;
}

}  // namespace

KernelPointer MakeStridedCopyKernel(const ir::Node& node) {
  const ir::Type &in = node.input(0)->type(), &out = node.output()->type();
  if (!in.is_static() || !out.is_static() || ItemSize(in.dtype()) == 0) return nullptr;
  const Shape x = in.shape(), y = out.shape();
  if (y.size() == 0) return nullptr;
  const std::vector<int64_t> strides = Strides(x.dims());
  std::vector<Axis> axes;
  int64_t first = 0;
  std::string name = "strided_copy";
  if (node.op_type() == "Slice") {
    std::vector<int64_t> starts, steps;
    if (!SliceOf(node, x, starts, steps)) return nullptr;
    for (size_t i = 0; i < strides.size(); ++i) {
      first += starts[i] * strides[i];
      // A step that leaves one place may be of any size.
      const int64_t extent = y[static_cast<int>(i)];
      axes.push_back({extent, extent > 1 ? strides[i] * steps[i] : 0});
    }
    name = "slice";
  } else if (node.op_type() == "Expand") {
    const int lead = y.rank() - x.rank();
    for (int i = 0; i < y.rank(); ++i) {
      const bool own = i >= lead && x[i - lead] != 1;
      axes.push_back({y[i], own ? strides[static_cast<size_t>(i - lead)] : 0});
    }
    name = "expand";
  } else {
    for (const int64_t source : PermutationOf(node, x.rank())) {
      axes.push_back({x[static_cast<int>(source)], strides[static_cast<size_t>(source)]});
    }
    name = "transpose";
  }
  return std::make_shared<StridedCopyKernel>(std::move(axes), first, ItemSize(in.dtype()),
                                             node.inputs().size(), name);
}

}  // namespace ingot::cpu
