// Dynamic loss scaling for gradients of f16 (Micikevicius et al. 2018), outside of the shards: the
// loss is multiplied by a scale before the backward pass, so that small gradients do not vanish.
//
//   factor, skip, scale', good', skipped' = ingot.LossScale(scale, good, skipped, s_1, s_2, ...)
//   g_i' = ingot.ScaleGradient(g_i, factor)
//   w_i' = ingot.KeepWhenSkipped(skip, w_i, update(w_i, g_i'))
//
// with the sums of squares s_i of the scaled gradients. Where one is not finite the step is skipped
// and the scale falls; after `growth_interval` good steps it grows.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "ingot/base/error.h"
#include "ingot/ops/definition.h"
#include "ingot/ops/elementwise.h"

namespace ingot::ops {

void RegisterLossScaling(ir::OpRegistry& registry);

namespace {

using ir::InferContext;
using ir::OpDefinition;
using ir::Type;

constexpr double kLargestScale = 16777216;  // 2^24

double ScalarOf(const TensorView& view) {
  double value = 0;
  ConvertElements(view.data, view.dtype, &value, DType::kF64, 1);
  return value;
}

void RunLossScale(const ir::ReferenceCall& call) {
  const ir::Node& node = call.node;
  double scale = ScalarOf(call.input(0));
  double good = ScalarOf(call.input(1));
  double skipped = ScalarOf(call.input(2));
  double sum = 0;
  for (size_t i = 3; i < call.inputs.size(); ++i) sum += ScalarOf(call.input(i));
  const bool skip = !std::isfinite(sum);
  const double max_norm = node.GetFloat("max_norm");
  double factor = skip ? 0 : 1 / scale;
  if (!skip && max_norm > 0) {
    factor *= std::min(1.0, max_norm / (std::sqrt(sum) / scale + 1e-6));
  }
  good = skip ? 0 : good + 1;
  skipped += skip ? 1 : 0;
  if (skip) scale = std::max(1.0, scale * node.GetFloat("backoff"));
  if (good >= static_cast<double>(node.GetInt("growth_interval"))) {
    scale = std::min(kLargestScale, scale * node.GetFloat("growth"));
    good = 0;
  }
  const double results[] = {factor, skip ? 1.0 : 0.0, scale, good, skipped};
  for (size_t i = 0; i < 5; ++i) {
    ConvertElements(&results[i], DType::kF64, call.output(i).data, call.output(i).dtype, 1);
  }
}

OpCase::Input F64(double value) {
  OpCase::Input input = Floats({}, {value});
  input.value = input.value->Cast(DType::kF64);
  return input;
}

OpDefinition LossScale() {
  OpDefinition op;
  op.name = "LossScale";
  op.domain = "ingot";
  op.summary =
      "What scaled gradients are multiplied by, whether the step is skipped, the next scale.";
  op.inputs = {Required("scale"),
               Required("good"),
               Required("skipped"),
               {"squares", ir::Port::Presence::kVariadic}};
  op.outputs = {Required("factor"), Required("skip"), Required("scale_next"), Required("good_next"),
                Required("skipped_next")};
  op.attributes = {FloatAttribute("max_norm", 0), IntAttribute("growth_interval", 2000),
                   FloatAttribute("growth", 2), FloatAttribute("backoff", 0.5)};
  op.infer = [](InferContext& context) {
    const bool fits =
        context.node().GetFloat("max_norm") >= 0 && context.node().GetInt("growth_interval") >= 1 &&
        context.node().GetFloat("growth") >= 1 && context.node().GetFloat("backoff") > 0 &&
        context.node().GetFloat("backoff") < 1;
    if (!fits) {
      throw Error(ErrorCode::kInvalidInput,
                  "expected max_norm >= 0, growth_interval >= 1, growth >= 1, 0 < backoff < 1");
    }
    RequireType(context, 0, Types::kFloat);
    for (size_t i = 0; i < 5; ++i) {
      context.SetOutput(i, Type::Tensor(context.input(0).dtype(), Shape{}));
    }
  };
  op.reference = RunLossScale;
  const auto example = [](const char* name, double good, std::vector<OpCase::Input> squares,
                          std::vector<std::vector<double>> expected, double max_norm) {
    OpCase op_case;
    op_case.name = name;
    op_case.inputs = {Floats({}, {1024}), Floats({}, {good}), Floats({}, {3})};
    for (OpCase::Input& square : squares) op_case.inputs.push_back(std::move(square));
    op_case.attributes = {{"growth_interval", int64_t{8}}, {"max_norm", max_norm}};
    op_case.expected = std::move(expected);
    op_case.outputs = 5;
    op_case.gradient = false;
    return op_case;
  };
  op.cases = {example("good", 4, {F64(1), F64(8)}, {{1.0 / 1024}, {0}, {1024}, {5}, {3}}, 0),
              example("grows", 7, {F64(1)}, {{1.0 / 1024}, {0}, {2048}, {0}, {3}}, 0),
              example("overflow", 4, {F64(1), F64(HUGE_VAL)}, {{0}, {1}, {512}, {0}, {4}}, 0),
              example("clipped", 4, {F64(1024.0 * 1024 * 16)},
                      {{0.5 / 1024 / (1 + 1e-6 / 4)}, {0}, {1024}, {5}, {3}}, 2)};
  return op;
}

OpDefinition KeepWhenSkipped() {
  OpDefinition op;
  op.name = "KeepWhenSkipped";
  op.domain = "ingot";
  op.summary = "`old` where skip is not 0, else `new`.";
  op.inputs = {Required("skip", "S"), Required("old"), Required("new")};
  op.outputs = {Required("Y")};
  op.infer = [](InferContext& context) { context.SetOutput(0, context.input(1)); };
  op.reference = [](const ir::ReferenceCall& call) {
    const TensorView& chosen = call.input(ScalarOf(call.input(0)) != 0 ? 1 : 2);
    const auto bytes = static_cast<size_t>(chosen.size()) * ItemSize(chosen.dtype);
    if (bytes > 0) std::memcpy(call.output().data, chosen.data, bytes);
  };
  const auto example = [](const char* name, double skip, std::vector<double> expected) {
    return OpCase{.name = name,
                  .inputs = {Floats({}, {skip}), Floats({2}, {1, 2}), Floats({2}, {3, 4})},
                  .expected = {std::move(expected)},
                  .gradient = false};
  };
  op.cases = {example("kept", 1, {1, 2}), example("replaced", 0, {3, 4})};
  return op;
}

}  // namespace

void RegisterLossScaling(ir::OpRegistry& registry) {
  registry.Add(LossScale());
  registry.Add(KeepWhenSkipped());
}

}  // namespace ingot::ops
