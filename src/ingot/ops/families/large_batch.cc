// What LAMB and LARS need besides an elementwise update: directions and trust ratios, outside of
// the shards, on whole parameters.
//
//   d, m', v' = ingot.LambDirection(w, g, m, v, step)    d = m^ / (sqrt(v^) + epsilon) + decay w
//   t = ingot.TrustRatio(|w|^2, |d|^2)                   coefficient |w| / (|d| + decay |w| +
//   epsilon)
//
// with Adam's corrected moments m^ and v^ (You et al. 2020, "Large batch optimization for deep
// learning"), and for LARS d = g with its own decay in the ratio (You et al. 2017, as Apex has it).
#include <cmath>

#include "ingot/base/error.h"
#include "ingot/ops/definition.h"
#include "ingot/ops/doubles.h"
#include "ingot/ops/elementwise.h"

namespace ingot::ops {

void RegisterLargeBatch(ir::OpRegistry& registry);

namespace {

using ir::InferContext;
using ir::OpDefinition;
using ir::Type;

void RunLamb(const ir::ReferenceCall& call) {
  const ir::Node& node = call.node;
  const double beta1 = node.GetFloat("beta1");
  const double beta2 = node.GetFloat("beta2");
  const double epsilon = node.GetFloat("epsilon");
  const double decay = node.GetFloat("weight_decay");
  const double step = ReadDouble(call.input(4));
  const double correction1 = 1 - std::pow(beta1, step);
  const double correction2 = 1 - std::pow(beta2, step);
  DispatchFloat("ingot.LambDirection", call.input(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* w = call.input(0).as<T>();
    const T* g = call.input(1).as<T>();
    const T* m = call.input(2).as<T>();
    const T* v = call.input(3).as<T>();
    const int64_t size = call.input(0).size();
    for (int64_t i = 0; i < size; ++i) {
      const double gradient = g[i];
      const double mean = beta1 * static_cast<double>(m[i]) + (1 - beta1) * gradient;
      const double square = beta2 * static_cast<double>(v[i]) + (1 - beta2) * gradient * gradient;
      const double direction = mean / correction1 / (std::sqrt(square / correction2) + epsilon) +
                               decay * static_cast<double>(w[i]);
      call.output(0).as<T>()[i] = static_cast<T>(direction);
      call.output(1).as<T>()[i] = static_cast<T>(mean);
      call.output(2).as<T>()[i] = static_cast<T>(square);
    }
  });
}

OpDefinition LambDirection() {
  OpDefinition op;
  op.name = "LambDirection";
  op.domain = "ingot";
  op.summary = "LAMB's direction before it is scaled, and the new moments.";
  op.inputs = {Required("w"), Required("g"), Required("m"), Required("v"), Required("step", "I")};
  op.outputs = {Required("d"), Required("m_next"), Required("v_next")};
  op.attributes = {FloatAttribute("beta1", 0.9), FloatAttribute("beta2", 0.999),
                   FloatAttribute("epsilon", 1e-6), FloatAttribute("weight_decay", 0)};
  op.infer = [](InferContext& context) {
    for (size_t i = 0; i < 4; ++i) RequireType(context, i, Types::kFloat);
    for (size_t i = 0; i < 3; ++i) context.SetOutput(i, context.input(0));
  };
  op.reference = RunLamb;
  OpCase by_hand;
  by_hand.name = "by_hand";
  // m' = 0.5 * 1 + 0.5 * 2 = 1.5, v' = 0.75 * 4 + 0.25 * 4 = 4; corrections 3/4 and 7/16.
  by_hand.inputs = {Floats({1}, {8}), Floats({1}, {2}), Floats({1}, {1}), Floats({1}, {4}),
                    Integers({}, {2})};
  by_hand.attributes = {{"beta1", 0.5}, {"beta2", 0.75}, {"epsilon", 0.0}, {"weight_decay", 0.25}};
  by_hand.expected = {{2 / std::sqrt(4 / 0.4375) + 2}, {1.5}, {4}};
  by_hand.outputs = 3;
  by_hand.gradient = false;
  OpCase random;
  random.name = "random";
  random.inputs = {Uniform({3, 7}), Uniform({3, 7}), Uniform({3, 7}), Uniform({3, 7}, 0.01, 1),
                   Integers({}, {5})};
  random.outputs = 3;
  random.gradient = false;
  op.cases = {by_hand, random};
  return op;
}

OpDefinition TrustRatio() {
  OpDefinition op;
  op.name = "TrustRatio";
  op.domain = "ingot";
  op.summary = "coefficient |w| / (|d| + weight_decay |w| + epsilon); 1 where w or d is 0.";
  op.inputs = {Required("w_squares"), Required("d_squares")};
  op.outputs = {Required("Y", "")};
  op.attributes = {FloatAttribute("coefficient", 1), FloatAttribute("weight_decay", 0),
                   FloatAttribute("epsilon", 0),
                   IntAttribute("to", static_cast<int64_t>(DType::kF32))};
  op.infer = [](InferContext& context) {
    const auto to = static_cast<DType>(context.node().GetInt("to"));
    context.SetOutput(0, Type::Tensor(to, Shape{}));
  };
  op.reference = [](const ir::ReferenceCall& call) {
    const ir::Node& node = call.node;
    const double w = std::sqrt(ReadDouble(call.input(0)));
    const double d = std::sqrt(ReadDouble(call.input(1)));
    double ratio = 1;
    if (w > 0 && d > 0) {
      ratio = node.GetFloat("coefficient") * w /
              (d + node.GetFloat("weight_decay") * w + node.GetFloat("epsilon"));
    }
    WriteDoubles({ratio}, call.output());
  };
  const auto example = [](const char* name, double w, double d, double expected) {
    OpCase op_case;
    op_case.name = name;
    for (const double square : {w, d}) {
      OpCase::Input input = Floats({}, {square});
      input.value = input.value->Cast(DType::kF64);
      op_case.inputs.push_back(input);
    }
    op_case.attributes = {
        {"coefficient", 0.5}, {"weight_decay", 0.25}, {"to", static_cast<int64_t>(DType::kF64)}};
    op_case.expected = {{expected}};
    op_case.gradient = false;
    return op_case;
  };
  op.cases = {example("by_hand", 16, 9, 0.5), example("no_weight", 0, 9, 1),
              example("no_direction", 16, 0, 1)};
  return op;
}

}  // namespace

void RegisterLargeBatch(ir::OpRegistry& registry) {
  registry.Add(LambDirection());
  registry.Add(TrustRatio());
}

}  // namespace ingot::ops
