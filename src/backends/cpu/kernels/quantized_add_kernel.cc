// Sums of tensors of bytes, each with its scale.
#include "backends/cpu/byte_rows.h"
#include "backends/cpu/kernel_factories.h"
#include "ingot/ir/op.h"
#include "ingot/runtime/team.h"

namespace ingot::cpu {
namespace {

// Bytes that are worth a second thread.
constexpr int64_t kWorthSharingSums = 1 << 16;

class QuantizedAddKernel : public runtime::SharedKernel {
 public:
  explicit QuantizedAddKernel(const AddBytesCall& call) : call_(call) {}

  void Run(std::span<void* const> operands, std::byte* /*scratch*/) const override {
    RunRange(operands, 0, call_.count);
  }
  void RunShared(std::span<void* const> operands, std::byte* scratch, size_t /*scratch_stride*/,
                 runtime::Team& team) const override {
    if (team.threads() == 1 || call_.count < kWorthSharingSums) return Run(operands, scratch);
    const auto pieces = static_cast<int64_t>(team.threads()) * 2;
    team.ForEach(static_cast<size_t>(pieces), [&](size_t index, size_t) {
      const auto i = static_cast<int64_t>(index);
      RunRange(operands, call_.count * i / pieces, call_.count * (i + 1) / pieces);
    });
  }
  std::string name() const override { return "quantized_add_i8"; }

 private:
  void RunRange(std::span<void* const> operands, int64_t begin, int64_t end) const {
    AddBytesCall call = call_;
    call.a.bytes = static_cast<const std::byte*>(operands[0]) + begin;
    call.b.bytes = static_cast<const std::byte*>(operands[1]) + begin;
    call.to = static_cast<std::byte*>(operands[2]) + begin;
    call.count = end - begin;
    AddBytes(call);
  }

  AddBytesCall call_;
};

}  // namespace

KernelPointer MakeQuantizedAddKernel(const ir::Node& node) {
  const ir::Type &a = node.input(0)->type(), &b = node.input(1)->type();
  if (!a.is_static() || !b.is_static() || !(a.shape() == b.shape())) return nullptr;
  const auto number = [&](const char* name) { return static_cast<int32_t>(node.GetInt(name)); };
  AddBytesCall call;
  call.a = {nullptr, a.dtype() == DType::kI8, number("a_zero"),
            static_cast<float>(node.GetFloat("a_scale"))};
  call.b = {nullptr, b.dtype() == DType::kI8, number("b_zero"),
            static_cast<float>(node.GetFloat("b_scale"))};
  call.is_signed = node.output()->type().dtype() == DType::kI8;
  call.zero = number("y_zero");
  call.least = number("y_least");
  call.most = number("y_most");
  call.count = a.shape().size();
  return std::make_shared<QuantizedAddKernel>(call);
}

}  // namespace ingot::cpu
