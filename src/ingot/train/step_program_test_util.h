// Steps of small jobs for tests: built from layers, run by the engine and by the interpreter.
#pragma once

#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "ingot/base/config.h"
#include "ingot/compiler/compile.h"
#include "ingot/nn/network.h"
#include "ingot/nn/optimizer.h"
#include "ingot/ops/interpreter.h"
#include "ingot/ops/standard_ops.h"
#include "ingot/runtime/step_engine.h"
#include "ingot/tensor/philox.h"
#include "ingot/train/step_graph.h"

namespace ingot::train {

inline const ir::OpRegistry& StepTestOps() {
  static const ir::OpRegistry registry = ops::StandardOps();
  return registry;
}

// A network as a job would describe it; x and y are given for one sample.
struct StepTestNetwork {
  std::string name;
  std::string layers;
  std::string loss;
  std::string metrics = "[]";
  Shape x = Shape{6};
  Shape y = Shape{};
  int64_t classes = 3;               // 0: y are floats
  DType x_type = DType::kUndefined;  // undefined: the precision
};

inline nn::Network BuildStepTestNetwork(const StepTestNetwork& description, DType precision,
                                        bool training = true) {
  nn::NetworkOptions options;
  options.model.layers = ParseConfig(description.layers, "layers");
  options.loss = ParseConfig(description.loss, "loss");
  options.metrics = ParseConfig(description.metrics, "metrics");
  options.x = {description.x_type == DType::kUndefined ? precision : description.x_type,
               description.x};
  options.y = {description.classes > 0 ? DType::kI64 : precision, description.y,
               description.classes};
  options.training = training;
  options.precision = precision;
  return nn::BuildNetwork(options, StepTestOps());
}

// The data inputs "x" and "y" of a step graph: another random batch for each step.
class StepTestData : public runtime::BatchSource {
 public:
  StepTestData(const ir::Graph& step, int64_t classes, int64_t steps) {
    for (int64_t s = 0; s < steps; ++s) {
      batches_.emplace_back();
      for (const ir::Value* input : step.inputs()) {
        if (input->role() == ir::Role::kData) {
          batches_.back().emplace_back(input->name(), Random(*input, classes, s));
        }
      }
    }
  }

  void Fill(int64_t step, int64_t first, int64_t count,
            std::span<void* const> inputs) const override {
    for (size_t i = 0; i < inputs.size(); ++i) {
      const Tensor& batch = Batch(step)[i].second;
      const size_t row = batch.bytes() / static_cast<size_t>(batch.shape()[0]);
      std::memcpy(inputs[i], batch.raw() + static_cast<size_t>(first) * row,
                  static_cast<size_t>(count) * row);
    }
  }

  const std::vector<std::pair<std::string, Tensor>>& Batch(int64_t step) const {
    return batches_[static_cast<size_t>(step) % batches_.size()];
  }

 private:
  static Tensor Random(const ir::Value& input, int64_t classes, int64_t step) {
    Tensor values(DType::kF64, input.type().shape());
    const RandomKey key = RandomKey(7, input.name()).Fold(static_cast<uint64_t>(step));
    std::span<double> data = values.data<double>();
    const DType dtype = input.type().dtype();
    for (size_t i = 0; i < data.size(); ++i) {
      const double u = key.Uniform(i);
      const double whole = input.name() == "y" ? static_cast<double>(classes) : 256;
      // Targets that are floats lie in [0, 1): they suit every loss.
      data[i] = IsInteger(dtype) ? std::floor(whole * u) : input.name() == "y" ? u : 2 * u - 1;
    }
    // In f64 too the numbers are those of f32, so that precisions see the same data.
    return (dtype == DType::kF64 ? values.Cast(DType::kF32) : values).Cast(dtype);
  }

