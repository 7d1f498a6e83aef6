// LSTM, GRU with linear_before_reset, and ingot.RecurrentGradient of those, of f32.
#include "backends/cpu/kernel_factories.h"
#include "backends/cpu/recurrence.h"
#include "ingot/ir/op.h"
#include "ingot/tensor/tensor.h"

namespace ingot::cpu {
namespace {

using ops::Cell;
using ops::RecurrentSizes;

class RecurrentKernel : public runtime::Kernel {
 public:
  RecurrentKernel(const RecurrentSizes& sizes, size_t inputs, size_t outputs)
      : sizes_(sizes), inputs_(inputs), outputs_(outputs) {}

  void Run(std::span<void* const> operands, std::byte* scratch) const override {
    const auto in = [&](size_t i) {
      return i < inputs_ ? static_cast<const float*>(operands[i]) : nullptr;
    };
    const auto out = [&](size_t i) {
      return i < outputs_ ? static_cast<float*>(operands[inputs_ + i]) : nullptr;
    };
    const bool lstm = sizes_.cell == Cell::kLstm;
    const RecurrentForward all{.x = in(0),
                               .w = in(1),
                               .r = in(2),
                               .b = in(3),
                               .h0 = in(5),
                               .c0 = lstm ? in(6) : nullptr,
                               .y = out(0),
                               .last_h = out(1),
                               .last_c = lstm ? out(2) : nullptr,
                               .kept = out(lstm ? 3 : 2)};
    RunRecurrent(sizes_, all, reinterpret_cast<float*>(scratch));
  }
  size_t scratch_bytes() const override { return RecurrentScratchFloats(sizes_) * sizeof(float); }
  std::string name() const override { return sizes_.cell == Cell::kLstm ? "lstm_f32" : "gru_f32"; }

 private:
  RecurrentSizes sizes_;
  size_t inputs_;
  size_t outputs_;
};

class RecurrentGradientKernel : public runtime::Kernel {
 public:
  RecurrentGradientKernel(const RecurrentSizes& sizes, size_t inputs, size_t outputs, bool wants_dx)
      : sizes_(sizes), inputs_(inputs), outputs_(outputs), wants_dx_(wants_dx) {}

  void Run(std::span<void* const> operands, std::byte* scratch) const override {
    const auto in = [&](size_t i) {
      return i < inputs_ ? static_cast<const float*>(operands[i]) : nullptr;
    };
    const auto out = [&](size_t i) {
      return i < outputs_ ? static_cast<float*>(operands[inputs_ + i]) : nullptr;
    };
    const RecurrentBackward all{.x = in(0),
                                .w = in(1),
                                .r = in(2),
                                .h0 = in(4),
                                .c0 = in(5),
                                .y = in(6),
                                .kept = in(7),
                                .dy = in(8),
                                .d_last_h = in(9),
                                .d_last_c = in(10),
                                .dx = wants_dx_ ? out(0) : nullptr,
                                .dw = out(1),
                                .dr = out(2),
                                .db = out(3),
                                .dh0 = out(4),
                                .dc0 = out(5)};
    RunRecurrentGradient(sizes_, all, reinterpret_cast<float*>(scratch));
  }
  size_t scratch_bytes() const override {
    return RecurrentGradientScratchFloats(sizes_) * sizeof(float);
  }
  std::string name() const override {
    return sizes_.cell == Cell::kLstm ? "lstm_gradient_f32" : "gru_gradient_f32";
  }

 private:
  RecurrentSizes sizes_;
  size_t inputs_;
  size_t outputs_;
  bool wants_dx_;
};

}  // namespace

KernelPointer MakeRecurrentKernel(const ir::Node& node) {
  for (const ir::Value* input : node.inputs()) {
    if (input == nullptr) continue;
    if (!input->type().is_static() || input->type().dtype() != DType::kF32) return nullptr;
  }
  const bool gradient = node.op_type() == "RecurrentGradient";
  const Cell cell = ops::CellNamed(gradient ? node.GetString("cell") : node.op_type());
  const RecurrentSizes sizes =
      ops::SizesOfRecurrence(cell, node, node.input(0)->type().shape(),
                             node.input(1)->type().shape(), node.input(2)->type().shape());
  const bool covered = cell == Cell::kLstm || (cell == Cell::kGru && sizes.linear_before_reset);
  if (!covered || sizes.batch == 0) return nullptr;
  if (!gradient) {
    return std::make_shared<RecurrentKernel>(sizes, node.inputs().size(), node.outputs().size());
  }
  // The first layer's input is data, of which nobody wants the gradient.
  const ir::Value* dx = node.output(0);
  const bool wants_dx = dx->is_graph_output() || !dx->uses().empty();
  return std::make_shared<RecurrentGradientKernel>(sizes, node.inputs().size(),
                                                   node.outputs().size(), wants_dx);
}

}  // namespace ingot::cpu
