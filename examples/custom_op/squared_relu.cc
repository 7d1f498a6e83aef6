// A program that links Ingot and adds an op of its own, with shape rule, gradient and kernel:
// SquaredRelu(x) = max(x, 0)^2 (So et al. 2021, "Primer"). Nothing in Ingot needs to change.
//
// It builds y = SquaredRelu(x), differentiates sum(y), runs both, and compares the gradient with
// finite differences.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include <ingot/base/error.h>
#include <ingot/ir/builder.h>
#include <ingot/ir/op.h>
#include <ingot/ops/interpreter.h>
#include <ingot/ops/standard_ops.h>
#include <ingot/passes/autodiff.h>

namespace {

// Row-major, one element after another; any float type, arithmetic in double.
void SquaredReluKernel(const ingot::ir::ReferenceCall& call) {
  ingot::DispatchFloat("SquaredRelu", call.input(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* x = call.input(0).as<T>();
    T* y = call.output().as<T>();
    for (int64_t i = 0; i < call.input(0).size(); ++i) {
      const double positive = std::max(0.0, static_cast<double>(x[i]));
      y[i] = static_cast<T>(positive * positive);
    }
  });
}

// dx = 2 max(x, 0) dy, as IR: the compiler optimises it like the rest of the graph.
void SquaredReluGradient(ingot::ir::GradientContext& context) {
  ingot::ir::Builder& b = context.builder();
  ingot::ir::Value* slope = b.MulScalar(b.Op("Relu", {context.input(0)}), 2);
  context.SetInputGradient(0, b.Mul(context.output_gradient(), slope));
}

ingot::ir::OpDefinition SquaredRelu() {
  ingot::ir::OpDefinition op;
  op.name = "SquaredRelu";
  op.domain = "example";
  op.summary = "max(x, 0) squared";
  op.inputs = {{.name = "x", .type_variable = "T"}};
  op.outputs = {{.name = "y", .type_variable = "T"}};
  op.infer = [](ingot::ir::InferContext& context) { context.SetOutput(0, context.input(0)); };
  op.gradient = SquaredReluGradient;
  op.reference = SquaredReluKernel;
  op.elementwise = true;
  op.may_run_in_place = true;
  return op;
}

int Run() {
  ingot::ir::OpRegistry registry = ingot::ops::StandardOps();
  registry.Add(SquaredRelu());

  ingot::ir::Graph graph("example");
  ingot::ir::Value* x =
      graph.AddInput("x", ingot::ir::Type::Tensor(ingot::DType::kF64, {"batch", 2}));
  ingot::ir::Builder builder(graph, registry);
  ingot::ir::Value* y = builder.Op("example.SquaredRelu", {x});
  graph.AddOutput(y, "y");
  const std::vector<ingot::ir::Value*> wanted = {x};
  graph.AddOutput(ingot::passes::Gradients(graph, registry, y, wanted)[0], "dx");

  const auto at = ingot::Tensor::Of<double>({3, 2}, {-1, -0.25, 0.5, 1, 1.5, 2});
  const std::map<std::string, ingot::Tensor> results = ingot::ops::Interpret(graph, {{"x", at}});
  const std::vector<double> values = results.at("y").ToDoubles();
  const std::vector<double> slopes = results.at("dx").ToDoubles();

  const double h = 1e-6;
  double worst = 0;
  std::printf("%8s %12s %12s\n", "x", "y", "dy/dx");
  for (size_t i = 0; i < values.size(); ++i) {
    const double point = at.data<double>()[i];
    const auto f = [](double v) { return std::max(0.0, v) * std::max(0.0, v); };
    worst = std::max(worst, std::abs(slopes[i] - (f(point + h) - f(point - h)) / (2 * h)));
    worst = std::max(worst, std::abs(values[i] - f(point)));
    std::printf("%8.2f %12.4f %12.4f\n", point, values[i], slopes[i]);
  }
  std::printf("largest difference from finite differences: %.1e\n", worst);
  return worst < 1e-8 ? 0 : 1;
}

}  // namespace

int main() {
  try {
    return Run();
  } catch (const ingot::Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return ingot::ExitStatus(error.code());
  }
}
