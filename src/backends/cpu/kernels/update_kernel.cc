// The kernel around an optimizer's update: finds operands and the numbers of a step.
#include <algorithm>
#include <limits>
#include <utility>

#include "backends/cpu/kernel_table.h"
#include "backends/cpu/updates/update.h"
#include "ingot/base/text.h"
#include "ingot/ir/op.h"
#include "ingot/ops/update.h"
#include "ingot/tensor/tensor.h"

namespace ingot::cpu {
namespace {

double ScalarAt(const void* at, DType dtype) {
  double value = 0;
  ConvertElements(at, dtype, &value, DType::kF64, 1);
  return value;
}

// Operands: w, g, learning_rate, [step], the state, then w', the new state and [w' rounded].
class Update : public runtime::UpdateKernel {
 public:
  Update(const ir::Node& node, UpdateCode code, std::string name)
      : code_(std::move(code)),
        dtype_(node.input(0)->type().dtype()),
        rate_type_(node.input(2)->type().dtype()),
        inputs_(node.inputs().size()),
        states_(node.outputs().size() - 1 - (ops::GivesCopy(node) ? 1 : 0)),
        copy_to_(static_cast<DType>(node.GetInt("copy_to"))),
        has_average_(node.GetFloat("average_decay") > 0),
        average_step_(1 - node.GetFloat("average_decay")),
        clip_(node.GetFloat("clip")),
        weight_decay_(node.GetFloat("weight_decay")),
        decoupled_(node.GetInt("decoupled") != 0),
        rate_factor_(node.GetFloat("rate_factor")),
        name_(std::move(name) + "_" + std::string(Name(dtype_))) {}

  size_t derived_count() const override { return UpdateNumbers::kMost; }
  void Derive(std::span<void* const> o, double* derived) const override {
    const double rate = ScalarAt(o[2], rate_type_) * rate_factor_;
    const bool counts_steps = inputs_ - states_ == 4;
    const double step = counts_steps ? static_cast<double>(*static_cast<const int64_t*>(o[3])) : 0;
    std::fill(derived, derived + UpdateNumbers::kMost, 0.0);
    derived[UpdateNumbers::kGradientDecay] = decoupled_ ? 0 : weight_decay_;
    derived[UpdateNumbers::kKeep] = decoupled_ ? 1 - rate * weight_decay_ : 1;
    derived[UpdateNumbers::kClip] = clip_ > 0 ? clip_ : std::numeric_limits<double>::infinity();
    derived[UpdateNumbers::kAverageStep] = average_step_;
    code_.derive(rate, step, derived + UpdateNumbers::kFormula);
  }

  bool Run(std::span<void* const> o, const double* derived, int64_t count) const override {
    UpdateRange range;
    range.dtype = dtype_;
    range.w = o[0];
    range.g = o[1];
    range.new_w = o[inputs_];
    range.count = static_cast<size_t>(count);
    const size_t first = inputs_ - states_;
    const size_t own = states_ - (has_average_ ? 1 : 0);
    for (size_t s = 0; s < own; ++s) {
      range.state[s] = o[first + s];
      range.new_state[s] = o[inputs_ + 1 + s];
    }
    if (has_average_) {
      range.average = o[first + own];
      range.new_average = o[inputs_ + 1 + own];
    }
    if (copy_to_ != DType::kUndefined) {
      range.copy = o[inputs_ + 1 + states_];
      range.copy_to = copy_to_;
    }
    return code_.run(range, derived, code_.variant);
  }
  std::string name() const override { return name_; }

 private:
  UpdateCode code_;
  DType dtype_;
  DType rate_type_;
  size_t inputs_;
  size_t states_;
  DType copy_to_;
  bool has_average_;
  double average_step_;
  double clip_;
  double weight_decay_;
  bool decoupled_;
  double rate_factor_;
  std::string name_;
};

}  // namespace

std::shared_ptr<const runtime::UpdateKernel> MakeUpdateKernel(const ir::Node& node) {
  if (node.op().domain != "ingot") return nullptr;
  const DType dtype = node.input(0)->type().dtype();
  if (dtype != DType::kF32 && dtype != DType::kF64) return nullptr;
  for (const ir::Value* output : node.outputs()) {
    if (output->type().dtype() != dtype) return nullptr;
  }
  if (node.GetInt("copy_to", 0) != 0 && dtype != DType::kF32) return nullptr;
  const std::string& op = node.op().name;
#define INGOT_MAKE_UPDATE(name) \
  if (op == #name) return std::make_shared<Update>(node, name##Update(node), LowerCase(op));
  INGOT_UPDATES(INGOT_MAKE_UPDATE)
#undef INGOT_MAKE_UPDATE
  return nullptr;
}

}  // namespace ingot::cpu
