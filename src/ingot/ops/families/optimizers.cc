// Optimizer updates as ops: new parameter and state from the old ones and the gradient.
//
// The formulas, and the order in which they are computed, are those of PyTorch's optimizers (its
// torch.optim.SGD, Adam and AdamW for one tensor), in f64:
//   Sgd   g += weight_decay * w;  v' = momentum * v + g;  w' = w - lr * (nesterov ? g + momentum *
//   v' : v') Adam  m' = m + (1 - b1) (g - m);  v' = b2 v + (1 - b2) g^2
//         w' = w - lr / (1 - b1^t) * m' / (sqrt(v') / sqrt(1 - b2^t) + epsilon),
//         with g += weight_decay * w before, or w *= 1 - lr * weight_decay before (decoupled:
//         AdamW; D. Kingma, J. Ba, ICLR 2015; I. Loshchilov, F. Hutter, ICLR 2019).
// PyTorch's first momentum is the gradient itself; from a momentum of 0 that is the same.
#include <cmath>
#include <string>
#include <vector>

#include "ingot/base/error.h"
#include "ingot/ops/definition.h"
#include "ingot/ops/elementwise.h"

namespace ingot::ops {

void RegisterOptimizers(ir::OpRegistry& registry);

namespace {

using ir::InferContext;
using ir::OpDefinition;
using ir::Type;

bool MayEqual(const ir::Dimension& a, const ir::Dimension& b) {
  return !a.is_static() || !b.is_static() || a.value() == b.value();
}

// Input i must have the shape of the parameter, input 0.
void RequireShapeOfParameter(const InferContext& context, size_t i) {
  const Type& w = context.input(0);
  const Type& type = context.input(i);
  if (!w.has_rank() || !type.has_rank()) return;
  bool fits = w.rank() == type.rank();
  for (int axis = 0; fits && axis < w.rank(); ++axis) fits = MayEqual(w.dim(axis), type.dim(axis));
  if (fits) return;
  throw Error(ErrorCode::kInvalidInput,
              "input " + std::to_string(i) + " (" + context.node().op().inputs[i].name + ") is " +
                  type.ToString() + ", but the parameter is " + w.ToString());
}

void RequireScalar(const InferContext& context, size_t i, bool fits_type,
                   const std::string& expected) {
  const Type& type = context.input(i);
  if (fits_type && (!type.has_rank() || type.rank() == 0)) return;
  throw Error(ErrorCode::kInvalidInput, "input " + std::to_string(i) + " (" +
                                            context.node().op().inputs[i].name + ") is " +
                                            type.ToString() + ", expected a scalar: " + expected);
}

void RequireLearningRate(const InferContext& context) {
  const DType dtype = context.input(2).dtype();
  RequireScalar(context, 2, dtype == DType::kF32 || dtype == context.input(0).dtype(),
                "f32[] or the parameter's own type");
}

double ReadScalar(const TensorView& view) {
  double value = 0;
  ConvertElements(view.data, view.dtype, &value, DType::kF64, 1);
  return value;
}

// One tensor of a call as doubles; absent: zeros.
std::vector<double> ReadDoubles(const ir::ReferenceCall& call, size_t input, int64_t size) {
  std::vector<double> values(static_cast<size_t>(size));
  if (call.has_input(input)) {
    const TensorView& view = call.input(input);
    ConvertElements(view.data, view.dtype, values.data(), DType::kF64, size);
  }
  return values;
}

void Write(const std::vector<double>& values, const TensorView& view) {
  ConvertElements(values.data(), DType::kF64, view.data, view.dtype, view.size());
}

// ---- Sgd ----

void InferSgd(InferContext& context) {
  RequireType(context, 0, Types::kFloat);
  RequireShapeOfParameter(context, 1);
  RequireLearningRate(context);
  const bool has_state = context.HasInput(3);
  const size_t outputs = context.node().outputs().size();
  if (outputs != (has_state ? 2u : 1u)) {
    throw Error(ErrorCode::kInvalidInput,
                "it has " + std::to_string(outputs) + " outputs, expected the new parameter" +
                    (has_state ? " and the new momentum" : " alone, as it is given no momentum"));
  }
  if (!has_state && context.node().GetFloat("momentum") != 0) {
    throw Error(ErrorCode::kInvalidInput,
                "attribute 'momentum' is not 0, but input 3 (momentum), "
                "the state that it needs, is absent");
  }
  context.SetOutput(0, context.input(0));
  if (!has_state) return;
  RequireShapeOfParameter(context, 3);
  RequireType(context, 3, Types::kFloat);
  context.SetOutput(1, context.input(3));
}

void SgdReference(const ir::ReferenceCall& call) {
  const double momentum = call.node.GetFloat("momentum");
  const double weight_decay = call.node.GetFloat("weight_decay");
  const bool nesterov = call.node.GetInt("nesterov") != 0;
  const double learning_rate = ReadScalar(call.input(2));
  const int64_t size = call.input(0).size();
  std::vector<double> w = ReadDoubles(call, 0, size);
  const std::vector<double> gradient = ReadDoubles(call, 1, size);
  std::vector<double> velocity = ReadDoubles(call, 3, size);
  for (size_t i = 0; i < w.size(); ++i) {
    double g = gradient[i];
    if (weight_decay != 0) g = g + weight_decay * w[i];
    velocity[i] = momentum * velocity[i] + g;
    if (momentum != 0) g = nesterov ? g + momentum * velocity[i] : velocity[i];
    w[i] = w[i] - learning_rate * g;
  }
  Write(w, call.output(0));
  if (call.has_input(3)) Write(velocity, call.output(1));
}

std::vector<OpCase> SgdCases() {
  const auto w = Floats({2}, {1, -2});
  const auto g = Floats({2}, {0.5, 4});
  const auto velocity = Floats({2}, {2, -1});
  const auto rate = Floats({}, {0.25});
  const ir::Attributes all = {{"momentum", 0.5}, {"weight_decay", 0.25}};
  ir::Attributes nesterov = all;
  nesterov["nesterov"] = int64_t{1};
  const auto random = [&](const char* name, Shape shape, const ir::Attributes& attributes) {
    return OpCase{.name = name,
                  .inputs = {Uniform(shape), Uniform(shape), rate, Uniform(shape)},
                  .attributes = attributes,
                  .outputs = 2,
                  .gradient = false};
  };
  return {
      OpCase{.name = "plain", .inputs = {w, g, rate}, .expected = {{0.875, -3}}, .gradient = false},
      OpCase{.name = "weight_decay",
             .inputs = {w, g, rate},
             .attributes = {{"weight_decay", 0.25}},
             .expected = {{0.8125, -2.875}},
             .gradient = false},
      // g = 0.75, 3.5; v' = 1.75, 3; w' = w - v' / 4.
      OpCase{.name = "momentum",
             .inputs = {w, g, rate, velocity},
             .attributes = all,
             .expected = {{0.5625, -2.75}, {1.75, 3}},
             .outputs = 2,
             .gradient = false},
      // The same v', and w' = w - (g + v' / 2) / 4.
      OpCase{.name = "nesterov",
             .inputs = {w, g, rate, velocity},
             .attributes = nesterov,
             .expected = {{0.59375, -3.25}, {1.75, 3}},
             .outputs = 2,
             .gradient = false},
      // Without momentum the state follows the gradient, and the update ignores it.
      OpCase{.name = "state_without_momentum",
             .inputs = {w, g, rate, velocity},
             .expected = {{0.875, -3}, {0.5, 4}},
             .outputs = 2,
             .gradient = false},
      random("matrix", {64, 10}, all),
      random("ragged", {5, 3, 7}, nesterov),
      random("empty", {0}, all),
      random("scalar", {}, nesterov),
      random("layer", {784, 64}, all),
  };
}

OpDefinition Sgd() {
  OpDefinition op;
  op.name = "Sgd";
  op.domain = "ingot";
  op.summary =
      "One step of gradient descent, with momentum (Nesterov's if asked) and weight decay.";
  op.inputs = {Required("w"), Required("g"), Required("learning_rate", "R"),
               Optional("momentum", "M")};
  op.outputs = {Required("w_next"), Optional("momentum_next", "M")};
  op.attributes = {FloatAttribute("momentum", 0), IntAttribute("nesterov", 0),
                   FloatAttribute("weight_decay", 0)};
  op.infer = InferSgd;
  op.reference = SgdReference;
  op.may_run_in_place = true;
  op.cases = SgdCases();
  return op;
}

// ---- Adam ----

void InferAdam(InferContext& context) {
  RequireType(context, 0, Types::kFloat);
  RequireLearningRate(context);
  RequireScalar(context, 3, context.input(3).dtype() == DType::kI64, "i64[], counted from 1");
  context.SetOutput(0, context.input(0));
  RequireShapeOfParameter(context, 1);
  for (const size_t i : {4, 5}) {
    RequireType(context, i, Types::kFloat);
    RequireShapeOfParameter(context, i);
    context.SetOutput(i - 3, context.input(i));
  }
}

// start + weight * (end - start), from the nearer end, so that both ends are exact.
double Interpolate(double start, double end, double weight) {
  return weight < 0.5 ? start + weight * (end - start) : end - (end - start) * (1 - weight);
}

void AdamReference(const ir::ReferenceCall& call) {
  const double beta1 = call.node.GetFloat("beta1");
  const double beta2 = call.node.GetFloat("beta2");
  const double epsilon = call.node.GetFloat("epsilon");
  const double weight_decay = call.node.GetFloat("weight_decay");
  const bool decoupled = call.node.GetInt("decoupled") != 0;
  const double learning_rate = ReadScalar(call.input(2));
  const double step = ReadScalar(call.input(3));
  const double step_size = learning_rate / (1 - std::pow(beta1, step));
  const double correction = std::sqrt(1 - std::pow(beta2, step));
  const int64_t size = call.input(0).size();
  std::vector<double> w = ReadDoubles(call, 0, size);
  const std::vector<double> gradient = ReadDoubles(call, 1, size);
  std::vector<double> m = ReadDoubles(call, 4, size);
  std::vector<double> v = ReadDoubles(call, 5, size);
  for (size_t i = 0; i < w.size(); ++i) {
    double g = gradient[i];
    if (weight_decay != 0) {
      if (decoupled) {
        w[i] = w[i] * (1 - learning_rate * weight_decay);
      } else {
        g = g + weight_decay * w[i];
      }
    }
    m[i] = Interpolate(m[i], g, 1 - beta1);
    v[i] = v[i] * beta2 + (1 - beta2) * g * g;
    w[i] = w[i] - step_size * (m[i] / (std::sqrt(v[i]) / correction + epsilon));
  }
  Write(w, call.output(0));
  Write(m, call.output(1));
  Write(v, call.output(2));
}

OpCase AdamCase(std::string name, Shape shape, int64_t step, ir::Attributes attributes) {
  return OpCase{.name = std::move(name),
                .inputs = {Uniform(shape), Uniform(shape), Floats({}, {0.0078125}),
                           Integers({}, {step}), Uniform(shape), Uniform(shape, 0.01, 1)},
                .attributes = std::move(attributes),
                .outputs = 3,
                .gradient = false};
}

std::vector<OpCase> AdamCases() {
  const auto w = Floats({2}, {1, -2});
  const auto g = Floats({2}, {0.5, -4});
  const auto zero = Floats({2}, {0, 0});
  const auto rate = Floats({}, {0.25});
  const ir::Attributes half = {{"beta1", 0.5}, {"beta2", 0.75}, {"epsilon", 0.0}};
  const auto with = [&](double weight_decay, int64_t decoupled) {
    ir::Attributes attributes = half;
    attributes["weight_decay"] = weight_decay;
    attributes["decoupled"] = decoupled;
    return attributes;
  };
  return {
      // The first step goes by the learning rate, whatever the gradient's size.
      OpCase{.name = "first_step",
             .inputs = {w, g, rate, Integers({}, {1}), zero, zero},
             .attributes = half,
             .expected = {{0.75, -1.75}, {0.25, -2}, {0.0625, 4}},
             .outputs = 3,
             .gradient = false},
      // m' = 0.75, -1; v' = 0.25, 16; corrections 0.75 and 0.4375.
      OpCase{
          .name = "second_step",
          .inputs = {w, g, rate, Integers({}, {2}), Floats({2}, {1, 2}), Floats({2}, {0.25, 16})},
          .attributes = half,
          .expected = {{1 - 0.25 / 0.75 * 0.75 / (0.5 / std::sqrt(0.4375)),
                        -2 + 0.25 / 0.75 * 1 / (4 / std::sqrt(0.4375))},
                       {0.75, -1},
                       {0.25, 16}},
          .outputs = 3,
          .gradient = false},
      // g + w / 4 = 0.75, -4.5.
      OpCase{.name = "weight_decay",
             .inputs = {w, g, rate, Integers({}, {1}), zero, zero},
             .attributes = with(0.25, 0),
             .expected = {{0.75, -1.75}, {0.375, -2.25}, {0.140625, 5.0625}},
             .outputs = 3,
             .gradient = false},
      // w * (1 - 1/16), then the step.
      OpCase{.name = "decoupled",
             .inputs = {w, g, rate, Integers({}, {1}), zero, zero},
             .attributes = with(0.25, 1),
             .expected = {{0.6875, -1.625}, {0.25, -2}, {0.0625, 4}},
             .outputs = 3,
             .gradient = false},
      // A zero gradient from zero state leaves the parameter: 0 / (0 + epsilon).
      OpCase{.name = "nothing_to_do",
             .inputs = {w, zero, rate, Integers({}, {7}), zero, zero},
             .expected = {{1, -2}, {0, 0}, {0, 0}},
             .outputs = 3,
             .gradient = false},
      AdamCase("default", {5, 7}, 3, {}),
      AdamCase("ragged", {3, 11, 5}, 1000000, {{"weight_decay", 0.125}}),
      AdamCase("adamw", {17}, 12, {{"weight_decay", 0.125}, {"decoupled", int64_t{1}}}),
      AdamCase("empty", {0, 3}, 1, {}),
      AdamCase("scalar", {}, 2, {}),
      AdamCase("layer", {784, 64}, 100, {}),
  };
}

OpDefinition Adam() {
  OpDefinition op;
  op.name = "Adam";
  op.domain = "ingot";
  op.summary = "One step of Adam; with `decoupled` of AdamW.";
  op.inputs = {Required("w"),         Required("g"),      Required("learning_rate", "R"),
               Required("step", "I"), Required("m", "M"), Required("v", "M")};
  op.outputs = {Required("w_next"), Required("m_next", "M"), Required("v_next", "M")};
  op.attributes = {FloatAttribute("beta1", 0.9), FloatAttribute("beta2", 0.999),
                   FloatAttribute("epsilon", 1e-8), FloatAttribute("weight_decay", 0),
                   IntAttribute("decoupled", 0)};
  op.infer = InferAdam;
  op.reference = AdamReference;
  op.may_run_in_place = true;
  op.cases = AdamCases();
  return op;
}

}  // namespace

void RegisterOptimizers(ir::OpRegistry& registry) {
  registry.Add(Sgd());
  registry.Add(Adam());
}

}  // namespace ingot::ops
