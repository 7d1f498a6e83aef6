// Concat and Split: runs of memory between one tensor and its parts along an axis.
#include <cstring>
#include <vector>

#include "backends/cpu/kernel_factories.h"
#include "ingot/ir/op.h"
#include "ingot/tensor/tensor.h"

namespace ingot::cpu {
namespace {

struct Runs {
  size_t outer = 1;           // times that the parts take turns
  std::vector<size_t> bytes;  // of each part, at each turn
};

class ConcatKernel : public runtime::Kernel {
 public:
  // Operands: the parts, then the whole; of Split the whole, perhaps the sizes, then the parts.
  ConcatKernel(Runs runs, bool split, size_t inputs)
      : runs_(std::move(runs)), split_(split), inputs_(inputs) {}

  void Run(std::span<void* const> operands, std::byte* /*scratch*/) const override {
    auto* whole = static_cast<std::byte*>(operands[split_ ? 0 : inputs_]);
    const std::span<void* const> parts = operands.subspan(split_ ? inputs_ : 0);
    for (size_t turn = 0; turn < runs_.outer; ++turn) {
      for (size_t i = 0; i < runs_.bytes.size(); ++i) {
        const size_t bytes = runs_.bytes[i];
        if (bytes == 0) continue;
        std::byte* part = static_cast<std::byte*>(parts[i]) + turn * bytes;
        std::memcpy(split_ ? part : whole, split_ ? whole : part, bytes);
        whole += bytes;
      }
    }
  }
  std::string name() const override { return split_ ? "split" : "concat"; }

 private:
  Runs runs_;
  bool split_;
  size_t inputs_;
};

}  // namespace

KernelPointer MakeConcatKernel(const ir::Node& node) {
  const bool split = node.op_type() == "Split";
  const ir::Type& whole = split ? node.input(0)->type() : node.output()->type();
  if (!whole.is_static() || ItemSize(whole.dtype()) == 0 || whole.rank() == 0) return nullptr;
  const Shape shape = whole.shape();
  const int axis = NormalizeAxis(node.GetInt("axis"), shape.rank());
  Runs runs;
  size_t inner = ItemSize(whole.dtype());
  for (int i = 0; i < shape.rank(); ++i) {
    if (i < axis) runs.outer *= static_cast<size_t>(shape[i]);
    if (i > axis) inner *= static_cast<size_t>(shape[i]);
  }
  for (const ir::Value* part : split ? node.outputs() : node.inputs()) {
    if (part == nullptr || !part->type().is_static()) return nullptr;
    runs.bytes.push_back(static_cast<size_t>(part->type().shape()[axis]) * inner);
  }
  return std::make_shared<ConcatKernel>(std::move(runs), split, node.inputs().size());
}

}  // namespace ingot::cpu
