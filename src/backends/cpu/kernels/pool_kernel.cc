// MaxPool, AveragePool, their global forms and their gradients, f32 with the channels last.
#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "backends/cpu/kernel_factories.h"
#include "backends/cpu/pool_rows.h"
#include "ingot/ir/op.h"
#include "ingot/ops/pooling.h"
#include "ingot/runtime/team.h"
#include "ingot/tensor/tensor.h"

namespace ingot::cpu {
namespace {

struct PoolPlan {
  bool maximum = false, gradient = false;
  size_t x = 0, dx = 0, y = 0;  // places among the operands; of a forward op dx is not used
  size_t batch = 0, positions = 0, channels = 0;
  std::vector<float> factors;  // of an average, for each output position
};

class PoolKernel : public runtime::SharedKernel {
 public:
  PoolKernel(PoolPlan plan, ops::TapTable table)
      : plan_(std::move(plan)), table_(std::move(table)) {
    if (!plan_.gradient) return;
    std::vector<int> windows(plan_.positions);  // that have a position
    for (int64_t p = 0; p < table_.outputs(); ++p) {
      for (int64_t t = 0; t < table_.taps(); ++t) {
        if (table_.At(p, t) >= 0) ++windows[static_cast<size_t>(table_.At(p, t))];
      }
    }
    alone_ = std::all_of(windows.begin(), windows.end(), [](int n) { return n <= 1; });
    covered_ = std::all_of(windows.begin(), windows.end(), [](int n) { return n >= 1; });
  }

  void Run(std::span<void* const> operands, std::byte* scratch) const override {
    RunSamples(operands, scratch, 0, plan_.batch, 0, table_.outputs());
  }
  // Of a forward op: samples, or parts of one.
  void RunShared(std::span<void* const> operands, std::byte* scratch, size_t scratch_stride,
                 runtime::Team& team) const override {
    const size_t work =
        plan_.batch * plan_.channels * static_cast<size_t>(table_.outputs() * table_.taps());
    if (team.threads() == 1 || plan_.gradient || work < (size_t{1} << 17)) {
      return Run(operands, scratch);
    }
    const int64_t pieces =
        plan_.batch >= 2 * team.threads()
            ? 1
            : std::min<int64_t>(table_.outputs(), static_cast<int64_t>(team.threads()) * 4);
    team.ForEach(plan_.batch * static_cast<size_t>(pieces), [&](size_t index, size_t thread) {
      const size_t sample = index / static_cast<size_t>(pieces);
      const int64_t piece = static_cast<int64_t>(index) % pieces;
      RunSamples(operands, scratch + thread * scratch_stride, sample, sample + 1,
                 table_.outputs() * piece / pieces, table_.outputs() * (piece + 1) / pieces);
    });
  }
  size_t scratch_bytes() const override {
    return 2 * static_cast<size_t>(table_.taps()) * sizeof(float*);
  }
  std::string name() const override {
    const std::string kind = plan_.maximum ? "max_pool" : "average_pool";
    return kind + (plan_.gradient ? "_gradient_f32" : "_f32");
  }

 private:
  // Output positions [from, to) of samples [first, last).
  void RunSamples(std::span<void* const> operands, std::byte* scratch, size_t first, size_t last,
                  int64_t from, int64_t to) const {
    const auto taps = static_cast<size_t>(table_.taps());
    auto** rows = reinterpret_cast<const float**>(scratch);
    auto** gradients = reinterpret_cast<float**>(scratch) + taps;
    const auto* x = static_cast<const float*>(operands[plan_.x]);
    auto* dx = plan_.gradient ? static_cast<float*>(operands[plan_.dx]) : nullptr;
    auto* y = static_cast<float*>(operands[plan_.y]);
    const size_t sample = plan_.positions * plan_.channels;
    x += first * sample;
    y += (first * static_cast<size_t>(table_.outputs()) + static_cast<size_t>(from)) *
         plan_.channels;
    for (size_t n = first; n < last; ++n, x += sample) {
      if (dx != nullptr && !(alone_ && covered_)) std::fill_n(dx, sample, 0.0f);
      for (int64_t p = from; p < to; ++p, y += plan_.channels) {
        PoolTaps window{rows, gradients, 0, plan_.channels, alone_};
        for (int64_t t = 0; t < table_.taps(); ++t) {
          const int64_t s = table_.At(p, t);
          if (s < 0) continue;
          const size_t offset = static_cast<size_t>(s) * plan_.channels;
          rows[window.count] = x + offset;
          if (dx != nullptr) gradients[window.count] = dx + offset;
          ++window.count;
        }
        Pool(window, static_cast<size_t>(p), y);
      }
      if (dx != nullptr) dx += sample;
    }
  }
  void Pool(const PoolTaps& window, size_t position, float* y) const {
    if (window.count == 0) {  // the padding alone
      if (!plan_.gradient) std::fill_n(y, plan_.channels, plan_.maximum ? -INFINITY : 0.0f);
    } else if (plan_.maximum) {
      plan_.gradient ? MaxOfTapsGradient(window, y) : MaxOfTaps(window, y);
    } else if (plan_.gradient) {
      SumOfTapsGradient(window, plan_.factors[position], y);
    } else {
      SumOfTaps(window, plan_.factors[position], y);
    }
  }

  PoolPlan plan_;
  ops::TapTable table_;
  bool alone_ = false, covered_ = false;  // of the gradient: no window meets another; each position
                                          // has a window
};

bool IsCovered(const ir::Node& node) {
  if (!ops::ChannelsLast(node)) return false;
  for (const ir::Type& type : {node.input(0)->type(), node.output()->type()}) {
    if (!type.is_static() || type.dtype() != DType::kF32) return false;
  }
  return true;
}

}  // namespace

KernelPointer MakePoolKernel(const ir::Node& node) {
  if (!IsCovered(node)) return nullptr;
  PoolPlan plan;
  plan.maximum = node.op_type().find("Max") != std::string::npos;
  plan.gradient = node.op_type().find("Gradient") != std::string::npos;
  const size_t inputs = node.inputs().size();
  // X -> Y; X, dY -> dX; dY (and the like of X) -> dX, of which X's values are not read.
  plan.y = !plan.gradient ? inputs : plan.maximum ? 1 : 0;
  plan.dx = inputs;
  plan.x = plan.gradient && !plan.maximum ? inputs : 0;
  const Shape shape = (plan.gradient ? node.output()->type() : node.input(0)->type()).shape();
  plan.batch = static_cast<size_t>(shape[0]);
  plan.channels = static_cast<size_t>(shape[shape.rank() - 1]);
  plan.positions = 1;
  ir::Dimensions spatial;
  for (int i = 1; i + 1 < shape.rank(); ++i) {
    spatial.emplace_back(shape[i]);
    plan.positions *= static_cast<size_t>(shape[i]);
  }
  const std::vector<ops::WindowAxis> windows = ops::PoolWindows(node, spatial);
  ops::TapTable table(windows);
  // A tap's number must be exact in f32.
  if (table.taps() > (int64_t{1} << 24)) return nullptr;
  if (!plan.maximum) {
    for (const double divisor : ops::PoolDivisors(node, windows, table)) {
      plan.factors.push_back(static_cast<float>(1 / divisor));
    }
  }
  return std::make_shared<PoolKernel>(std::move(plan), std::move(table));
}

}  // namespace ingot::cpu
