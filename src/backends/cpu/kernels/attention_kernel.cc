// Attention and ingot.AttentionGradient of f32.
#include <algorithm>

#include "backends/cpu/attention.h"
#include "backends/cpu/attention_few.h"
#include "backends/cpu/kernel_factories.h"
#include "ingot/ir/op.h"
#include "ingot/runtime/team.h"
#include "ingot/tensor/tensor.h"

namespace ingot::cpu {
namespace {

AttentionMask MaskOf(const void* data, bool is_bool) {
  AttentionMask mask;
  if (is_bool) {
    mask.visible = static_cast<const bool*>(data);
  } else {
    mask.added = static_cast<const float*>(data);
  }
  return mask;
}

class AttentionKernel : public runtime::SharedKernel {
 public:
  AttentionKernel(const ops::AttentionSizes& sizes, bool bool_mask, size_t inputs, bool log_sum)
      : sizes_(sizes), bool_mask_(bool_mask), inputs_(inputs), log_sum_(log_sum) {}

  void Run(std::span<void* const> operands, std::byte* scratch) const override {
    const auto* q = static_cast<const float*>(operands[0]);
    const auto* k = static_cast<const float*>(operands[1]);
    const auto* v = static_cast<const float*>(operands[2]);
    const void* mask = inputs_ > 3 ? operands[3] : nullptr;
    auto* y = static_cast<float*>(operands[inputs_]);
    auto* log_sum = log_sum_ ? static_cast<float*>(operands[inputs_ + 1]) : nullptr;
    Attention(sizes_, q, k, v, MaskOf(mask, bool_mask_), y, log_sum,
              reinterpret_cast<float*>(scratch));
  }
  // Each head of each sample by itself.
  void RunShared(std::span<void* const> operands, std::byte* scratch, size_t scratch_stride,
                 runtime::Team& team) const override {
    const double work = static_cast<double>(sizes_.batch * sizes_.query_heads) *
                        static_cast<double>(sizes_.query_length * sizes_.key_length) *
                        static_cast<double>(sizes_.head_size + sizes_.value_size);
    const bool few = AreFewQueries(sizes_) && !log_sum_;
    if (!few && (team.threads() == 1 || log_sum_ || work < 2e5)) return Run(operands, scratch);
    const auto heads = static_cast<size_t>(sizes_.query_heads);
    const auto run = [&](size_t index, size_t thread) {
      const auto batch = static_cast<int64_t>(index / heads);
      const auto head = static_cast<int64_t>(index % heads);
      RunHead(operands, batch, head, reinterpret_cast<float*>(scratch + thread * scratch_stride));
    };
    const size_t count = static_cast<size_t>(sizes_.batch) * heads;
    if (work >= 2e5) return team.ForEach(count, run);
    for (size_t i = 0; i < count; ++i) run(i, 0);
  }
  size_t scratch_bytes() const override {
    const size_t few = AreFewQueries(sizes_) ? static_cast<size_t>(sizes_.key_length) : 0;
    return std::max(AttentionScratchFloats(sizes_), few) * sizeof(float);
  }
  std::string name() const override { return "attention_f32"; }

 private:
  void RunHead(std::span<void* const> operands, int64_t batch, int64_t head, float* scratch) const {
    ops::AttentionSizes one = sizes_;
    one.batch = one.query_heads = one.key_heads = 1;
    const int64_t key_head = head / sizes_.group();
    const int64_t mask_at = batch * sizes_.mask_strides[0] + head * sizes_.mask_strides[1];
    AttentionMask mask = MaskOf(inputs_ > 3 ? operands[3] : nullptr, bool_mask_);
    if (mask.added != nullptr) mask.added += mask_at;
    if (mask.visible != nullptr) mask.visible += mask_at;
    const auto* q = static_cast<const float*>(operands[0]) + sizes_.query.At(batch, head, 0);
    const auto* k = static_cast<const float*>(operands[1]) + sizes_.key.At(batch, key_head, 0);
    const auto* v = static_cast<const float*>(operands[2]) + sizes_.value.At(batch, key_head, 0);
    auto* y = static_cast<float*>(operands[inputs_]) + sizes_.output.At(batch, head, 0);
    if (AreFewQueries(one)) return AttentionOfFewQueries(one, q, k, v, mask, y, scratch);
    Attention(one, q, k, v, mask, y, nullptr, scratch);
  }

  ops::AttentionSizes sizes_;
  bool bool_mask_;
  size_t inputs_;
  bool log_sum_;
};

class AttentionGradientKernel : public runtime::Kernel {
 public:
  AttentionGradientKernel(const ops::AttentionSizes& sizes, bool bool_mask, size_t inputs)
      : sizes_(sizes), bool_mask_(bool_mask), inputs_(inputs) {}

  void Run(std::span<void* const> operands, std::byte* scratch) const override {
    const auto in = [&](size_t i) {
      return i < inputs_ ? static_cast<const float*>(operands[i]) : nullptr;
    };
    const auto out = [&](size_t i) { return static_cast<float*>(operands[inputs_ + i]); };
    const AttentionGradientOperands all{.q = in(0),
                                        .k = in(1),
                                        .v = in(2),
                                        .y = in(3),
                                        .log_sum = in(4),
                                        .dy = in(5),
                                        .mask = MaskOf(in(6), bool_mask_),
                                        .d_log_sum = in(7),
                                        .dq = out(0),
                                        .dk = out(1),
                                        .dv = out(2)};
    AttentionGradient(sizes_, all, reinterpret_cast<float*>(scratch));
  }
  size_t scratch_bytes() const override {
    return AttentionGradientScratchFloats(sizes_) * sizeof(float);
  }
  std::string name() const override { return "attention_gradient_f32"; }

 private:
  ops::AttentionSizes sizes_;
  bool bool_mask_;
  size_t inputs_;
};

}  // namespace

KernelPointer MakeAttentionKernel(const ir::Node& node) {
  const bool gradient = node.op_type() == "AttentionGradient";
  const size_t mask_input = gradient ? 6 : 3;
  const ir::Value* mask = node.input(mask_input);
  for (const ir::Value* input : node.inputs()) {
    if (input == nullptr) continue;
    if (!input->type().is_static()) return nullptr;
    const bool bool_mask = input == mask && input->type().dtype() == DType::kBool;
    if (!bool_mask && input->type().dtype() != DType::kF32) return nullptr;
  }
  const Shape q = node.input(0)->type().shape(), k = node.input(1)->type().shape(),
              v = node.input(2)->type().shape();
  const Shape mask_shape = mask == nullptr ? Shape() : mask->type().shape();
  const ops::AttentionSizes sizes =
      ops::SizesOfAttention(node, q.dims(), k.dims(), v.dims(), mask_shape.dims());
  const bool bool_mask = mask != nullptr && mask->type().dtype() == DType::kBool;
  if (gradient) {
    return std::make_shared<AttentionGradientKernel>(sizes, bool_mask, node.inputs().size());
  }
  return std::make_shared<AttentionKernel>(sizes, bool_mask, node.inputs().size(),
                                           node.outputs().size() > 1);
}

}  // namespace ingot::cpu
