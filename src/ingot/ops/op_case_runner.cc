// Building cases, and the checks of values, types and precision.
#include "ingot/ops/op_case_runner.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "ingot/base/error.h"
#include "ingot/base/text.h"
#include "ingot/ops/broadcast.h"
#include "ingot/ops/interpreter.h"
#include "ingot/tensor/philox.h"

namespace ingot::ops {

using ir::OpCase;
using ir::OpDefinition;
using ir::OpRegistry;

namespace {

// Formulas and values worked out by hand are right to a few roundings of f64.
constexpr double kExactTolerance = 1e-9;

Tensor RandomTensor(const OpCase::Input& input, const RandomKey& key, DType dtype) {
  Tensor values(DType::kF64, input.shape);
  std::span<double> data = values.data<double>();
  const double range = input.high - input.low;
  for (size_t i = 0; i < data.size(); ++i) {
    data[i] = input.low + range * key.Uniform(i);
    if (!IsFloat(dtype)) data[i] = std::floor(input.low + (range + 1) * key.Uniform(i));
  }
  return values.Cast(dtype);
}

ir::Type TypeOf(const Tensor& tensor, Extents extents) {
  if (extents == Extents::kStatic) return ir::Type::Tensor(tensor.dtype(), tensor.shape());
  return ir::Type::Tensor(tensor.dtype(),
                          ir::Dimensions(static_cast<size_t>(tensor.shape().rank())));
}

std::string At(const Tensor& tensor, size_t flat) {
  std::vector<int64_t> index;
  auto rest = static_cast<int64_t>(flat);
  for (const int64_t stride : Strides(tensor.shape().dims())) {
    index.push_back(rest / stride);
    rest %= stride;
  }
  return Shape(std::move(index)).ToString();
}

bool SameBits(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() &&
         (a.bytes() == 0 || std::memcmp(a.raw(), b.raw(), a.bytes()) == 0);
}

}  // namespace

std::vector<Tensor> CaseInputs(const OpDefinition& op, const OpCase& op_case, DType dtype) {
  std::vector<Tensor> tensors;
  const RandomKey key(0, "case/" + op.FullName() + "/" + op_case.name);
  for (size_t i = 0; i < op_case.inputs.size(); ++i) {
    const OpCase::Input& input = op_case.inputs[i];
    const DType own = IsFloat(input.dtype) ? dtype : input.dtype;
    if (input.absent) {
      tensors.emplace_back();
    } else if (!input.value) {
      tensors.push_back(RandomTensor(input, key.Fold(i), own));
    } else {
      tensors.push_back(IsFloat(input.dtype) ? input.value->Cast(own) : *input.value);
    }
  }
  return tensors;
}

CaseGraph BuildCase(const OpRegistry& registry, const OpDefinition& op, const OpCase& op_case,
                    const std::vector<Tensor>& inputs, Extents extents) {
  CaseGraph built;
  built.graph = std::make_unique<ir::Graph>(op_case.name);
  ir::Builder builder(*built.graph, registry);
  std::vector<ir::Value*> values;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (op_case.inputs[i].absent) {
      values.push_back(nullptr);
    } else if (op_case.inputs[i].constant) {
      values.push_back(builder.Constant(inputs[i]));
    } else {
      const std::string name = "input" + std::to_string(i);
      values.push_back(built.graph->AddInput(name, TypeOf(inputs[i], extents)));
      built.inputs[name] = inputs[i];
    }
  }
  built.node = built.graph->AddNode(op, std::move(values), op_case.attributes, op_case.outputs);
  ir::InferNode(*built.node);
  for (size_t i = 0; i < op_case.outputs; ++i) {
    built.graph->AddOutput(built.node->output(i), "output" + std::to_string(i));
  }
  return built;
}

bool DependsOnType(const OpCase& op_case) {
  return std::any_of(op_case.inputs.begin(), op_case.inputs.end(), [](const OpCase::Input& input) {
    return !input.absent && IsFloat(input.dtype);
  });
}

std::vector<Tensor> RunCase(const OpRegistry& registry, const OpDefinition& op,
                            const OpCase& op_case, const std::vector<Tensor>& inputs) {
  const CaseGraph built = BuildCase(registry, op, op_case, inputs);
  std::vector<Tensor> ordered;
  for (const ir::Value* input : built.graph->inputs()) {
    ordered.push_back(built.inputs.at(input->name()));
  }
  return InterpretInOrder(*built.graph, ordered);
}