  std::vector<std::vector<std::pair<std::string, Tensor>>> batches_;
};

// What a run gives.
struct StepTestOutcome {
  std::map<std::string, Tensor> states;
  std::vector<std::vector<double>> sums;                // of each step, in the order of the names
  std::vector<std::map<std::string, Tensor>> row_sets;  // of each step, by name
  runtime::StepResult result;
};

constexpr uint64_t kStepTestSeed = 11;

inline std::map<std::string, Tensor> InitialStates(const StepGraph& step) {
  std::map<std::string, Tensor> states;
  for (const nn::ParameterSpec& p : step.parameters) states[p.name] = nn::InitialValue(p, 1);
  for (const nn::StateSpec& s : step.state) {
    const std::vector<double> values(static_cast<size_t>(s.shape.size()), s.initial);
    states[s.name] = Tensor::Of<double>(s.shape, std::span(values)).Cast(s.dtype);
    if (!s.copy_of.empty()) states[s.name] = states.at(s.copy_of).Cast(s.copy_to).Cast(s.dtype);
    if (!s.average_of.empty()) states[s.name] = states.at(s.average_of);
  }
  return states;
}

// The interpreter's outcome of steps [0, count) of one graph.
inline StepTestOutcome InterpretSteps(const StepGraph& step, const StepTestData& data,
                                      int64_t count, float learning_rate, int64_t accumulate = 1) {
  StepTestOutcome outcome;
  outcome.states = InitialStates(step);
  for (int64_t s = 0; s < count; ++s) {
    std::map<std::string, Tensor> inputs = outcome.states;
    for (const auto& [name, tensor] : data.Batch(s)) inputs[name] = tensor;
    for (const ir::Value* input : step.graph->inputs()) {
      if (input->name() == "learning_rate") {
        inputs["learning_rate"] = Tensor::Scalar(learning_rate).Cast(input->type().dtype());
      } else if (input->name() == "step") {
        inputs["step"] = Tensor::Scalar<int64_t>(s / accumulate + 1);
      } else if (input->name() == kContinues || input->name() == kWaits) {
        const int64_t at = input->name() == kContinues ? s : s + 1;
        inputs[input->name()] = Tensor::Scalar(at % accumulate != 0 ? 1.0f : 0.0f);
      } else if (input->name() == "random_key") {
        inputs["random_key"] =
            Tensor::Of<int64_t>({3}, {static_cast<int64_t>(kStepTestSeed), s, 0});
      }
    }
    const std::map<std::string, Tensor> outputs = ops::Interpret(*step.graph, inputs);
    for (auto& entry : outcome.states) {
      if (outputs.count(entry.first) > 0) entry.second = outputs.at(entry.first);
    }
    outcome.sums.emplace_back();
    for (const std::string& name : step.sums) {
      outcome.sums.back().push_back(outputs.at(name).ToDoubles()[0]);
    }
    outcome.row_sets.emplace_back();
    for (const std::string& name : step.rows) outcome.row_sets.back()[name] = outputs.at(name);
  }
  return outcome;
}

// A request of `count` steps from 0 whose sums and rows go to `outcome`, in the order of `step`.
inline runtime::StepRequest StepTestRequest(const StepGraph& step, const compiler::StepPlan& plan,
                                            const runtime::BatchSource& data, int64_t count,
                                            float learning_rate, StepTestOutcome& outcome,
                                            int64_t accumulate = 1) {
  runtime::StepRequest request;
  request.steps_per_update = accumulate;
  request.count = count;
  request.source = &data;
  request.seed = kStepTestSeed;
  request.scalars = [learning_rate, accumulate](int64_t s, std::span<float> scalars) {
    scalars[0] = learning_rate;
    if (scalars.size() < 3) return;
    scalars[1] = s % accumulate != 0 ? 1.0f : 0.0f;
    scalars[2] = (s + 1) % accumulate != 0 ? 1.0f : 0.0f;
  };
  request.on_sums = [&outcome, &plan, &step](int64_t, std::span<const float> sums) {
    std::map<std::string, double> by_name;
    for (size_t i = 0; i < sums.size(); ++i) by_name[plan.sums.at(i)] = sums[i];
    outcome.sums.emplace_back();
    for (const std::string& name : step.sums) outcome.sums.back().push_back(by_name.at(name));
  };
  if (!plan.rows.empty()) {
    request.on_rows = [&outcome, &plan](int64_t, std::span<const TensorView> rows) {
      outcome.row_sets.emplace_back();
      for (size_t i = 0; i < rows.size(); ++i) {
        Tensor tensor(rows[i].dtype,
                      Shape(std::vector<int64_t>(rows[i].dims.begin(), rows[i].dims.end())));
        std::memcpy(tensor.raw(), rows[i].data, tensor.bytes());
        outcome.row_sets.back()[plan.rows.at(i)] = std::move(tensor);
      }
    };
  }
  return request;
}

inline void ReadStates(const runtime::StepEngine& engine, StepTestOutcome& outcome) {
  for (const std::string& name : engine.StateNames()) outcome.states[name] = engine.ReadState(name);
}

// The engine's outcome of the same steps.
inline StepTestOutcome RunSteps(const StepGraph& step, const StepTestData& data, int64_t count,
                                float learning_rate, int threads,
                                const compiler::CompileOptions& options = {},
                                int64_t accumulate = 1) {
  const auto program = compiler::CompileStep(*step.graph, StepTestOps(), options);
  runtime::StepEngine engine({program}, threads);
  for (const auto& [name, tensor] : InitialStates(step)) engine.WriteState(name, tensor);
  StepTestOutcome outcome;
  outcome.result = engine.Run(StepTestRequest(step, compiler::PlanOf(*program), data, count,
                                              learning_rate, outcome, accumulate));
  ReadStates(engine, outcome);
  return outcome;
}

}  // namespace ingot::train
