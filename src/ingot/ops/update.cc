// The schema, shape rule and reference kernel that all updates share.
#include "ingot/ops/update.h"

#include <algorithm>
#include <utility>

#include "ingot/base/error.h"
#include "ingot/ops/doubles.h"
#include "ingot/ops/elementwise.h"

namespace ingot::ops {
namespace {

using ir::InferContext;
using ir::OpDefinition;
using ir::Type;

bool MayEqual(const ir::Dimension& a, const ir::Dimension& b) {
  return !a.is_static() || !b.is_static() || a.value() == b.value();
}

// "2 (learning_rate)": an input by its number and name; state tensors are the last port, repeated.
std::string InputName(const InferContext& context, size_t i, const UpdateRule& rule) {
  const size_t first_state = rule.counts_steps ? 4 : 3;
  std::vector<std::string> names = rule.states(context.node());
  names.push_back("average");
  const std::string name = i < first_state ? context.node().op().inputs[i].name
                                           : names[std::min(i - first_state, names.size() - 1)];
  return "input " + std::to_string(i) + " (" + name + ")";
}

// Input i must have the shape of the parameter, input 0.
void RequireShapeOfParameter(const InferContext& context, size_t i, const UpdateRule& rule) {
  const Type& w = context.input(0);
  const Type& type = context.input(i);
  if (!w.has_rank() || !type.has_rank()) return;
  bool fits = w.rank() == type.rank();
  for (int axis = 0; fits && axis < w.rank(); ++axis) fits = MayEqual(w.dim(axis), type.dim(axis));
  if (fits) return;
  throw Error(ErrorCode::kInvalidInput, InputName(context, i, rule) + " is " + type.ToString() +
                                            ", but the parameter is " + w.ToString());
}

void RequireScalar(const InferContext& context, size_t i, bool fits_type,
                   const std::string& expected, const UpdateRule& rule) {
  const Type& type = context.input(i);
  if (fits_type && (!type.has_rank() || type.rank() == 0)) return;
  throw Error(ErrorCode::kInvalidInput, InputName(context, i, rule) + " is " + type.ToString() +
                                            ", expected a scalar: " + expected);
}

// The state tensors of a node, the average included.
std::vector<std::string> StatesOf(const ir::Node& node, const UpdateRule& rule) {
  std::vector<std::string> states = rule.states(node);
  if (node.GetFloat("average_decay") > 0) states.push_back("average");
  return states;
}

void RequireStates(const InferContext& context, size_t first, const UpdateRule& rule) {
  const std::vector<std::string> states = StatesOf(context.node(), rule);
  const size_t inputs = context.node().inputs().size() - first;
  const size_t copies = GivesCopy(context.node()) ? 1 : 0;
  const size_t outputs = context.node().outputs().size() - 1 - copies;
  if (inputs == states.size() && outputs == states.size()) return;
  std::string names;
  for (const std::string& state : states) names += (names.empty() ? "" : ", ") + state;
  throw Error(ErrorCode::kInvalidInput,
              "it has " + std::to_string(inputs) + " state tensors and gives " +
                  std::to_string(outputs) + ", but its attributes call for " +
                  std::to_string(states.size()) + (names.empty() ? "" : ": " + names));
}

void InferUpdate(InferContext& context, const UpdateRule& rule) {
  RequireType(context, 0, Types::kFloat);
  RequireShapeOfParameter(context, 1, rule);
  const DType rate = context.input(2).dtype();
  RequireScalar(context, 2, rate == DType::kF32 || rate == context.input(0).dtype(),
                "f32[] or the parameter's own type", rule);
  if (rule.counts_steps) {
    RequireScalar(context, 3, context.input(3).dtype() == DType::kI64, "i64[], counted from 1",
                  rule);
  }
  const size_t first = rule.counts_steps ? 4 : 3;
  RequireStates(context, first, rule);
  context.SetOutput(0, context.input(0));
  for (size_t i = first; i < context.node().inputs().size(); ++i) {
    RequireType(context, i, Types::kFloat);
    RequireShapeOfParameter(context, i, rule);
    context.SetOutput(i - first + 1, context.input(i));
  }
  if (!GivesCopy(context.node())) return;
  const auto to = static_cast<DType>(context.node().GetInt("copy_to"));
  if (to != DType::kBf16 && to != DType::kF16) {
    throw Error(ErrorCode::kInvalidInput, "attribute 'copy_to' is neither 0 nor bf16 nor f16");
  }
  context.SetOutput(context.node().outputs().size() - 1, context.input(0));
}

void RunUpdate(const ir::ReferenceCall& call, const UpdateRule& rule) {
  const ir::Node& node = call.node;
  const double rate = ReadDouble(call.input(2)) * node.GetFloat("rate_factor");
  const double step = rule.counts_steps ? ReadDouble(call.input(3)) : 0;
  const double clip = node.GetFloat("clip");
  const double decay = node.GetFloat("weight_decay");
  const bool decoupled = node.GetInt("decoupled") != 0;
  const double average_decay = node.GetFloat("average_decay");
  const ElementUpdate update = rule.formula(node, rate, step);
  std::vector<std::vector<double>> tensors = {ReadDoubles(call.input(0))};
  const size_t first = rule.counts_steps ? 4 : 3;
  for (size_t i = first; i < call.inputs.size(); ++i) tensors.push_back(ReadDoubles(call.input(i)));
  const std::vector<double> gradient = ReadDoubles(call.input(1));
  const size_t states = tensors.size() - 1;
  std::vector<double> state(states);
  for (size_t i = 0; i < gradient.size(); ++i) {
    double w = tensors[0][i];
    double g = gradient[i];
    for (size_t s = 0; s < states; ++s) state[s] = tensors[s + 1][i];
    if (clip > 0) g = std::min(std::max(g, -clip), clip);
    if (decay != 0 && decoupled) w = w * (1 - rate * decay);
    if (decay != 0 && !decoupled) g = g + decay * w;
    update(w, g, state.data());
    if (average_decay > 0) state.back() = Interpolate(state.back(), w, 1 - average_decay);
    tensors[0][i] = w;
    for (size_t s = 0; s < states; ++s) tensors[s + 1][i] = state[s];
  }
  for (size_t t = 0; t < tensors.size(); ++t) {
    WriteDoubles(tensors[t], call.output(t));
  }
  if (!GivesCopy(node)) return;
  // Of the parameter as it is stored.
  const auto to = static_cast<DType>(node.GetInt("copy_to"));
  const TensorView& copy = call.output(tensors.size());
  std::vector<uint16_t> narrow(tensors[0].size());
  ConvertElements(call.output(0).data, copy.dtype, narrow.data(), to, copy.size());
  ConvertElements(narrow.data(), to, copy.data, copy.dtype, copy.size());
}

}  // namespace

double Interpolate(double start, double end, double weight) {
  return weight < 0.5 ? start + weight * (end - start) : end - (end - start) * (1 - weight);
}

OpDefinition MakeUpdate(UpdateRule rule) {
  OpDefinition op;
  op.name = rule.name;
  op.domain = "ingot";
  op.summary = rule.summary;
  op.inputs = {Required("w"), Required("g"), Required("learning_rate", "R")};
  if (rule.counts_steps) op.inputs.push_back(Required("step", "I"));
  op.inputs.push_back(Variadic("state", "M"));
  op.outputs = {Required("w_next"), Variadic("state_next", "M")};
  op.attributes = rule.attributes;
  for (const char* name : {"weight_decay", "clip", "average_decay"}) {
    op.attributes.push_back(FloatAttribute(name, 0));
  }
  op.attributes.push_back(IntAttribute("decoupled", 0));
  op.attributes.push_back(IntAttribute("copy_to", 0));
  op.attributes.push_back(FloatAttribute("rate_factor", 1));
  op.cases = std::move(rule.cases);
  op.may_run_in_place = true;
  op.infer = [rule](InferContext& context) { InferUpdate(context, rule); };
  op.reference = [rule](const ir::ReferenceCall& call) { RunUpdate(call, rule); };
  return op;
}

OpCase RandomUpdate(std::string name, Shape shape, int64_t step, size_t states,
                    size_t signed_states, ir::Attributes attributes) {
  OpCase op_case;
  op_case.name = std::move(name);
  op_case.inputs = {Uniform(shape), Uniform(shape), Floats({}, {0.0078125})};
  if (step > 0) op_case.inputs.push_back(Integers({}, {step}));
  for (size_t s = 0; s < states; ++s) {
    op_case.inputs.push_back(s < signed_states ? Uniform(shape) : Uniform(shape, 0.01, 1));
  }
  op_case.attributes = std::move(attributes);
  op_case.outputs = 1 + states;
  op_case.gradient = false;
  return op_case;
}

}  // namespace ingot::ops
