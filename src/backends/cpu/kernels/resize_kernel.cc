// Resize and its gradient, f32, with constant scales or sizes, in any layout: one axis after
// another.
//
// Along an axis the gradient is a weighted sum too, of the output elements that an input element is
// a tap of. The axes that shrink come first and those that grow last, so that what lies between is
// small.
#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "backends/cpu/counts.h"
#include "backends/cpu/kernel_factories.h"
#include "backends/cpu/resize_lines.h"
#include "ingot/base/align.h"
#include "ingot/ir/op.h"
#include "ingot/ops/axis_split.h"
#include "ingot/ops/definition.h"
#include "ingot/ops/resampling.h"
#include "ingot/runtime/team.h"
#include "ingot/tensor/tensor.h"

namespace ingot::cpu {
namespace {

struct ResizeStep {
  ResizeTaps taps;
  size_t outer = 1, extent = 1, inner = 1;

  size_t floats() const { return outer * taps.outputs() * inner; }
};

class ResizeKernel : public runtime::SharedKernel {
 public:
  ResizeKernel(std::vector<ResizeStep> steps, size_t floats, float outside, size_t output,
               bool gradient)
      : steps_(std::move(steps)),
        floats_(floats),
        outside_(outside),
        output_(output),
        gradient_(gradient) {
    for (size_t i = 0; i + 1 < steps_.size(); ++i) {
      between_ = std::max(between_, AlignUp(steps_[i].floats() * sizeof(float)));
    }
  }

  void Run(std::span<void* const> operands, std::byte* scratch) const override {
    runtime::NoTeam alone;
    RunShared(operands, scratch, 0, alone);
  }
  void RunShared(std::span<void* const> operands, std::byte* scratch, size_t /*scratch_stride*/,
                 runtime::Team& team) const override {
    const auto* from = static_cast<const float*>(operands[0]);
    auto* result = static_cast<float*>(operands[output_]);
    if (steps_.empty() && floats_ > 0) std::memcpy(result, from, floats_ * sizeof(float));
    for (size_t i = 0; i < steps_.size(); ++i) {
      auto* between = reinterpret_cast<float*>(scratch + i % 2 * between_);
      float* to = i + 1 == steps_.size() ? result : between;
      RunStep(steps_[i], from, to, team);
      from = to;
    }
  }
  size_t scratch_bytes() const override { return (steps_.size() > 2 ? 2 : 1) * between_; }
  std::string name() const override { return gradient_ ? "resize_gradient_f32" : "resize_f32"; }

 private:
  void RunStep(const ResizeStep& step, const float* x, float* y, runtime::Team& team) const {
    constexpr size_t kWorthSharing = size_t{1} << 15;  // elements
    const size_t outputs = step.taps.outputs();
    const bool shared = team.threads() > 1 && step.floats() >= kWorthSharing;
    const size_t wanted = shared ? 4 * team.threads() : 1;
    // Lines, or parts of lines where there are few.
    const size_t parts = step.outer >= wanted ? 1 : std::min(outputs, wanted);
    const size_t lines = parts > 1 ? 1 : CeilDiv(step.outer, wanted);
    const size_t groups = CeilDiv(step.outer, lines);
    const auto work = [&](size_t index, size_t /*thread*/) {
      const size_t part = index % parts;
      const size_t first = index / parts * lines;
      for (size_t line = first; line < std::min(first + lines, step.outer); ++line) {
        ResizeLine(step.taps, outputs * part / parts, outputs * (part + 1) / parts, step.inner,
                   x + line * step.extent * step.inner, outside_, y + line * outputs * step.inner);
      }
    };
    if (shared) return team.ForEach(groups * parts, work);
    for (size_t i = 0; i < groups * parts; ++i) work(i, 0);
  }

