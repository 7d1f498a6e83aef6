// What the tests against recorded training traces (tests/data/golden) share: reading a trace, the
// samples that it saw, and a trainer that runs a step graph by the reference kernels.
#pragma once

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "ingot/base/config.h"
#include "ingot/data/batches.h"
#include "ingot/data/idx_source.h"
#include "ingot/formats/safetensors.h"
#include "ingot/nn/network.h"
#include "ingot/nn/optimizer.h"
#include "ingot/ops/interpreter.h"
#include "ingot/ops/standard_ops.h"
#include "ingot/train/step_graph.h"

namespace ingot::train {

inline const ir::OpRegistry& Ops() {
  static const ir::OpRegistry registry = ops::StandardOps();
  return registry;
}

inline formats::SafetensorsFile Golden(const std::string& name) {
  return formats::SafetensorsFile::Open(INGOT_SOURCE_DIR "/tests/data/golden/" + name +
                                        ".safetensors");
}

// PyTorch keeps a Linear's weight as [out, in].
inline Tensor Transposed(const Tensor& w) {
  const int64_t rows = w.shape()[0];
  const int64_t columns = w.shape()[1];
  const std::vector<double> from = w.ToDoubles();
  std::vector<double> to(from.size());
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      to[static_cast<size_t>(c * rows + r)] = from[static_cast<size_t>(r * columns + c)];
    }
  }
  return Tensor::Of<double>(Shape{columns, rows}, std::span<const double>(to));
}

inline nn::Network MakeNetwork(const std::string& layers, const std::string& loss, nn::InputSpec x,
                               nn::InputSpec y, DType precision,
                               const std::string& metrics = "[]") {
  nn::NetworkOptions options;
  options.model = nn::ModelTable().Read(ParseConfig(layers, "model"));
  options.loss = ConfigNode::Scalar(loss);
  options.metrics = ParseConfig(metrics, "metrics");
  options.x = std::move(x);
  options.y = std::move(y);
  options.training = true;
  options.precision = precision;
  return nn::BuildNetwork(options, Ops());
}

// Runs a step graph with the interpreter and keeps its parameters and state between steps.
class Trainer {
 public:
  explicit Trainer(StepGraph step) : step_(std::move(step)) {
    for (const nn::StateSpec& state : step_.state) {
      values_[state.name] = Tensor(state.dtype, state.shape);
    }
  }

  void Set(const std::string& name, const Tensor& value, DType dtype) {
    values_[name] = value.Cast(dtype);
  }
  const Tensor& Get(const std::string& name) const { return values_.at(name); }

  // Returns the mean loss of the batch before the update.
  double Step(const Tensor& x, const Tensor& y, double learning_rate) {
    ++steps_;
    std::map<std::string, Tensor> inputs = values_;
    inputs["x"] = x;
    inputs["y"] = y;
    const DType precision = step_.parameters[0].dtype;
    inputs["learning_rate"] = Tensor::Scalar<double>(learning_rate).Cast(precision);
    if (step_.graph->FindInput("step") != nullptr) {
      inputs["step"] = Tensor::Scalar<int64_t>(steps_);
    }
    const std::map<std::string, Tensor> outputs = ops::Interpret(*step_.graph, inputs);
    for (auto& entry : values_) entry.second = outputs.at(entry.first);
    return outputs.at("loss_sum").ToDoubles()[0] / outputs.at("weight_sum").ToDoubles()[0];
  }

 private:
  StepGraph step_;
  std::map<std::string, Tensor> values_;
  int64_t steps_ = 0;
};

inline nn::OptimizerOptions Optimizer(const std::string& yaml) {
  return nn::ReadOptimizer(ParseConfig(yaml, "optimizer"));
}

inline void ExpectNear(const std::vector<double>& seen, const std::vector<double>& expected,
                       double relative, const std::string& what) {
  ASSERT_EQ(seen.size(), expected.size()) << what;
  for (size_t i = 0; i < seen.size(); ++i) {
    const double scale = std::max(std::abs(expected[i]), 1e-3);
    ASSERT_LE(std::abs(seen[i] - expected[i]), relative * scale)
        << what << "[" << i << "]: " << seen[i] << ", expected " << expected[i];
  }
}

// The samples of the MNIST traces, batch by batch: in the order of the file, again and again.
inline std::unique_ptr<data::Batches> MnistTraceBatches(DType dtype, int64_t batch) {
  const data::IdxFiles files = data::FindIdxFiles(INGOT_SOURCE_DIR "/tests/data/mnist", "train");
  auto source = std::make_shared<data::IdxSource>(files.images, files.labels, 10);
  data::Conversion x(source->fields()[0]);
  x.Normalise(255, {}, {});
  x.Flatten();
  x.Cast(dtype);
  data::Conversion y(source->fields()[1]);
  y.Cast(DType::kI64);
  data::BatchOptions options;
  options.batch = batch;
  options.shuffle = false;
  options.wrap = true;
  return std::make_unique<data::Batches>(source, data::Selection::All(source->size()),
                                         std::vector<data::Conversion>{x, y}, options);
}

// The same as tensors; a sample's pixels under any shape.
class MnistBatches {
 public:
  MnistBatches(DType dtype, int64_t batch, const Shape& sample)
      : batch_(batch), batches_(MnistTraceBatches(dtype, batch)) {
    std::vector<int64_t> dims = {batch};
    for (const int64_t extent : sample.dims()) dims.push_back(extent);
    x_ = Tensor(dtype, Shape(dims));
    y_ = Tensor(DType::kI64, Shape{batch});
  }

  void Fill(int64_t step) {
    const std::vector<void*> inputs = {x_.raw(), y_.raw()};
    batches_->Fill(step, 0, batch_, inputs);
  }
  const Tensor& x() const { return x_; }
  const Tensor& y() const { return y_; }

 private:
  int64_t batch_;
  std::unique_ptr<data::Batches> batches_;
  Tensor x_;
  Tensor y_;
};

// Within the tolerances of tests/data/golden/README.md.
inline void ExpectFollowsF64(const formats::SafetensorsFile& golden,
                             const std::vector<double>& losses) {
  const std::vector<double> expected = golden.Get("loss").ToDoubles();
  ASSERT_EQ(losses.size(), expected.size());
  for (size_t s = 0; s < losses.size(); ++s) {
    ASSERT_NEAR(losses[s], expected[s], 1e-9 * expected[s]) << "step " << s;
  }
}

inline void ExpectFollowsF32(const formats::SafetensorsFile& golden,
                             const std::vector<double>& losses) {
  const std::vector<double> expected = golden.Get("loss").ToDoubles();
  const std::vector<double> expected_f32 = golden.Get("loss_f32").ToDoubles();
  ASSERT_EQ(losses.size(), expected.size());
  double distance = 0;
  for (size_t s = 0; s < expected.size(); ++s) {
    distance = std::max(distance, std::abs(expected_f32[s] - expected[s]));
  }
  for (size_t s = 0; s < losses.size(); ++s) {
    ASSERT_NEAR(losses[s], expected[s], std::max(10 * distance, 1e-5 * expected[s]))
        << "step " << s;
  }
}

}  // namespace ingot::train
