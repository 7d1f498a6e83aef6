// The check of gradient rules: central differences in f64 of a random projection of the outputs.
#include <algorithm>
#include <cmath>
#include <utility>

#include "ingot/ops/interpreter.h"
#include "ingot/ops/op_case_runner.h"
#include "ingot/tensor/philox.h"

namespace ingot::ops {

using ir::OpCase;
using ir::OpDefinition;
using ir::OpRegistry;

namespace {

constexpr double kStep = 1e-5;
// Central differences are off by kStep^2 times the third derivative, and by the rounding of the
// loss over kStep.
constexpr double kTolerance = 1e-5;
constexpr double kSmallestTolerance = 1e-7;
// Elements of one input that are looked at; they are spread over it.
constexpr size_t kMostElements = 60;

bool IsChecked(const OpCase::Input& input) {
  return input.differentiable && IsFloat(input.dtype) && !input.constant && !input.absent;
}

// The directions in which the outputs are projected; empty for those that take no part.
std::vector<Tensor> Directions(const std::vector<Tensor>& outputs,
                               const std::vector<bool>& takes_part) {
  std::vector<Tensor> directions(outputs.size());
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (!takes_part[i]) continue;
    directions[i] = Tensor(DType::kF64, outputs[i].shape());
    const RandomKey key(0, "direction", i);
    std::span<double> data = directions[i].data<double>();
    for (size_t j = 0; j < data.size(); ++j) data[j] = 2 * key.Uniform(j) - 1;
  }
  return directions;
}

// The scalar loss, and how large its terms are (the scale of its rounding error).
struct Loss {
  double value = 0;
  double scale = 0;
};

Loss Project(const std::vector<Tensor>& outputs, const std::vector<Tensor>& directions) {
  Loss loss;
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (directions[i].empty()) continue;
    const std::vector<double> values = outputs[i].ToDoubles();
    const std::span<const double> weights = std::as_const(directions[i]).data<double>();
    for (size_t j = 0; j < values.size(); ++j) {
      loss.value += weights[j] * values[j];
      loss.scale += std::fabs(weights[j] * values[j]);
    }
  }
  return loss;
}

// A case's graph with its gradients: output "gradient I" for each input that has one.
CaseGraph WithGradients(const OpRegistry& registry, const OpDefinition& op, const OpCase& op_case,
                        const std::vector<Tensor>& inputs, const std::vector<Tensor>& directions,
                        Extents extents) {
  CaseGraph built = BuildCase(registry, op, op_case, inputs, extents);
  std::vector<ir::Value*> output_gradients(op_case.outputs, nullptr);
  for (size_t i = 0; i < directions.size(); ++i) {
    if (directions[i].empty()) continue;
    const std::string name = "direction" + std::to_string(i);
    const ir::Value* output = built.node->output(i);
    output_gradients[i] = built.graph->AddInput(name, output->type());
    built.inputs[name] = directions[i].Cast(output->type().dtype());
  }
  std::vector<bool> wanted;
  for (const OpCase::Input& input : op_case.inputs) wanted.push_back(IsChecked(input));
  ir::Builder builder(*built.graph, registry);
  ir::GradientContext context(*built.node, builder, output_gradients, wanted);
  op.gradient(context);
  for (size_t i = 0; i < wanted.size(); ++i) {
    ir::Value* gradient = context.input_gradients()[i];
    if (gradient != nullptr) built.graph->AddOutput(gradient, "gradient" + std::to_string(i));
  }
  return built;
}

class GradientCheck {
 public:
  GradientCheck(const OpRegistry& registry, const OpDefinition& op, const OpCase& op_case)
      : registry_(registry), op_(op), op_case_(op_case) {}

  std::vector<std::string> Run() {
    const std::vector<Tensor> inputs = CaseInputs(op_, op_case_, DType::kF64);
    const std::vector<Tensor> outputs = RunCase(registry_, op_, op_case_, inputs);
    std::vector<bool> floats;
    for (const Tensor& output : outputs) floats.push_back(IsFloat(output.dtype()));
    CheckOutputs(inputs, Directions(outputs, floats), "");
    for (size_t i = 0; outputs.size() > 1 && i < outputs.size(); ++i) {
      std::vector<bool> alone(outputs.size(), false);
      alone[i] = floats[i];
      if (floats[i]) {
        CheckOutputs(inputs, Directions(outputs, alone), " of output " + std::to_string(i));
      }
    }
    CheckOtherTypes(Directions(outputs, floats));
    return std::move(faults_);
  }

