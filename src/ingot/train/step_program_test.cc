// Whole steps, compiled and run by the engine, against the interpreter on the same graph: networks,
// losses, optimizers, ragged batches, shards, passes, threads.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "ingot/ops/op_case_runner.h"
#include "ingot/passes/pass.h"
#include "ingot/train/step_program_test_util.h"

namespace ingot::train {
namespace {

const std::vector<StepTestNetwork>& Networks() {
  static const std::vector<StepTestNetwork> networks = {
      {"relu", "[{dense: 16}, relu, {dense: 3}]", "softmax_cross_entropy", "[accuracy]"},
      {"activations",
       "[{dense: 9}, sigmoid, {dense: 7}, tanh, {dense: 5}, gelu, {dense: 8}, {elu: 0.7}, "
       "{dense: 6}, {leaky_relu: 0.2}, {dense: 5}, {gelu: {approximate: tanh}}, {dense: 3}]",
       "softmax_cross_entropy", "[accuracy, {top_k: 2}]"},
      {"dropout", "[{dense: 16}, relu, {dropout: 0.3}, {dense: 8}, {dropout: 0.5}, {dense: 3}]",
       "softmax_cross_entropy", "[accuracy]"},
      {"dropout_first", "[{dropout: 0.2}, {dense: 3}]", "softmax_cross_entropy"},
      {"label_smoothing", "[{dense: 8}, tanh, {dense: 3}]",
       "{softmax_cross_entropy: {label_smoothing: 0.1}}", "[accuracy]"},
      {"softmax", "[{dense: 8}, relu, {dense: {units: 3, activation: softmax}}]",
       "softmax_cross_entropy", "[accuracy]"},
      {"mse", "[{dense: 8}, tanh, {dense: 2}]", "mse", "[mae, rmse]", Shape{6}, Shape{2}, 0},
      {"mae", "[{dense: 8}, sigmoid, {dense: 2}]", "mae", "[mae]", Shape{6}, Shape{2}, 0},
      {"huber", "[{dense: 8}, relu, {dense: 2}]", "{huber: 0.5}", "[rmse]", Shape{6}, Shape{2}, 0},
      {"binary", "[{dense: 8}, relu, {dense: 2}]", "binary_cross_entropy", "[]", Shape{6}, Shape{2},
       0},
      {"linear", "[{dense: 1}]", "mse", "[mae]", Shape{5}, Shape{1}, 0},
      {"linear_scalar", "[{dense: 1}]", "mse", "[mae]", Shape{5}, Shape{}, 0},
      {"images", "[flatten, {dense: 16}, relu, {dense: 10}]", "softmax_cross_entropy", "[accuracy]",
       Shape{28, 28}, Shape{}, 10},
      {"reshaped", "[{reshape: [2, 3]}, flatten, relu, {dense: 4}, {dense: 3}]",
       "softmax_cross_entropy", "[accuracy]"},
      {"deep",
       "[{dense: 8}, relu, {dense: 8}, relu, {dense: 8}, relu, {dense: 8}, relu, "
       "{dense: 3}]",
       "softmax_cross_entropy", "[accuracy]"},
  };
  return networks;
}

struct OptimizerCase {
  const char* name;
  const char* yaml;
};

const std::vector<OptimizerCase>& Optimizers() {
  static const std::vector<OptimizerCase> optimizers = {
      {"sgd", "sgd"},
      {"momentum", "sgd: {momentum: 0.9, weight_decay: 0.01}"},
      {"nesterov", "sgd: {momentum: 0.9, nesterov: true}"},
      {"adam", "adam: {weight_decay: 0.01}"},
      {"adamw", "adamw: {weight_decay: 0.05, decay: matrices}"},
      {"amsgrad", "adam: {amsgrad: true, groups: [{match: '*', learning_rate_factor: 0.5}]}"},
      {"rmsprop", "rmsprop: {momentum: 0.5, centered: true}"},
      {"adagrad", "adagrad: {weight_decay: 0.01}"},
      {"adadelta", "adadelta"},
      {"adamax", "adamax"},
      {"nadam", "nadam"},
      {"radam", "radam: {beta2: 0.5}"},
      {"lion", "lion: {weight_decay: 0.1}"},
      {"lamb", "lamb: {weight_decay: 0.1, decay: matrices}"},
      {"lars", "lars: {weight_decay: 0.1, trust: 0.1}"},
  };
  return optimizers;
}

nn::OptimizerOptions Optimizer(const std::string& yaml) {
  return nn::ReadOptimizer(ParseConfig(yaml, "optimizer"));
}

// Every batch with several numbers of shards, ragged ones among them.
const std::vector<std::pair<int64_t, int64_t>>& Cuts() {
  static const std::vector<std::pair<int64_t, int64_t>> cuts = {
      {7, 1},  {7, 2},  {7, 5},   {7, 7},   {13, 1},  {13, 3}, {13, 4},
      {13, 6}, {13, 9}, {128, 1}, {128, 4}, {128, 8}, {128, 9}};
  return cuts;
}

constexpr float kLearningRate = 0.01f;

double Tolerance(DType precision) {
  return precision == DType::kF64 ? 1e-12 : 1e-4;
}

void ExpectAgreement(const StepTestOutcome& seen, const StepTestOutcome& expected, DType precision,
                     const StepGraph& step, const std::string& what) {
  ASSERT_EQ(seen.states.size(), expected.states.size()) << what;
  // Adam divides a gradient by its own size, rounding errors of a tiny one with it.
  const bool adam = step.graph->FindInput("step") != nullptr;
  const double absolute = adam && precision == DType::kF32 ? 0.02 * kLearningRate : 0;
  for (const auto& [name, tensor] : expected.states) {
    const bool state = step.graph->FindInput(name)->role() == ir::Role::kState;
    EXPECT_EQ(
        ops::Compare(seen.states.at(name), tensor, Tolerance(precision), state ? 0 : absolute), "")
        << what << ": " << name;
  }
  ASSERT_EQ(seen.sums.size(), expected.sums.size()) << what;
  for (size_t s = 0; s < seen.sums.size(); ++s) {
    for (size_t i = 0; i < step.sums.size(); ++i) {
      // Sums come out in f32.
      const double wanted = expected.sums[s][i];
      const double allowed = precision == DType::kF64 ? 1e-7 : 1e-4;
      EXPECT_NEAR(seen.sums[s][i], wanted, allowed * std::fabs(wanted))
          << what << ": " << step.sums[i] << " of step " << s;
    }
  }
}

struct Param {
  size_t network;
  DType precision;
};

class StepProgramTest : public testing::TestWithParam<Param> {
 protected:
  const StepTestNetwork& network() const { return Networks()[GetParam().network]; }
  DType precision() const { return GetParam().precision; }

