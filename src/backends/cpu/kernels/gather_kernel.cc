// Gather along an axis (embedding look-up), and its gradient of f32 along the first, which adds
// rows in the order of the indices.
#include <algorithm>
#include <cstring>
#include <string>

#include "backends/cpu/kernel_factories.h"
#include "backends/cpu/vector_ops.h"
#include "ingot/base/error.h"
#include "ingot/ir/op.h"
#include "ingot/tensor/tensor.h"

namespace ingot::cpu {
namespace {

struct GatherSizes {
  int64_t extent = 0;  // rows of the table
  size_t count = 0;    // of indices
  size_t width = 0;    // of a row
  size_t outer = 1;    // tables, one behind the other
  size_t item_size = sizeof(float);
  bool wide_index = true;
  std::string node;

  size_t Row(const void* indices, size_t i) const {
    const int64_t given = wide_index ? static_cast<const int64_t*>(indices)[i]
                                     : static_cast<const int32_t*>(indices)[i];
    if (given < -extent || given >= extent) {
      throw Error(ErrorCode::kInvalidInput,
                  node + ": index " + std::to_string(given) + " (element " + std::to_string(i) +
                      " of indices) is outside an axis of extent " + std::to_string(extent));
    }
    return static_cast<size_t>(given < 0 ? given + extent : given);
  }
};

class GatherKernel : public runtime::Kernel {
 public:
  explicit GatherKernel(GatherSizes sizes) : s_(std::move(sizes)) {}

  void Run(std::span<void* const> operands, std::byte* /*scratch*/) const override {
    const size_t bytes = s_.width * s_.item_size;
    const auto* table = static_cast<const std::byte*>(operands[0]);
    auto* out = static_cast<std::byte*>(operands[2]);
    for (size_t o = 0; o < s_.outer; ++o, table += static_cast<size_t>(s_.extent) * bytes) {
      for (size_t i = 0; i < s_.count; ++i, out += bytes) {
        std::memcpy(out, table + s_.Row(operands[1], i) * bytes, bytes);
      }
    }
  }
  std::string name() const override { return "gather_rows"; }

 private:
  GatherSizes s_;
};

class GatherGradientKernel : public runtime::Kernel {
 public:
  explicit GatherGradientKernel(GatherSizes sizes) : s_(std::move(sizes)) {}

  void Run(std::span<void* const> operands, std::byte* /*scratch*/) const override {
    const auto* dy = static_cast<const float*>(operands[0]);
    auto* table = static_cast<float*>(operands[3]);
    std::fill_n(table, static_cast<size_t>(s_.extent) * s_.width, 0.0f);
    for (size_t i = 0; i < s_.count; ++i) {
      float* row = table + s_.Row(operands[1], i) * s_.width;
      ApplyVectorOp(VectorOp::kAdd, 0, row, dy + i * s_.width, row, s_.width);
    }
  }
  std::string name() const override { return "gather_rows_gradient_f32"; }

 private:
  GatherSizes s_;
};

}  // namespace

KernelPointer MakeGatherKernel(const ir::Node& node) {
  const bool gradient = node.op_type() == "GatherGradient";
  const ir::Type& table = node.output()->type();
  const ir::Type& data = node.input(gradient ? 2 : 0)->type();
  const ir::Type& indices = node.input(1)->type();
  if (!data.is_static() || !indices.is_static() || !table.is_static()) return nullptr;
  if (ItemSize(table.dtype()) == 0 || (gradient && table.dtype() != DType::kF32)) return nullptr;
  if (indices.dtype() != DType::kI64 && indices.dtype() != DType::kI32) return nullptr;
  const Shape shape = data.shape();
  const int axis = NormalizeAxis(node.GetInt("axis"), shape.rank());
  if (gradient && axis != 0) return nullptr;
  GatherSizes sizes;
  sizes.extent = shape[axis];
  sizes.item_size = ItemSize(table.dtype());
  for (int i = 0; i < axis; ++i) sizes.outer *= static_cast<size_t>(shape[i]);
  sizes.count = static_cast<size_t>(indices.shape().size());
  sizes.width = 1;
  for (int i = axis + 1; i < shape.rank(); ++i) sizes.width *= static_cast<size_t>(shape[i]);
  sizes.wide_index = indices.dtype() == DType::kI64;
  sizes.node = node.Describe();
  if (gradient) return std::make_shared<GatherGradientKernel>(std::move(sizes));
  return std::make_shared<GatherKernel>(std::move(sizes));
}

}  // namespace ingot::cpu
