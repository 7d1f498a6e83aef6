// Networks from YAML and their evaluation by the interpreter, for tests.
#pragma once

#include <map>
#include <string>

#include <gtest/gtest.h>

#include "ingot/base/error.h"
#include "ingot/nn/network.h"
#include "ingot/ops/interpreter.h"
#include "ingot/ops/standard_ops.h"

namespace ingot::nn {

inline const ir::OpRegistry& Ops() {
  static const ir::OpRegistry registry = ops::StandardOps();
  return registry;
}

struct Spec {
  std::string layers;
  std::string blocks = "";
  std::string loss = "softmax_cross_entropy";
  std::string metrics = "[]";
  InputSpec x = {DType::kF32, Shape{4}};
  InputSpec y = {DType::kI64, Shape{}, 3};
  bool training = false;
  std::vector<double> class_weights = {};
};

inline Network Build(const Spec& spec) {
  NetworkOptions options;
  options.model = ModelTable().Read(ParseConfig(
      "layers: " + spec.layers + (spec.blocks.empty() ? "" : "\nblocks: " + spec.blocks),
      "job.yaml"));
  if (!spec.loss.empty()) options.loss = ParseConfig(spec.loss, "job.yaml");
  options.metrics = ParseConfig(spec.metrics, "job.yaml");
  options.x = spec.x;
  options.y = spec.y;
  options.training = spec.training;
  options.class_weights = spec.class_weights;
  return BuildNetwork(options, Ops());
}

inline Error Thrown(const Spec& spec) {
  try {
    Build(spec);
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "nothing was thrown";
  return Error(ErrorCode::kInternal, "");
}

// Runs a network; the parameters are those of seed 1.
inline std::map<std::string, Tensor> Evaluate(const Network& network, const Tensor& x,
                                              const Tensor& y, int64_t seed = 1) {
  std::map<std::string, Tensor> inputs = {{"x", x}};
  if (network.graph->FindInput("y") != nullptr) inputs["y"] = y;
  if (network.graph->FindInput("random_key") != nullptr) {
    inputs["random_key"] = Tensor::Of<int64_t>({3}, {seed, 0, 0});
  }
  for (const ParameterSpec& p : network.parameters) inputs[p.name] = InitialValue(p, 1);
  return ops::Interpret(*network.graph, inputs);
}

}  // namespace ingot::nn