  StepGraph Build(const std::string& optimizer, int64_t batch, int64_t shards) const {
    return BuildStepGraph(BuildStepTestNetwork(network(), precision()), Optimizer(optimizer), batch,
                          shards, StepTestOps(), precision());
  }
  static std::string Describe(int64_t batch, int64_t shards, const std::string& more) {
    return std::to_string(batch) + " samples in " + std::to_string(shards) + " shards, " + more;
  }
};

std::vector<Param> AllParams() {
  std::vector<Param> params;
  for (size_t i = 0; i < Networks().size(); ++i) {
    for (const DType precision : {DType::kF32, DType::kF64}) params.push_back({i, precision});
  }
  return params;
}

INSTANTIATE_TEST_SUITE_P(Networks, StepProgramTest, testing::ValuesIn(AllParams()),
                         [](const auto& info) {
                           return Networks()[info.param.network].name + "_" +
                                  std::string(Name(info.param.precision));
                         });

TEST_P(StepProgramTest, AgreesWithTheInterpreterHoweverTheBatchIsCut) {
  size_t turn = GetParam().network;
  for (const auto& [batch, shards] : Cuts()) {
    const OptimizerCase* next = &Optimizers()[turn++ % Optimizers().size()];
    // Centred RMSprop divides by the root of a difference of nearly equal numbers, which shows how
    // f32 sums of so many samples are rounded; it has its turn with fewer.
    if (batch >= 128 && std::string(next->name) == "rmsprop")
      next = &Optimizers()[turn++ % Optimizers().size()];
    const OptimizerCase& optimizer = *next;
    const StepGraph step = Build(optimizer.yaml, batch, shards);
    const StepTestData data(*step.graph, network().classes, 3);
    const StepTestOutcome expected = InterpretSteps(step, data, 3, kLearningRate);
    const StepTestOutcome seen = RunSteps(step, data, 3, kLearningRate, 2);
    EXPECT_EQ(seen.result.next_step, 3);
    ExpectAgreement(seen, expected, precision(), step, Describe(batch, shards, optimizer.name));
  }
}

TEST_P(StepProgramTest, AgreesWithTheInterpreterForEveryOptimizer) {
  for (const OptimizerCase& optimizer : Optimizers()) {
    const StepGraph step = Build(optimizer.yaml, 13, 3);
    const StepTestData data(*step.graph, network().classes, 6);
    const StepTestOutcome expected = InterpretSteps(step, data, 6, kLearningRate);
    const StepTestOutcome seen = RunSteps(step, data, 6, kLearningRate, 1);
    ExpectAgreement(seen, expected, precision(), step, Describe(13, 3, optimizer.name));
  }
}

TEST_P(StepProgramTest, PassesDoNotChangeWhatIsComputed) {
  const StepGraph step = Build("adam", 13, 4);
  const StepTestData data(*step.graph, network().classes, 3);
  const StepTestOutcome expected = InterpretSteps(step, data, 3, kLearningRate);
  std::vector<std::vector<std::string>> disabled = {{}};
  for (const passes::PassInfo& pass : passes::AllPasses()) {
    if (!pass.optional) continue;
    disabled.push_back({pass.name});
    disabled[0].push_back(pass.name);  // all of them
  }
  for (const std::vector<std::string>& names : disabled) {
    compiler::CompileOptions options;
    options.disabled_passes = names;
    const StepTestOutcome seen = RunSteps(step, data, 3, kLearningRate, 2, options);
    ExpectAgreement(seen, expected, precision(), step,
                    names.size() == 1 ? "without " + names[0] : "without any pass");
  }
}

// ---- evaluation ----

TEST_P(StepProgramTest, EvaluationAgreesWithTheInterpreter) {
  const nn::Network network = BuildStepTestNetwork(this->network(), precision(), false);
  for (const auto& [batch, shards] : Cuts()) {
    for (const auto outputs :
         {EvaluationOutputs::kSums, EvaluationOutputs::kSumsAndRows, EvaluationOutputs::kRows}) {
      const StepGraph step =
          BuildEvaluationGraph(network, batch, shards, StepTestOps(), outputs, precision());
      const StepTestData data(*step.graph, this->network().classes, 2);
      const StepTestOutcome expected = InterpretSteps(step, data, 2, 0);
      const StepTestOutcome seen = RunSteps(step, data, 2, 0, 3);
      const std::string what =
          Describe(batch, shards, "outputs " + std::to_string(static_cast<int>(outputs)));
      ExpectAgreement(seen, expected, precision(), step, what);
      ASSERT_EQ(seen.row_sets.size(), step.rows.empty() ? 0u : 2u) << what;
      for (size_t s = 0; s < seen.row_sets.size(); ++s) {
        for (const std::string& name : step.rows) {
          EXPECT_EQ(ops::Compare(seen.row_sets[s].at(name), expected.row_sets[s].at(name),
                                 precision() == DType::kF64 ? 1e-13 : 1e-5),
                    "")
              << what << ": " << name << " of step " << s;
        }
      }
    }
  }
}

// ---- the same bits ----

bool SameBits(const StepTestOutcome& a, const StepTestOutcome& b) {
  if (a.sums != b.sums || a.states.size() != b.states.size()) return false;
  for (const auto& [name, tensor] : a.states) {
    const Tensor& other = b.states.at(name);
    if (tensor.bytes() != other.bytes() ||
        std::memcmp(tensor.raw(), other.raw(), tensor.bytes()) != 0) {
      return false;
    }
  }
  return true;
}

TEST_P(StepProgramTest, TheNumberOfThreadsNeverChangesABit) {
  for (const auto& [batch, shards] : {std::pair<int64_t, int64_t>{13, 5}, {128, 9}}) {
    const StepGraph step = Build("adamw", batch, shards);
    const StepTestData data(*step.graph, network().classes, 4);
    const StepTestOutcome alone = RunSteps(step, data, 12, kLearningRate, 1);
    for (const int threads : {2, 3, 4, 7}) {
      EXPECT_TRUE(SameBits(RunSteps(step, data, 12, kLearningRate, threads), alone))
          << Describe(batch, shards, std::to_string(threads) + " threads");
    }
  }
}

// One run, or several that go on where the last one ended.
TEST_P(StepProgramTest, RunsCanBeCutAnywhere) {
  const StepGraph step = Build("adam", 13, 4);
  const StepTestData data(*step.graph, network().classes, 5);
  const StepTestOutcome whole = RunSteps(step, data, 10, kLearningRate, 2);
  const auto program = compiler::CompileStep(*step.graph, StepTestOps());
  runtime::StepEngine engine({program}, 2);
  for (const auto& [name, tensor] : InitialStates(step)) engine.WriteState(name, tensor);
  StepTestOutcome parts;
  runtime::StepRequest request =
      StepTestRequest(step, compiler::PlanOf(*program), data, 1, kLearningRate, parts);
  for (const int64_t count : {1, 2, 3, 4}) {
    request.count = count;
    request.first_step = engine.Run(request).next_step;
    // A checkpoint in between changes nothing.
    StepTestOutcome kept;
    ReadStates(engine, kept);
    for (const auto& [name, tensor] : kept.states) engine.WriteState(name, tensor);
  }
  EXPECT_EQ(request.first_step, 10);
  ReadStates(engine, parts);
  EXPECT_TRUE(SameBits(parts, whole));
}

// ---- several programs: a short last batch ----

class SteadyData : public runtime::BatchSource {
 public:
  SteadyData(const StepTestData& full, const StepTestData& last) : full_(full), last_(last) {}
  void Fill(int64_t step, int64_t first, int64_t count,
            std::span<void* const> inputs) const override {
    (step % 3 == 2 ? last_ : full_).Fill(step, first, count, inputs);
  }

