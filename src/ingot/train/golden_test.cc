// The step graphs, run by the reference kernels, against training traces and optimizer paths that
// were made with PyTorch (tests/data/golden; its README states the tolerances).
#include <cmath>
#include <map>
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
namespace {

const ir::OpRegistry& Ops() {
  static const ir::OpRegistry registry = ops::StandardOps();
  return registry;
}

formats::SafetensorsFile Golden(const std::string& name) {
  return formats::SafetensorsFile::Open(INGOT_SOURCE_DIR "/tests/data/golden/" + name +
                                        ".safetensors");
}

// PyTorch keeps a Linear's weight as [out, in].
Tensor Transposed(const Tensor& w) {
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

nn::Network MakeNetwork(const std::string& layers, const std::string& loss, nn::InputSpec x,
                        nn::InputSpec y, DType precision, const std::string& metrics = "[]") {
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

nn::OptimizerOptions Optimizer(const std::string& yaml) {
  return nn::ReadOptimizer(ParseConfig(yaml, "optimizer"));
}

void ExpectNear(const std::vector<double>& seen, const std::vector<double>& expected,
                double relative, const std::string& what) {
  ASSERT_EQ(seen.size(), expected.size()) << what;
  for (size_t i = 0; i < seen.size(); ++i) {
    const double scale = std::max(std::abs(expected[i]), 1e-3);
    ASSERT_LE(std::abs(seen[i] - expected[i]), relative * scale)
        << what << "[" << i << "]: " << seen[i] << ", expected " << expected[i];
  }
}

class LinearSgd : public testing::TestWithParam<int64_t> {};

TEST_P(LinearSgd, FollowsTheTraceInF64) {
  const formats::SafetensorsFile golden = Golden("linear_sgd");
  const nn::Network network = MakeNetwork("[{dense: 1}]", "mse", {DType::kF64, Shape{5}},
                                          {DType::kF64, Shape{1}}, DType::kF64);
  Trainer trainer(BuildStepGraph(network, Optimizer("sgd: {learning_rate: 0.1}"), 256, GetParam(),
                                 Ops(), DType::kF64));
  trainer.Set("layers.0.weight", Transposed(golden.Get("init.weight")), DType::kF64);
  trainer.Set("layers.0.bias", golden.Get("init.bias"), DType::kF64);
  const std::vector<double> losses = golden.Get("loss").ToDoubles();
  ASSERT_EQ(losses.size(), 100u);
  for (size_t s = 0; s < losses.size(); ++s) {
    const double loss = trainer.Step(golden.Get("x"), golden.Get("y"), 0.1);
    ASSERT_NEAR(loss, losses[s], 1e-9 * losses[s]) << "step " << s;
  }
  ExpectNear(trainer.Get("layers.0.weight").ToDoubles(), golden.Get("final.weight").ToDoubles(),
             1e-9, "weight");
  ExpectNear(trainer.Get("layers.0.bias").ToDoubles(), golden.Get("final.bias").ToDoubles(), 1e-9,
             "bias");
}

INSTANTIATE_TEST_SUITE_P(Shards, LinearSgd, testing::Values(1, 2, 7));

// The samples of the MNIST traces, batch by batch: file order, again and again.
class MnistBatches {
 public:
  explicit MnistBatches(DType dtype) {
    const data::IdxFiles files = data::FindIdxFiles(INGOT_SOURCE_DIR "/tests/data/mnist", "train");
    auto source = std::make_shared<data::IdxSource>(files.images, files.labels, 10);
    data::Conversion x(source->fields()[0]);
    x.Normalise(255, {}, {});
    x.Flatten();
    x.Cast(dtype);
    data::Conversion y(source->fields()[1]);
    y.Cast(DType::kI64);
    data::BatchOptions options;
    options.batch = kBatch;
    options.shuffle = false;
    options.wrap = true;
    batches_ = std::make_unique<data::Batches>(source, data::Selection::All(source->size()),
                                               std::vector<data::Conversion>{x, y}, options);
    x_ = Tensor(dtype, Shape{kBatch, 784});
    y_ = Tensor(DType::kI64, Shape{kBatch});
  }

  void Fill(int64_t step) {
    const std::vector<void*> inputs = {x_.raw(), y_.raw()};
    batches_->Fill(step, 0, kBatch, inputs);
  }
  const Tensor& x() const { return x_; }
  const Tensor& y() const { return y_; }

  static constexpr int64_t kBatch = 128;

 private:
  std::unique_ptr<data::Batches> batches_;
  Tensor x_;
  Tensor y_;
};

// The traces of the MLP by this implementation in `precision`.
std::vector<double> TrainMlp(DType precision, size_t steps, Trainer& trainer) {
  const formats::SafetensorsFile golden = Golden("mlp_adam");
  trainer.Set("layers.0.weight", Transposed(golden.Get("init.0.weight")), precision);
  trainer.Set("layers.0.bias", golden.Get("init.0.bias"), precision);
  trainer.Set("layers.2.weight", Transposed(golden.Get("init.2.weight")), precision);
  trainer.Set("layers.2.bias", golden.Get("init.2.bias"), precision);
  MnistBatches batches(precision);
  std::vector<double> losses;
  for (size_t s = 0; s < steps; ++s) {
    batches.Fill(static_cast<int64_t>(s));
    losses.push_back(trainer.Step(batches.x(), batches.y(), 0.001));
  }
  return losses;
}

Trainer MlpTrainer(DType precision, int64_t shards) {
  const nn::Network network =
      MakeNetwork("[{dense: 64}, relu, {dense: 10}]", "softmax_cross_entropy",
                  {precision, Shape{784}}, {DType::kI64, Shape{}, 10}, precision);
  return Trainer(
      BuildStepGraph(network, Optimizer("adam"), MnistBatches::kBatch, shards, Ops(), precision));
}

TEST(GoldenTest, MlpAdamFollowsTheTraceInF64) {
  const formats::SafetensorsFile golden = Golden("mlp_adam");
  const std::vector<double> expected = golden.Get("loss").ToDoubles();
  Trainer trainer = MlpTrainer(DType::kF64, 8);
  const std::vector<double> losses = TrainMlp(DType::kF64, expected.size(), trainer);
  ASSERT_EQ(losses.size(), 100u);
  for (size_t s = 0; s < losses.size(); ++s) {
    ASSERT_NEAR(losses[s], expected[s], 1e-9 * expected[s]) << "step " << s;
  }
  ExpectNear(trainer.Get("layers.0.weight").ToDoubles(),
             Transposed(golden.Get("final.0.weight")).ToDoubles(), 1e-7, "layers.0.weight");
  ExpectNear(trainer.Get("layers.2.bias").ToDoubles(), golden.Get("final.2.bias").ToDoubles(), 1e-7,
             "layers.2.bias");
}

TEST(GoldenTest, MlpAdamFollowsTheTraceInF32) {
  const formats::SafetensorsFile golden = Golden("mlp_adam");
  const std::vector<double> expected = golden.Get("loss").ToDoubles();
  const std::vector<double> expected_f32 = golden.Get("loss_f32").ToDoubles();
  double distance = 0;
  for (size_t s = 0; s < expected.size(); ++s) {
    distance = std::max(distance, std::abs(expected_f32[s] - expected[s]));
  }
  Trainer trainer = MlpTrainer(DType::kF32, 8);
  const std::vector<double> losses = TrainMlp(DType::kF32, expected.size(), trainer);
  for (size_t s = 0; s < losses.size(); ++s) {
    ASSERT_NEAR(losses[s], expected[s], std::max(10 * distance, 1e-5 * expected[s]))
        << "step " << s;
  }
}

// The path of an optimizer that minimises 0.5 * sum(a * (w - b)^2) from w0.
class OptimizerPath : public testing::TestWithParam<std::pair<const char*, const char*>> {
 protected:
  void Follow(DType dtype, double tolerance) const {
    const formats::SafetensorsFile golden = Golden("optimizers");
    const nn::OptimizerOptions options = Optimizer(GetParam().second);
    nn::ParameterSpec spec;
    spec.name = "w";
    spec.shape = golden.Get("w0").shape();
    spec.dtype = dtype;
    ir::Graph graph;
    ir::Builder builder(graph, Ops());
    const ir::Type type = ir::Type::Tensor(dtype, spec.shape);
    nn::UpdateInputs inputs;
    inputs.spec = &spec;
    inputs.parameter = graph.AddInput("w", type, ir::Role::kParameter);
    inputs.gradient = builder.Mul(
        builder.Constant(golden.Get("a").Cast(dtype)),
        builder.Sub(inputs.parameter, builder.Constant(golden.Get("b").Cast(dtype))));
    inputs.learning_rate =
        graph.AddInput("learning_rate", ir::Type::Tensor(dtype, Shape{}), ir::Role::kScalar);
    inputs.step = graph.AddInput("step", ir::Type::Tensor(DType::kI64, Shape{}), ir::Role::kScalar);
    std::map<std::string, Tensor> values = {
        {"w", golden.Get("w0").Cast(dtype)},
        {"learning_rate", Tensor::Scalar(options.learning_rate()).Cast(dtype)}};
    for (const nn::StateSpec& state : nn::StateOf(options, spec)) {
      inputs.state.push_back(graph.AddInput(state.name, type, ir::Role::kState));
      values[state.name] = Tensor(dtype, spec.shape);
    }
    const nn::UpdateOutputs outputs = nn::AddUpdate(options, builder, inputs);
    graph.AddOutput(outputs.parameter, "w");
    for (size_t i = 0; i < outputs.state.size(); ++i) {
      graph.AddOutput(outputs.state[i], inputs.state[i]->name());
    }
    const std::vector<double> path =
        golden.Get(std::string("path.") + GetParam().first).ToDoubles();
    const auto size = static_cast<size_t>(spec.shape.size());
    ASSERT_EQ(path.size(), 30 * size);
    for (size_t s = 0; s < 30; ++s) {
      values["step"] = Tensor::Scalar<int64_t>(static_cast<int64_t>(s) + 1);
      for (auto& entry : ops::Interpret(graph, values)) values[entry.first] = entry.second;
      const std::vector<double> w = values["w"].ToDoubles();
      for (size_t i = 0; i < size; ++i) {
        const double expected = path[s * size + i];
        ASSERT_NEAR(w[i], expected, tolerance * std::max(1.0, std::abs(expected)))
            << "step " << s << ", element " << i;
      }
    }
  }
};

TEST_P(OptimizerPath, IsPyTorchsInF64) {
  Follow(DType::kF64, 1e-9);
}

TEST_P(OptimizerPath, IsPyTorchsInF32) {
  Follow(DType::kF32, 2e-5);
}

INSTANTIATE_TEST_SUITE_P(
    Optimizers, OptimizerPath,
    testing::Values(std::pair{"sgd", "sgd: {learning_rate: 0.05}"},
                    std::pair{"momentum", "sgd: {learning_rate: 0.02, momentum: 0.9}"},
                    std::pair{"nesterov",
                              "sgd: {learning_rate: 0.02, momentum: 0.9, nesterov: true}"},
                    std::pair{"adam", "adam: {learning_rate: 0.1}"},
                    std::pair{"adam_amsgrad", "adam: {learning_rate: 0.1, amsgrad: true}"},
                    std::pair{"adamw", "adamw: {learning_rate: 0.1, weight_decay: 0.1}"},
                    std::pair{"nadam", "nadam: {learning_rate: 0.1}"},
                    std::pair{"radam", "radam: {learning_rate: 0.1}"},
                    std::pair{"adamax", "adamax: {learning_rate: 0.1}"},
                    std::pair{"rmsprop", "rmsprop: {learning_rate: 0.05, alpha: 0.9}"},
                    std::pair{"rmsprop_centered",
                              "rmsprop: {learning_rate: 0.05, alpha: 0.9, centered: true}"},
                    std::pair{"adagrad", "adagrad: {learning_rate: 0.5}"},
                    std::pair{"adadelta", "adadelta: {learning_rate: 1, rho: 0.9}"}),
    [](const auto& info) { return std::string(info.param.first); });

}  // namespace
}  // namespace ingot::train