 private:
  void CheckOutputs(const std::vector<Tensor>& inputs, const std::vector<Tensor>& directions,
                    const std::string& of) {
    const auto gradients = Gradients(inputs, directions, Extents::kStatic);
    const auto open = Gradients(inputs, directions, Extents::kUnknown);
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (!IsChecked(op_case_.inputs[i])) continue;
      const std::string name = "the gradient" + of + " for input " + std::to_string(i);
      const Tensor& gradient = gradients[i];
      const std::string fault = Compare(open[i], gradient, 1e-12, 1e-300);
      if (!fault.empty()) Fault(name + ", built with unknown extents, against static: " + fault);
      if (gradient.shape() != inputs[i].shape() || gradient.dtype() != DType::kF64) {
        Fault(name + " is " + gradient.Describe() + ", expected " + inputs[i].Describe());
      } else {
        CheckElements(inputs, directions, i, gradient, name);
      }
    }
  }

  // One for each input; zeros where the rule gives none.
  std::vector<Tensor> Gradients(const std::vector<Tensor>& inputs,
                                const std::vector<Tensor>& directions, Extents extents) {
    const CaseGraph built = WithGradients(registry_, op_, op_case_, inputs, directions, extents);
    const std::map<std::string, Tensor> results = Interpret(*built.graph, built.inputs);
    std::vector<Tensor> gradients;
    for (size_t i = 0; i < inputs.size(); ++i) {
      const auto found = results.find("gradient" + std::to_string(i));
      if (found != results.end()) {
        gradients.push_back(found->second);
      } else {
        gradients.push_back(inputs[i].empty() ? Tensor() : Tensor(DType::kF64, inputs[i].shape()));
      }
    }
    return gradients;
  }

  void CheckElements(const std::vector<Tensor>& inputs, const std::vector<Tensor>& directions,
                     size_t input, const Tensor& gradient, const std::string& name) {
    const std::span<const double> analytic = gradient.data<double>();
    double largest = 0;
    for (const double v : analytic) largest = std::max(largest, std::fabs(v));
    const size_t stride = analytic.size() / kMostElements + 1;
    for (size_t j = 0; j < analytic.size(); j += stride) {
      std::vector<Tensor> moved = inputs;
      moved[input] = inputs[input].Clone();
      double& element = moved[input].data<double>()[j];
      const double before = element;
      const double step = kStep * std::max(1.0, std::fabs(before));
      element = before + step;
      const Loss above = LossOf(moved, directions);
      element = before - step;
      const Loss below = LossOf(moved, directions);
      const double numeric = (above.value - below.value) / (2 * step);
      const double allowed = kTolerance * std::max(largest, std::fabs(numeric)) +
                             kSmallestTolerance + 1e-15 * above.scale / step;
      const double difference = std::fabs(numeric - analytic[j]);
      if (difference <= allowed) continue;
      Fault(name + " is " + std::to_string(analytic[j]) + " at element " + std::to_string(j) +
            ", but finite differences give " + std::to_string(numeric));
      return;
    }
  }

  Loss LossOf(const std::vector<Tensor>& inputs, const std::vector<Tensor>& directions) {
    return Project(RunCase(registry_, op_, op_case_, inputs), directions);
  }

  // The rule must not mix types, whatever the type is.
  void CheckOtherTypes(const std::vector<Tensor>& directions) {
    for (const DType dtype : {DType::kF32, DType::kF16, DType::kBf16}) {
      const std::vector<Tensor> inputs = CaseInputs(op_, op_case_, dtype);
      const CaseGraph built =
          WithGradients(registry_, op_, op_case_, inputs, directions, Extents::kStatic);
      for (const auto& [name, gradient] : Interpret(*built.graph, built.inputs)) {
        if (name.rfind("gradient", 0) != 0) continue;
        const size_t i = std::stoul(name.substr(8));
        if (gradient.dtype() == inputs[i].dtype()) continue;
        Fault("the " + name + " of " + inputs[i].Describe() + " is " + gradient.Describe());
      }
    }
  }

  void Fault(std::string fault) { faults_.push_back(std::move(fault)); }

  const OpRegistry& registry_;
  const OpDefinition& op_;
  const OpCase& op_case_;
  std::vector<std::string> faults_;
};

}  // namespace

std::vector<std::string> CheckGradient(const OpRegistry& registry, const OpDefinition& op,
                                       const OpCase& op_case) {
  const bool has_inputs = std::any_of(op_case.inputs.begin(), op_case.inputs.end(), IsChecked);
  if (!op.gradient || !op_case.gradient || !has_inputs) return {};
  return GradientCheck(registry, op, op_case).Run();
}

}  // namespace ingot::ops
