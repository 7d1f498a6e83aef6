// The optimizers of ai.onnx.preview.training: Adagrad, Adam and Momentum.
//
// Inputs: the learning rate R, the number T of updates so far, then n parameters, their n gradients
// and n tensors of each kind of state; outputs: the n new parameters, then the state. Jobs train
// with the update ops of the domain ingot.
#include <cmath>
#include <functional>
#include <string>

#include "ingot/base/error.h"
#include "ingot/ops/doubles.h"
#include "ingot/ops/elementwise.h"

namespace ingot::ops {
namespace {

using ir::Attribute;
using ir::AttributeKind;
using ir::Attributes;
using ir::InferContext;

constexpr const char* kDomain = "ai.onnx.preview.training";

// Changes a parameter x with regularised gradient g, and its state.
using Update = std::function<void(double& x, double g, double* state)>;
// The update of a node at learning rate r and count t.
using Formula = std::function<Update(const ir::Node& node, double r, double t)>;

// How many parameters a node has, each with a gradient and `states` tensors of state.
size_t ParameterCount(const ir::Node& node, size_t states) {
  const size_t each = 2 + states, given = node.inputs().size();
  if (given < 2 + each || (given - 2) % each != 0) {
    throw Error(ErrorCode::kInvalidInput, "it has " + std::to_string(given) +
                                              " inputs, expected R, T and " + std::to_string(each) +
                                              " for each parameter");
  }
  return (given - 2) / each;
}

void UpdateReference(const ir::ReferenceCall& call, size_t states, const Formula& formula) {
  const size_t count = ParameterCount(call.node, states);
  const Update update = formula(call.node, ReadDouble(call.input(0)), ReadDouble(call.input(1)));
  const double decay = call.node.GetFloat("norm_coefficient");
  for (size_t p = 0; p < count; ++p) {
    DispatchFloat(call.node.op_type(), call.input(2 + p).dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      for (int64_t i = 0; i < call.input(2 + p).size(); ++i) {
        double x = call.input(2 + p).as<T>()[i];
        const double g = decay * x + static_cast<double>(call.input(2 + count + p).as<T>()[i]);
        double state[2] = {0, 0};
        for (size_t s = 0; s < states; ++s) {
          state[s] = call.input(2 + (2 + s) * count + p).as<T>()[i];
        }
        update(x, g, state);
        call.output(p).as<T>()[i] = static_cast<T>(x);
        for (size_t s = 0; s < states; ++s) {
          call.output((1 + s) * count + p).as<T>()[i] = static_cast<T>(state[s]);
        }
      }
    });
  }
}

ir::OpDefinition Optimizer(std::string name, std::string summary, size_t states, Formula formula) {
  ir::OpDefinition op;
  op.name = std::move(name);
  op.domain = kDomain;
  op.summary = std::move(summary);
  op.inputs = {Required("R", "R"), Required("T", "I"), Variadic("inputs", "")};
  op.outputs = {Variadic("outputs", "")};
  op.infer = [states](InferContext& context) {
    const ir::Node& node = context.node();
    const size_t count = ParameterCount(node, states);
    if (node.outputs().size() != (1 + states) * count) {
      throw Error(ErrorCode::kInvalidInput, "it has " + std::to_string(node.outputs().size()) +
                                                " outputs, expected " +
                                                std::to_string((1 + states) * count));
    }
    for (size_t p = 0; p < count; ++p) {
      const ir::Type& x = context.input(2 + p);
      RequireType(context, 2 + p, Types::kFloat);
      for (size_t k = 1; k < 2 + states; ++k) {
        const ir::Type& other = context.input(2 + k * count + p);
        const bool differs = other.dtype() != x.dtype() ||
                             (other.is_static() && x.is_static() && other.shape() != x.shape());
        if (!differs) continue;
        throw Error(ErrorCode::kInvalidInput, "parameter " + std::to_string(p) + " is " +
                                                  x.ToString() + ", but what belongs to it " +
                                                  other.ToString());
      }
      for (size_t k = 0; k < 1 + states; ++k) context.SetOutput(k * count + p, x);
    }
  };
  op.reference = [states, formula = std::move(formula)](const ir::ReferenceCall& call) {
    UpdateReference(call, states, formula);
  };
  return op;
}

OpCase Case(const char* name, std::vector<OpCase::Input> inputs,
            std::vector<std::vector<double>> expected, Attributes attributes) {
  OpCase test;
  test.name = name;
  test.inputs = std::move(inputs);
  test.outputs = expected.size();
  test.expected = std::move(expected);
  test.attributes = std::move(attributes);
  test.gradient = false;
  return test;
}

void RegisterAdagradOp(ir::OpRegistry& registry) {
  ir::OpDefinition op = Optimizer("Adagrad", "One step of Adagrad.", 1,
                                  [](const ir::Node& node, double r, double t) -> Update {
                                    const double epsilon = node.GetFloat("epsilon");
                                    const double rate = r / (1 + t * node.GetFloat("decay_factor"));
                                    return [=](double& x, double g, double* state) {
                                      state[0] += g * g;
                                      x -= rate * g / (std::sqrt(state[0]) + epsilon);
                                    };
                                  });
  op.attributes = {FloatAttribute("decay_factor", 0), FloatAttribute("epsilon", 1e-6),
                   FloatAttribute("norm_coefficient", 0)};
  op.cases = {Case("step",
                   {Floats({}, {0.5}), Integers({}, {1}), Floats({2}, {1, 2}), Floats({2}, {4, -3}),
                    Floats({2}, {9, 16})},
                   {{1 - 0.25 * 4 / 5, 2 + 0.25 * 3 / 5}, {25, 25}},
                   {{"decay_factor", 1.0}, {"epsilon", 0.0}})};
  registry.Add(std::move(op));
}

void RegisterAdamOp(ir::OpRegistry& registry) {
  ir::OpDefinition op = Optimizer(
      "Adam", "One step of Adam.", 2, [](const ir::Node& node, double r, double t) -> Update {
        const double alpha = node.GetFloat("alpha"), beta = node.GetFloat("beta");
        const double epsilon = node.GetFloat("epsilon");
        const double after = 1 - node.GetFloat("norm_coefficient_post");
        const double rate =
            t > 0 ? r * std::sqrt(1 - std::pow(beta, t)) / (1 - std::pow(alpha, t)) : r;
        return [=](double& x, double g, double* state) {
          state[0] = alpha * state[0] + (1 - alpha) * g;
          state[1] = beta * state[1] + (1 - beta) * g * g;
          x = after * (x - rate * state[0] / (std::sqrt(state[1]) + epsilon));
        };
      });
  op.attributes = {FloatAttribute("alpha", 0.9), FloatAttribute("beta", 0.999),
                   FloatAttribute("epsilon", 1e-6), FloatAttribute("norm_coefficient", 0),
                   FloatAttribute("norm_coefficient_post", 0)};
  op.cases = {Case("first",
                   {Floats({}, {0.5}), Integers({}, {0}), Floats({1}, {1}), Floats({1}, {4}),
                    Floats({1}, {0}), Floats({1}, {0})},
                   {{0.5}, {2}, {4}}, {{"alpha", 0.5}, {"beta", 0.75}, {"epsilon", 0.0}})};
  registry.Add(std::move(op));
}

void RegisterMomentumOp(ir::OpRegistry& registry) {
  ir::OpDefinition op =
      Optimizer("Momentum", "One step with momentum, standard or Nesterov's.", 1,
                [](const ir::Node& node, double r, double t) -> Update {
                  const double alpha = node.GetFloat("alpha");
                  const double beta = t > 0 ? node.GetFloat("beta") : 1;
                  const std::string& mode = node.GetString("mode");
                  if (mode != "standard" && mode != "nesterov") {
                    throw Error(ErrorCode::kInvalidInput, "attribute 'mode' is '" + mode +
                                                              "', expected standard or nesterov");
                  }
                  const bool nesterov = mode == "nesterov";
                  return [=](double& x, double g, double* state) {
                    state[0] = alpha * state[0] + beta * g;
                    x -= r * (nesterov ? g + alpha * state[0] : state[0]);
                  };
                });
  op.attributes = {RequiredAttribute("alpha", AttributeKind::kFloat),
                   RequiredAttribute("beta", AttributeKind::kFloat),
                   RequiredAttribute("mode", AttributeKind::kString),
                   RequiredAttribute("norm_coefficient", AttributeKind::kFloat)};
  const auto mode = [](const char* name) {
    return Attributes{{"alpha", 0.5},
                      {"beta", 0.25},
                      {"mode", Attribute(std::string(name))},
                      {"norm_coefficient", 1.0}};
  };
  // g = 1 + 3 = 4; v = 0.5 * 2 + 0.25 * 4 = 2.
  const std::vector<OpCase::Input> inputs = {Floats({}, {0.25}), Integers({}, {1}),
                                             Floats({1}, {1}), Floats({1}, {3}), Floats({1}, {2})};
  op.cases = {Case("standard", inputs, {{0.5}, {2}}, mode("standard")),
              Case("nesterov", inputs, {{1 - 0.25 * 5}, {2}}, mode("nesterov"))};
  registry.Add(std::move(op));
}

}  // namespace

void RegisterOnnxTraining(ir::OpRegistry& registry) {
  RegisterAdagradOp(registry);
  RegisterAdamOp(registry);
  RegisterMomentumOp(registry);
}

}  // namespace ingot::ops
