// MaxPool and GlobalMaxPool of bytes with the channels last.
#include <algorithm>
#include <cstring>
#include <utility>

#include "backends/cpu/byte_rows.h"
#include "backends/cpu/kernel_factories.h"
#include "ingot/ir/op.h"
#include "ingot/ops/pooling.h"
#include "ingot/runtime/team.h"

namespace ingot::cpu {
namespace {

// Bytes read that are worth a second thread.
constexpr int64_t kWorthSharingMaxima = 1 << 18;

class BytePoolKernel : public runtime::SharedKernel {
 public:
  BytePoolKernel(ops::TapTable table, bool is_signed, int64_t batch, int64_t positions,
                 int64_t channels)
      : table_(std::move(table)),
        is_signed_(is_signed),
        batch_(batch),
        positions_(positions),
        channels_(channels) {}

  void Run(std::span<void* const> operands, std::byte* scratch) const override {
    RunRange(operands, scratch, 0, batch_ * table_.outputs());
  }
  void RunShared(std::span<void* const> operands, std::byte* scratch, size_t scratch_stride,
                 runtime::Team& team) const override {
    const int64_t outputs = batch_ * table_.outputs();
    if (team.threads() == 1 || outputs * table_.taps() * channels_ < kWorthSharingMaxima) {
      return Run(operands, scratch);
    }
    const int64_t pieces = std::min(outputs, static_cast<int64_t>(team.threads()) * 4);
    team.ForEach(static_cast<size_t>(pieces), [&](size_t index, size_t thread) {
      const auto i = static_cast<int64_t>(index);
      RunRange(operands, scratch + thread * scratch_stride, outputs * i / pieces,
               outputs * (i + 1) / pieces);
    });
  }
  size_t scratch_bytes() const override {
    return static_cast<size_t>(table_.taps()) * sizeof(std::byte*);
  }
  std::string name() const override { return "max_pool_i8"; }

 private:
  // Output positions of all samples.
  void RunRange(std::span<void* const> operands, std::byte* scratch, int64_t begin,
                int64_t end) const {
    auto** rows = reinterpret_cast<const std::byte**>(scratch);
    const auto* x = static_cast<const std::byte*>(operands[0]);
    auto* y = static_cast<std::byte*>(operands[1]);
    for (int64_t i = begin; i < end; ++i) {
      const std::byte* sample = x + i / table_.outputs() * positions_ * channels_;
      size_t count = 0;
      for (int64_t t = 0; t < table_.taps(); ++t) {
        const int64_t s = table_.At(i % table_.outputs(), t);
        if (s >= 0) rows[count++] = sample + s * channels_;
      }
      const auto channels = static_cast<size_t>(channels_);
      std::byte* to = y + i * channels_;
      if (count > 0) {
        MaxOfBytes(rows, count, is_signed_, channels, to);
      } else {
        std::memset(to, is_signed_ ? -128 : 0, channels);  // the padding alone
      }
    }
  }

  ops::TapTable table_;
  bool is_signed_;
  int64_t batch_, positions_, channels_;
};

}  // namespace

KernelPointer MakeBytePoolKernel(const ir::Node& node) {
  const ir::Type& x = node.input(0)->type();
  if (!ops::ChannelsLast(node) || !x.is_static()) return nullptr;
  if (x.dtype() != DType::kU8 && x.dtype() != DType::kI8) return nullptr;
  const Shape shape = x.shape();
  ir::Dimensions spatial;
  int64_t positions = 1;
  for (int i = 1; i + 1 < shape.rank(); ++i) {
    spatial.emplace_back(shape[i]);
    positions *= shape[i];
  }
  return std::make_shared<BytePoolKernel>(ops::TapTable(ops::PoolWindows(node, spatial)),
                                          x.dtype() == DType::kI8, shape[0], positions,
                                          shape[shape.rank() - 1]);
}

}  // namespace ingot::cpu