  std::vector<ResizeStep> steps_;
  size_t floats_;  // of the result
  float outside_;
  size_t output_;
  bool gradient_;
  size_t between_ = 0;  // bytes
};

ResizeTaps TapsOf(const ops::ResizeAxis& axis) {
  ResizeTaps taps;
  taps.begin.push_back(0);
  for (const std::vector<ops::ResizeTap>& output : axis.taps) {
    for (const ops::ResizeTap& tap : output) {
      taps.source.push_back(static_cast<uint32_t>(tap.input));
      taps.weight.push_back(static_cast<float>(tap.weight));
    }
    taps.begin.push_back(static_cast<uint32_t>(taps.source.size()));
  }
  return taps;
}

// What each input element sends where, the other way round: for each input its outputs.
ResizeTaps TransposedTapsOf(const ops::ResizeAxis& axis, int64_t extent) {
  ops::ResizeAxis back;
  back.taps.resize(static_cast<size_t>(extent));
  for (size_t n = 0; n < axis.taps.size(); ++n) {
    for (const ops::ResizeTap& tap : axis.taps[n]) {
      std::vector<ops::ResizeTap>& to = back.taps[static_cast<size_t>(tap.input)];
      // Beyond an edge several taps of one output are the element at the edge.
      if (!to.empty() && to.back().input == static_cast<int64_t>(n)) {
        to.back().weight += tap.weight;
      } else {
        to.push_back({static_cast<int64_t>(n), tap.weight});
      }
    }
  }
  return TapsOf(back);
}

}  // namespace

KernelPointer MakeResizeKernel(const ir::Node& node) {
  const bool gradient = node.op_type() == "ResizeGradient";
  // Of the gradient `like` stands between dY and the others.
  const size_t first = gradient ? 2 : 1;
  const ir::Type& small = gradient ? node.output()->type() : node.input(0)->type();
  if (!small.is_static() || small.dtype() != DType::kF32) return nullptr;
  if (!node.input(0)->type().is_static()) return nullptr;
  std::array<std::vector<double>, 3> given;  // roi, scales, sizes
  for (size_t i = 0; i < given.size(); ++i) {
    const ir::Value* value = first + i < node.inputs().size() ? node.input(first + i) : nullptr;
    if (value == nullptr) continue;
    const Tensor* constant = ops::ConstantValue(value);
    if (constant == nullptr) return nullptr;
    given[i] = constant->ToDoubles();
  }
  const std::vector<int64_t> sizes(given[2].begin(), given[2].end());
  const std::vector<int64_t> dims = small.shape().dims();
  if (small.shape().size() == 0) return nullptr;
  const ops::ResizePlan plan = ops::PlanResize(node, dims, given[0], given[1], sizes);
  // Axes in the order in which Resize goes through them: by growth.
  std::vector<size_t> order;
  for (size_t i = 0; i < dims.size(); ++i) order.push_back(i);
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    // Of equal growth the last first, whose lines are the shortest.
    const int64_t left = plan.outputs[a] * dims[b];
    const int64_t right = plan.outputs[b] * dims[a];
    return left != right ? left < right : a > b;
  });
  if (gradient) std::reverse(order.begin(), order.end());
  std::vector<int64_t> at = gradient ? plan.outputs : dims;
  std::vector<ResizeStep> steps;
  for (const size_t i : order) {
    const ops::ResizeAxis axis = ops::AxisOf(node, plan, dims[i], i);
    if (axis.identity) continue;
    const ops::AxisSplit split(at, static_cast<int64_t>(i));
    ResizeStep step;
    step.taps = gradient ? TransposedTapsOf(axis, dims[i]) : TapsOf(axis);
    step.outer = static_cast<size_t>(split.outer);
    step.extent = static_cast<size_t>(split.extent);
    step.inner = static_cast<size_t>(split.inner);
    at[i] = gradient ? dims[i] : plan.outputs[i];
    steps.push_back(std::move(step));
  }
  const float outside = gradient ? 0.0f : static_cast<float>(node.GetFloat("extrapolation_value"));
  return std::make_shared<ResizeKernel>(std::move(steps),
                                        static_cast<size_t>(node.output()->type().shape().size()),
                                        outside, node.inputs().size(), gradient);
}

}  // namespace ingot::cpu
