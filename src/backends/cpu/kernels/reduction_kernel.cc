// ReduceSum and ReduceMean of f32 over neighbouring axes: row sums of the last ones, column sums of
// others.
#include <algorithm>

#include "backends/cpu/kernel_factories.h"
#include "backends/cpu/vector_ops.h"
#include "ingot/ir/op.h"
#include "ingot/tensor/tensor.h"

namespace ingot::cpu {
namespace {

struct Plan {
  bool columns = false;  // over the leading axes
  size_t outer = 1;      // such sums, one behind the other
  size_t rows = 0;
  size_t width = 0;
  float scale = 1;
  size_t output = 0;
};

class ReductionKernel : public runtime::Kernel {
 public:
  explicit ReductionKernel(Plan plan) : plan_(plan) {}

  void Run(std::span<void* const> operands, std::byte* /*scratch*/) const override {
    const auto* x = static_cast<const float*>(operands[0]);
    auto* out = static_cast<float*>(operands[plan_.output]);
    if (plan_.columns) {
      for (size_t i = 0; i < plan_.outer; ++i) {
        SumColumns(x + i * plan_.rows * plan_.width, plan_.rows, plan_.width,
                   out + i * plan_.width);
      }
    } else {
      SumRows(x, plan_.rows, plan_.width, out);
    }
    if (plan_.scale == 1) return;
    const size_t count = plan_.columns ? plan_.outer * plan_.width : plan_.rows;
    for (size_t i = 0; i < count; ++i) out[i] *= plan_.scale;
  }
  std::string name() const override { return plan_.columns ? "sum_columns_f32" : "sum_rows_f32"; }

 private:
  Plan plan_;
};

// The reduced axes, sorted; all of them where none are given. False where not constant.
bool ReducedAxes(const ir::Node& node, int rank, std::vector<int>& axes) {
  const ir::Value* input = node.input(1);
  std::vector<int64_t> given;
  if (input != nullptr) {
    if (input->producer() == nullptr || input->producer()->op_type() != "Constant") return false;
    given = input->producer()->GetTensor("value").ToInts();
  }
  if (given.empty()) {
    if (node.GetInt("noop_with_empty_axes", 0) != 0) return false;
    for (int i = 0; i < rank; ++i) axes.push_back(i);
    return true;
  }
  for (const int64_t axis : given) axes.push_back(NormalizeAxis(axis, rank));
  std::sort(axes.begin(), axes.end());
  return true;
}

}  // namespace

KernelPointer MakeReductionKernel(const ir::Node& node) {
  const ir::Type& type = node.input(0)->type();
  if (!type.is_static() || type.dtype() != DType::kF32) return nullptr;
  const Shape shape = type.shape();
  std::vector<int> axes;
  if (shape.rank() == 0 || shape.size() == 0 || !ReducedAxes(node, shape.rank(), axes)) {
    return nullptr;
  }
  // Neighbouring axes, with what stands before and behind them.
  if (axes.back() - axes.front() + 1 != static_cast<int>(axes.size())) return nullptr;
  size_t outer = 1, count = 1, inner = 1;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    size_t& part = axis < axes.front() ? outer : axis <= axes.back() ? count : inner;
    part *= static_cast<size_t>(shape[axis]);
  }
  Plan plan;
  plan.columns = inner > 1;
  plan.outer = plan.columns ? outer : 1;
  plan.rows = plan.columns ? count : outer;
  plan.width = plan.columns ? inner : count;
  if (node.op_type() == "ReduceMean") plan.scale = 1.0f / static_cast<float>(count);
  plan.output = node.inputs().size();
  return std::make_shared<ReductionKernel>(plan);
}

}  // namespace ingot::cpu