 private:
  const StepTestData& full_;
  const StepTestData& last_;
};

TEST(StepProgramsTest, AShortLastBatchHasItsOwnProgram) {
  const StepTestNetwork& network = Networks()[2];
  for (const DType precision : {DType::kF32, DType::kF64}) {
    const nn::Network built = BuildStepTestNetwork(network, precision);
    const StepGraph full =
        BuildStepGraph(built, Optimizer("adam"), 16, 4, StepTestOps(), precision);
    const StepGraph last = BuildStepGraph(built, Optimizer("adam"), 5, 4, StepTestOps(), precision);
    const StepTestData full_data(*full.graph, network.classes, 9);
    const StepTestData last_data(*last.graph, network.classes, 9);
    // By the interpreter, graph after graph.
    std::map<std::string, Tensor> states = InitialStates(full);
    for (int64_t s = 0; s < 9; ++s) {
      const StepGraph& step = s % 3 == 2 ? last : full;
      std::map<std::string, Tensor> inputs = states;
      for (const auto& [name, tensor] : (s % 3 == 2 ? last_data : full_data).Batch(s)) {
        inputs[name] = tensor;
      }
      inputs["learning_rate"] = Tensor::Scalar(kLearningRate).Cast(precision);
      inputs["step"] = Tensor::Scalar<int64_t>(s + 1);
      inputs["random_key"] = Tensor::Of<int64_t>({3}, {static_cast<int64_t>(kStepTestSeed), s, 0});
      const auto outputs = ops::Interpret(*step.graph, inputs);
      for (auto& entry : states) entry.second = outputs.at(entry.first);
    }
    const SteadyData data(full_data, last_data);
    StepTestOutcome first;
    for (const int threads : {1, 2, 3, 4, 7}) {
      const auto program = compiler::CompileStep(*full.graph, StepTestOps());
      const auto short_program = compiler::CompileStep(*last.graph, StepTestOps());
      runtime::StepEngine engine({program, short_program}, threads);
      for (const auto& [name, tensor] : InitialStates(full)) engine.WriteState(name, tensor);
      StepTestOutcome seen;
      runtime::StepRequest request =
          StepTestRequest(full, compiler::PlanOf(*program), data, 9, kLearningRate, seen);
      request.program_of_step = [](int64_t step) { return step % 3 == 2 ? 1 : 0; };
      EXPECT_EQ(engine.Run(request).next_step, 9);
      ReadStates(engine, seen);
      for (const auto& [name, tensor] : states) {
        EXPECT_EQ(ops::Compare(seen.states.at(name), tensor, Tolerance(precision)), "") << name;
      }
      if (threads == 1) first = seen;
      EXPECT_TRUE(SameBits(seen, first)) << threads << " threads";
    }
  }
}

}  // namespace
}  // namespace ingot::train