double RoundingError(DType dtype) {
  switch (dtype) {
    case DType::kF64:
      return 0x1p-53;
    case DType::kF32:
      return 0x1p-24;
    case DType::kF16:
      return 0x1p-11;
    case DType::kBf16:
      return 0x1p-8;
    default:
      return 0;
  }
}

std::string Compare(const Tensor& actual, const Tensor& expected, double relative,
                    double absolute) {
  if (actual.dtype() != expected.dtype() || actual.shape() != expected.shape()) {
    return "is " + actual.Describe() + ", expected " + expected.Describe();
  }
  const std::vector<double> got = actual.ToDoubles();
  const std::vector<double> wanted = expected.ToDoubles();
  double largest = 0;
  for (const double v : wanted) {
    if (std::isfinite(v)) largest = std::max(largest, std::fabs(v));
  }
  const double allowed = std::max(relative * largest, absolute);
  double worst = -1;
  size_t where = 0;
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (std::isnan(got[i]) && std::isnan(wanted[i])) continue;
    double difference = got[i] == wanted[i] ? 0 : std::fabs(got[i] - wanted[i]);
    if (std::isnan(difference)) difference = INFINITY;
    if (difference > worst) {
      worst = difference;
      where = i;
    }
  }
  if (worst <= allowed) return "";
  return At(expected, where) + " is " + FormatNumber(got[where]) + ", expected " +
         FormatNumber(wanted[where]) + " (differs by " + FormatNumber(worst) + ", allowed " +
         FormatNumber(allowed) + ")";
}

// ---- values ----

namespace {

void CheckFormula(const OpCase& op_case, const std::vector<Tensor>& inputs, const Tensor& output,
                  std::vector<std::string>& faults) {
  std::vector<std::vector<double>> elements;
  std::vector<StridedIndex<1>> at;
  for (const Tensor& input : inputs) {
    if (input.empty()) continue;
    elements.push_back(input.ToDoubles());
    at.emplace_back(BroadcastIndex<1>(output.shape().dims(), {input.shape().dims()}));
  }
  Tensor expected(DType::kF64, output.shape());
  std::vector<double> arguments(elements.size());
  for (double& value : expected.data<double>()) {
    for (size_t k = 0; k < elements.size(); ++k) {
      arguments[k] = elements[k][static_cast<size_t>(at[k][0])];
      at[k].Next();
    }
    value = op_case.formula(arguments);
  }
  const std::string fault = Compare(output.Cast(DType::kF64), expected, kExactTolerance, 1e-300);
  if (!fault.empty()) faults.push_back("the formula does not hold: output 0 " + fault);
}

}  // namespace

std::vector<std::string> CheckValues(const OpRegistry& registry, const OpDefinition& op,
                                     const OpCase& op_case) {
  std::vector<std::string> faults;
  const std::vector<Tensor> inputs = CaseInputs(op, op_case, DType::kF64);
  const std::vector<Tensor> outputs = RunCase(registry, op, op_case, inputs);
  if (op_case.expected.size() > outputs.size()) {
    faults.push_back("more expected outputs than outputs");
  }
  for (size_t i = 0; i < std::min(outputs.size(), op_case.expected.size()); ++i) {
    const std::vector<double>& expected = op_case.expected[i];
    if (expected.empty()) continue;
    const std::string name = "output " + std::to_string(i) + " ";
    if (static_cast<int64_t>(expected.size()) != outputs[i].size()) {
      faults.push_back(name + "is " + outputs[i].Describe() + ", expected " +
                       std::to_string(expected.size()) + " values");
      continue;
    }
    const Tensor wanted = Tensor::Of<double>(outputs[i].shape(), std::span(expected));
    const std::string fault = Compare(outputs[i].Cast(DType::kF64), wanted, kExactTolerance);
    if (!fault.empty()) faults.push_back(name + fault);
  }
  if (op_case.formula) CheckFormula(op_case, inputs, outputs.at(0), faults);
  return faults;
}

// ---- types ----

