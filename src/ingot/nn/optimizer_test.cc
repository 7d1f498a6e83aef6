// Reading the optimizer section, and the update ops that come of it.
#include "ingot/nn/optimizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/base/error.h"
#include "ingot/nn/parameter_pattern.h"
#include "ingot/nn/schedule.h"
#include "ingot/ops/standard_ops.h"

namespace ingot::nn {
namespace {

using testing::HasSubstr;

OptimizerOptions Read(const std::string& yaml) {
  return ReadOptimizer(ParseConfig(yaml, "job.yaml"));
}

Schedule Make(const std::string& yaml, double base, int64_t total) {
  return Schedule(ReadSchedule(ParseConfig(yaml, "job.yaml")), base, total);
}

template <typename F>
Error Thrown(F&& f) {
  try {
    f();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "nothing was thrown";
  return Error(ErrorCode::kInternal, "");
}

TEST(OptimizerTest, ReadsTheSection) {
  EXPECT_EQ(Read("adam").name(), "adam");
  EXPECT_EQ(Read("adam: {learning_rate: 0.01}").learning_rate(), 0.01);
  EXPECT_EQ(ReadOptimizer(ConfigNode()).name(), "adam");
  EXPECT_EQ(Read("adamw").common.weight_decay, 0.01);
  EXPECT_TRUE(Read("adamw").decoupled);
  EXPECT_EQ(std::get<double>(Read("sgd: {momentum: 0.9}").attributes.at("momentum")), 0.9);
}

TEST(OptimizerTest, NamesItsState) {
  ParameterSpec parameter;
  parameter.name = "layers.0.weight";
  parameter.shape = Shape{2, 3};
  EXPECT_TRUE(StateOf(Read("sgd"), parameter).empty());
  EXPECT_EQ(StateOf(Read("sgd: {momentum: 0.9}"), parameter)[0].name, "layers.0.weight.momentum");
  const std::vector<StateSpec> adam = StateOf(Read("adamw"), parameter);
  ASSERT_EQ(adam.size(), 2u);
  EXPECT_EQ(adam[0].name, "layers.0.weight.m");
  EXPECT_EQ(adam[1].name, "layers.0.weight.v");
  EXPECT_EQ(adam[1].shape, parameter.shape);
}

TEST(OptimizerTest, EveryKindReadsItsOwnDefaults) {
  for (const OptimizerKind& kind : OptimizerKinds()) {
    const OptimizerOptions options = Read(kind.name);
    EXPECT_EQ(options.name(), kind.name);
    EXPECT_GT(options.learning_rate(), 0);
    const ConfigNode written = OptimizerTable().Write(options);
    EXPECT_EQ(OptimizerTable().Write(ReadOptimizer(written)).ToYaml(), written.ToYaml());
  }
  EXPECT_EQ(Read("adagrad: {initial: 0.5}").states[0].initial, 0.5);
}

// The attributes of the update of a parameter.
ir::Attributes UpdateOf(const std::string& yaml, const std::string& name, const Shape& shape) {
  static const ir::OpRegistry registry = ops::StandardOps();
  const OptimizerOptions options = Read(yaml);
  ParameterSpec spec;
  spec.name = name;
  spec.shape = shape;
  ir::Graph graph;
  ir::Builder builder(graph, registry);
  const auto input = [&](const std::string& of, DType dtype, const Shape& s) {
    return graph.AddInput(of, ir::Type::Tensor(dtype, s));
  };
  UpdateInputs inputs;
  inputs.spec = &spec;
  inputs.parameter = input("w", DType::kF32, shape);
  inputs.gradient = input("g", DType::kF32, shape);
  inputs.learning_rate = input("rate", DType::kF32, {});
  inputs.step = input("step", DType::kI64, {});
  for (const StateSpec& state : StateOf(options, spec)) {
    inputs.state.push_back(input(state.name, DType::kF32, shape));
  }
  return AddUpdate(options, builder, inputs).parameter->producer()->attributes();
}

double Decay(const std::string& yaml, const std::string& name, const Shape& shape) {
  return std::get<double>(UpdateOf(yaml, name, shape).at("weight_decay"));
}

TEST(OptimizerTest, WeightDecayIsForWhatThePolicyAndTheGroupsSay) {
  const std::string all = "adamw: {weight_decay: 0.1}";
  EXPECT_EQ(Decay(all, "layers.0.bias", Shape{3}), 0.1);
  const std::string matrices = "adamw: {weight_decay: 0.1, decay: matrices}";
  EXPECT_EQ(Decay(matrices, "layers.0.bias", Shape{3}), 0);
  EXPECT_EQ(Decay(matrices, "layers.0.weight", Shape{3, 2}), 0.1);
  const std::string groups =
      "adamw: {weight_decay: 0.1, decay: matrices, groups: [{match: '*.0.*', weight_decay: 0.5}, "
      "{match: '*.bias', weight_decay: 0, learning_rate_factor: 3}]}";
  EXPECT_EQ(Decay(groups, "layers.0.bias", Shape{3}), 0.5);
  EXPECT_EQ(Decay(groups, "layers.1.weight", Shape{3, 3}), 0.1);
  const ir::Attributes bias = UpdateOf(groups, "layers.1.bias", Shape{3});
  EXPECT_EQ(std::get<double>(bias.at("weight_decay")), 0);
  EXPECT_EQ(std::get<double>(bias.at("rate_factor")), 3);
}

TEST(OptimizerTest, AGroupMustMatchAParameter) {
  ParameterSpec spec;
  spec.name = "layers.0.bias";
  const OptimizerOptions options = Read("sgd: {groups: [{match: 'layers.0.bia'}]}");
  const Error error = Thrown([&] { CheckGroups(options, {spec}); });
  EXPECT_THAT(error.message(), HasSubstr("'layers.0.bia' matches no parameter"));
  EXPECT_THAT(error.hint(), HasSubstr("layers.0.bias"));
}

TEST(ParameterPatternTest, StarsAndQuestionMarks) {
  EXPECT_TRUE(MatchesPattern("*", ""));
  EXPECT_TRUE(MatchesPattern("*.bias", "layers.10.bias"));
  EXPECT_FALSE(MatchesPattern("*.bias", "layers.10.biases"));
  EXPECT_TRUE(MatchesPattern("layers.?.*", "layers.3.weight"));
  EXPECT_FALSE(MatchesPattern("layers.?.*", "layers.13.weight"));
  EXPECT_TRUE(MatchesPattern("*a*b*c", "xaybzbc"));
  EXPECT_FALSE(MatchesPattern("", "x"));
  EXPECT_FALSE(MatchesPattern("abc", "ab"));
}

TEST(OptimizerTest, SaysWhatIsWrong) {
  Error error = Thrown([] { Read("adan"); });
  EXPECT_EQ(error.message(), "job.yaml:1:1: unknown optimizer 'adan'");
  EXPECT_THAT(error.hint(), HasSubstr("adam"));
  error = Thrown([] { Read("adan: {learning_rate: 1}"); });
  EXPECT_THAT(error.message(), HasSubstr("adan"));
  error = Thrown([] { Read("adam: {lerning_rate: 1}"); });
  EXPECT_THAT(error.hint(), HasSubstr("learning_rate"));
  error = Thrown([] { Read("{adam: {}, sgd: {}}"); });
  EXPECT_THAT(error.message(), HasSubstr("expected one optimizer, got 2"));
  error = Thrown([] { Read("sgd: {nesterov: true}"); });
  EXPECT_THAT(error.message(), HasSubstr("nesterov needs a momentum above 0"));
  EXPECT_THROW(Read("adam: {beta1: 1}"), Error);
  EXPECT_THROW(Read("adam: {learning_rate: -1}"), Error);
}

TEST(ScheduleTest, Constant) {
  EXPECT_EQ(Make("constant", 0.1, 100).LearningRate(0), 0.1);
  EXPECT_EQ(Make("constant", 0.1, 100).LearningRate(1000), 0.1);
}

TEST(ScheduleTest, Step) {
  const Schedule schedule = Make("step: {every: 10, factor: 0.5}", 1, 100);
  EXPECT_EQ(schedule.LearningRate(9), 1);
  EXPECT_EQ(schedule.LearningRate(10), 0.5);
  EXPECT_EQ(schedule.LearningRate(35), 0.125);
}

TEST(ScheduleTest, CosineRunsToTheEndOfTheJob) {
  const Schedule schedule = Make("cosine", 0.05, 60);
  EXPECT_DOUBLE_EQ(schedule.LearningRate(0), 0.05);
  EXPECT_NEAR(schedule.LearningRate(30), 0.025, 1e-15);
  EXPECT_NEAR(schedule.LearningRate(20), 0.05 * 1.5 / 2, 1e-15);
  EXPECT_NEAR(schedule.LearningRate(60), 0, 1e-15);
  EXPECT_NEAR(schedule.LearningRate(90), 0, 1e-15);
  EXPECT_NEAR(Make("cosine: {steps: 10, final_factor: 0.1}", 1, 60).LearningRate(50), 0.1, 1e-15);
}

TEST(ScheduleTest, Exponential) {
  const Schedule schedule = Make("exponential: {every: 2, factor: 0.25}", 1, 60);
  EXPECT_DOUBLE_EQ(schedule.LearningRate(1), 0.5);
  EXPECT_DOUBLE_EQ(schedule.LearningRate(4), 0.0625);
}

TEST(ScheduleTest, PolynomialFallsToItsFloor) {
  EXPECT_DOUBLE_EQ(Make("polynomial", 1, 100).LearningRate(25), 0.75);
  const Schedule square = Make("polynomial: {power: 2, steps: 10, final_factor: 0.2}", 1, 100);
  EXPECT_DOUBLE_EQ(square.LearningRate(5), 0.2 + 0.8 * 0.25);
  EXPECT_DOUBLE_EQ(square.LearningRate(40), 0.2);
}

// Figures of torch.optim.lr_scheduler.OneCycleLR(max_lr=1, total_steps=11, pct_start=0.3) have one
// step less in each phase; the ends and the middle are the formula's.
TEST(ScheduleTest, OneCycleRisesAndFalls) {
  const Schedule cycle = Make("one_cycle: {rise: 0.4, start_divisor: 10, end_divisor: 100}", 1, 10);
  EXPECT_NEAR(cycle.LearningRate(0), 0.1, 1e-12);
  EXPECT_NEAR(cycle.LearningRate(2), 0.55, 1e-12);
  EXPECT_NEAR(cycle.LearningRate(4), 1, 1e-12);
  EXPECT_NEAR(cycle.LearningRate(7), (1 + 0.001) / 2, 1e-12);
  EXPECT_NEAR(cycle.LearningRate(10), 0.001, 1e-12);
  EXPECT_NEAR(cycle.LearningRate(99), 0.001, 1e-12);
}

TEST(ScheduleTest, PlateauFallsWithItsFalls) {
  const Schedule plateau = Make("plateau: {factor: 0.5, final_factor: 0.2}", 1, 10);
  EXPECT_EQ(plateau.LearningRate(7), 1);
  EXPECT_EQ(plateau.LearningRate(7, 2), 0.25);
  EXPECT_EQ(plateau.LearningRate(7, 9), 0.2);
}

TEST(OptimizerTest, MuonLeavesWhatIsNoMatrixToAdam) {
  const OptimizerOptions muon = Read("muon: {adamw: ['tokens.*']}");
  const auto states = [&](const std::string& name, const Shape& shape) {
    ParameterSpec spec;
    spec.name = name;
    spec.shape = shape;
    std::vector<std::string> names;
    for (const StateSpec& state : StateOf(muon, spec)) names.push_back(state.name);
    return names;
  };
  EXPECT_EQ(states("a.weight", Shape{3, 4}), std::vector<std::string>{"a.weight.momentum"});
  const std::vector<std::string> bias = {"a.bias.m", "a.bias.v"};
  EXPECT_EQ(states("a.bias", Shape{4}), bias);
  const std::vector<std::string> tokens = {"tokens.weight.m", "tokens.weight.v"};
  EXPECT_EQ(states("tokens.weight", Shape{9, 4}), tokens);
}

TEST(ScheduleTest, WarmUpGoesBeforeAnySchedule) {
  const Schedule schedule = Make("{warm_up: 4, cosine: {}}", 1, 24);
  EXPECT_DOUBLE_EQ(schedule.LearningRate(0), 0.25);
  EXPECT_DOUBLE_EQ(schedule.LearningRate(3), 1);
  EXPECT_DOUBLE_EQ(schedule.LearningRate(4), 1);
  EXPECT_NEAR(schedule.LearningRate(14), 0.5, 1e-15);
  EXPECT_NEAR(schedule.LearningRate(24), 0, 1e-15);
  EXPECT_DOUBLE_EQ(Make("{warm_up: 2}", 1, 24).LearningRate(20), 1);
}

TEST(ScheduleTest, SaysWhatIsWrong) {
  Error error = Thrown([] { Make("cosin", 1, 1); });
  EXPECT_EQ(error.message(), "job.yaml:1:1: unknown schedule 'cosin'");
  EXPECT_THAT(error.hint(), HasSubstr("cosine"));
  error = Thrown([] { Make("{step: {every: 1}, cosine: {}}", 1, 1); });
  EXPECT_THAT(error.message(), HasSubstr("expected one schedule, got 2"));
  EXPECT_THAT(Thrown([] { Make("step", 1, 1); }).message(), HasSubstr("needs its option 'every'"));
  EXPECT_THROW(Make("step: {every: 0}", 1, 1), Error);
}

}  // namespace
}  // namespace ingot::nn