namespace {

// Whether an output of this type can be the tensor.
bool Fits(const ir::Type& type, const Tensor& tensor) {
  if (!type.is_tensor() || type.dtype() != tensor.dtype()) return false;
  if (!type.has_rank()) return true;
  if (type.rank() != tensor.shape().rank()) return false;
  for (int i = 0; i < type.rank(); ++i) {
    if (type.dim(i).is_static() && type.dim(i).value() != tensor.shape()[i]) return false;
  }
  return true;
}

void CheckInferred(const CaseGraph& built, const std::vector<Tensor>& outputs,
                   const std::string& how, std::vector<std::string>& faults) {
  for (size_t i = 0; i < outputs.size(); ++i) {
    const ir::Type& type = built.node->output(i)->type();
    if (Fits(type, outputs[i])) continue;
    faults.push_back("output " + std::to_string(i) + " is " + outputs[i].Describe() +
                     ", but with " + how + " extents its type is inferred as " + type.ToString());
  }
}

}  // namespace

std::vector<std::string> CheckTypes(const OpRegistry& registry, const OpDefinition& op,
                                    const OpCase& op_case) {
  std::vector<std::string> faults;
  const std::vector<Tensor> inputs = CaseInputs(op, op_case, DType::kF32);
  const std::vector<Tensor> outputs = RunCase(registry, op, op_case, inputs);
  const CaseGraph fixed = BuildCase(registry, op, op_case, inputs);
  CheckInferred(fixed, outputs, "static", faults);
  const CaseGraph open = BuildCase(registry, op, op_case, inputs, Extents::kUnknown);
  CheckInferred(open, outputs, "unknown", faults);
  if (!op.dynamic_reference) return faults;
  const std::vector<Tensor> dynamic = op.dynamic_reference(*fixed.node, inputs);
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (i < dynamic.size() && SameBits(dynamic[i], outputs[i])) continue;
    faults.push_back("output " + std::to_string(i) + " of the dynamic reference is another one");
  }
  return faults;
}

// ---- precision ----

namespace {

// The smallest positive number of a type: what a rounding may lose near 0.
double SmallestStep(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return 0x1p-149;
    case DType::kF16:
      return 0x1p-24;
    case DType::kBf16:
      return 0x1p-133;
    default:
      return 0;
  }
}

// f64 beyond the range of a type becomes infinite there.
Tensor RoundedTo(const Tensor& tensor, DType dtype) {
  return tensor.dtype() == DType::kF64 ? tensor.Cast(dtype) : tensor;
}

void CheckPrecisionOf(DType dtype, const OpRegistry& registry, const OpDefinition& op,
                      const OpCase& op_case, std::vector<std::string>& faults) {
  const std::vector<Tensor> inputs = CaseInputs(op, op_case, dtype);
  std::vector<Tensor> widened = inputs;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i].empty() && IsFloat(op_case.inputs[i].dtype)) {
      widened[i] = inputs[i].Cast(DType::kF64);
    }
  }
  const std::vector<Tensor> outputs = RunCase(registry, op, op_case, inputs);
  const std::vector<Tensor> expected = RunCase(registry, op, op_case, widened);
  for (size_t i = 0; i < outputs.size(); ++i) {
    // f64 itself is rounded at every step, so a result near the middle of two numbers may go to
    // the other one: a whole step of the type is allowed, not half of one.
    const Tensor wanted =
        IsFloat(outputs[i].dtype()) ? RoundedTo(expected[i], outputs[i].dtype()) : expected[i];
    const std::string fault = Compare(outputs[i], wanted, 2 * RoundingError(dtype),
                                      IsFloat(outputs[i].dtype()) ? SmallestStep(dtype) : 0);
    if (fault.empty()) continue;
    faults.push_back("in " + std::string(Name(dtype)) + ", against f64, output " +
                     std::to_string(i) + " " + fault);
  }
}

}  // namespace

std::vector<std::string> CheckPrecision(const OpRegistry& registry, const OpDefinition& op,
                                        const OpCase& op_case) {
  std::vector<std::string> faults;
  if (!DependsOnType(op_case)) return faults;
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBf16}) {
    CheckPrecisionOf(dtype, registry, op, op_case, faults);
  }
  return faults;
}

std::vector<std::string> CheckCase(const OpRegistry& registry, const OpDefinition& op,
                                   const OpCase& op_case) {
  std::vector<std::string> faults;
  for (const auto check : {CheckValues, CheckTypes, CheckPrecision, CheckGradient}) {
    try {
      for (std::string& fault : check(registry, op, op_case)) faults.push_back(std::move(fault));
    } catch (const Error& error) {
      faults.push_back(std::string("failed: ") + error.what());
    }
  }
  return faults;
}

}  // namespace ingot::ops
