// CompileStep on small step graphs written by hand: the plan, what runs, and what is refused.
#include "ingot/compiler/compile.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backends/cpu/kernel_table.h"
#include "ingot/base/error.h"
#include "ingot/ir/builder.h"
#include "ingot/ops/interpreter.h"
#include "ingot/ops/op_case_runner.h"
#include "ingot/ops/standard_ops.h"
#include "ingot/runtime/step_engine.h"
#include "ingot/runtime/step_program.h"

namespace ingot::compiler {
namespace {

using ir::Type;
using ir::Value;
using testing::ElementsAre;
using testing::HasSubstr;

CompileOptions Without(const std::string& pass) {
  CompileOptions options;
  options.disabled_passes = {pass};
  return options;
}

constexpr int64_t kInputs = 3;
constexpr int64_t kOutputs = 2;

// Linear regression p = x w + b with the loss sum((p - y)^2) / 2, up to the end of its ShardMap.
class LinearStep {
 public:
  LinearStep(int64_t batch, int64_t shards)
      : graph("step"), top(graph, ops_), body_(std::make_shared<ir::Graph>("shard")) {
    ir::Builder in(*body_, ops_);
    Value* bx = body_->AddInput("x", Type::Tensor(DType::kF32, {"batch", kInputs}));
    Value* by = body_->AddInput("y", Type::Tensor(DType::kF32, {"batch", kOutputs}));
    Value* bw = body_->AddInput("w", Type::Tensor(DType::kF32, Shape{kInputs, kOutputs}),
                                ir::Role::kParameter);
    Value* bb =
        body_->AddInput("b", Type::Tensor(DType::kF32, Shape{kOutputs}), ir::Role::kParameter);
    Value* p = in.Op("Gemm", {bx, bw, bb});
    Value* e = in.Sub(p, by);
    const ir::Attributes whole = {{"keepdims", int64_t{0}}};
    body_->AddOutput(in.Op("Gemm", {bx, e}, {{"transA", int64_t{1}}}), "dw");
    body_->AddOutput(in.Op("ReduceSum", {e, in.Ints({0})}, whole), "db");
    body_->AddOutput(in.MulScalar(in.Op("ReduceSum", {in.Mul(e, e), in.Ints({0, 1})}, whole), 0.5),
                     "loss");
    body_->AddOutput(p, "output");

    x = graph.AddInput("x", Type::Tensor(DType::kF32, Shape{batch, kInputs}));
    y = graph.AddInput("y", Type::Tensor(DType::kF32, Shape{batch, kOutputs}));
    w = graph.AddInput("w", bw->type(), ir::Role::kParameter);
    b = graph.AddInput("b", bb->type(), ir::Role::kParameter);
    rate = graph.AddInput("learning_rate", Type::Tensor(DType::kF32, Shape{}), ir::Role::kScalar);
    const std::vector<Value*> outputs = Map(shards);
    dw = outputs[0];
    db = outputs[1];
    loss = outputs[2];
    rows = outputs[3];
  }

  std::vector<Value*> Map(int64_t shards) {
    return top.Ops("ingot.ShardMap", {x, y, w, b}, 4,
                   {{"body", body_},
                    {"shards", shards},
                    {"sharded", int64_t{2}},
                    {"output_kinds", std::vector<int64_t>{0, 0, 0, 1}}});
  }
  Value* Tree(Value* stacked) { return top.Op("ingot.TreeReduce", {stacked}); }
  void Alias(Value* updated, Value* input) {
    graph.AddOutput(updated, input->name());
    graph.SetAlias(graph.outputs().size() - 1, input);
  }
  void Update(Value* parameter, Value* gradient) {
    Alias(top.Op("ingot.Sgd", {parameter, gradient, rate}), parameter);
  }
  // The usual rest of a step.
  void Finish() {
    Update(w, Tree(dw));
    Update(b, Tree(db));
    graph.AddOutput(Tree(loss), "loss_sum");
    graph.AddOutput(rows, "output");
  }
  ir::Graph& body() { return *body_; }
  const ir::OpRegistry& ops() const { return ops_; }
  std::shared_ptr<const runtime::StepProgram> Compile(const CompileOptions& options = {}) const {
    return CompileStep(graph, ops_, options);
  }
  // What compiling it is refused with.
  Error Refusal(const CompileOptions& options = {}) const {
    try {
      Compile(options);
    } catch (const Error& error) {
      return error;
    }
    return Error(ErrorCode::kInternal, "nothing was thrown");
  }

 private:
  const ir::OpRegistry ops_ = ops::StandardOps();

 public:
  ir::Graph graph;
  ir::Builder top;
  Value *x, *y, *w, *b, *rate;
  Value *dw, *db, *loss, *rows;

 private:
  std::shared_ptr<ir::Graph> body_;
};

// Sample i of a step is a function of both.
class Samples : public runtime::BatchSource {
 public:
  static float X(int64_t step, int64_t i, int64_t j) {
    return static_cast<float>((step * 31 + i * 7 + j * 5) % 17) / 17 - 0.4f;
  }
  static float Y(int64_t step, int64_t i, int64_t j) {
    return static_cast<float>((step * 13 + i * 3 + j * 11) % 19) / 19;
  }
  void Fill(int64_t step, int64_t first, int64_t count,
            std::span<void* const> inputs) const override {
    auto* x = static_cast<float*>(inputs[0]);
    auto* y = static_cast<float*>(inputs[1]);
    for (int64_t i = first; i < first + count; ++i) {
      for (int64_t j = 0; j < kInputs; ++j) *x++ = X(step, i, j);
      for (int64_t j = 0; j < kOutputs; ++j) *y++ = Y(step, i, j);
    }
  }
};

// What a run leaves behind.
struct Outcome {
  std::map<std::string, Tensor> states;
  std::vector<std::vector<float>> sums;   // of each step
  std::vector<std::vector<Tensor>> rows;  // of each step
};

Tensor Start(const std::string& name) {
  Tensor tensor(DType::kF32, name == "w" ? Shape{kInputs, kOutputs} : Shape{kOutputs});
  float value = name == "w" ? 0.1f : -0.2f;
  for (float& element : tensor.data<float>()) element = value += 0.07f;
  return tensor;
}

Outcome RunEngine(std::shared_ptr<const runtime::StepProgram> program, int threads, int64_t steps) {
  runtime::StepEngine engine({program}, threads);
  for (const std::string& name : engine.StateNames()) engine.WriteState(name, Start(name));
  const Samples samples;
  Outcome outcome;
  runtime::StepRequest request;
  request.count = steps;
  request.source = &samples;
  request.scalars = [](int64_t, std::span<float> scalars) {
    for (float& scalar : scalars) scalar = 0.02f;
  };
  request.on_sums = [&](int64_t, std::span<const float> sums) {
    outcome.sums.emplace_back(sums.begin(), sums.end());
  };
  request.on_rows = [&](int64_t, std::span<const TensorView> rows) {
    outcome.rows.emplace_back();
    for (const TensorView& row : rows) {
      Tensor tensor(row.dtype, Shape(std::vector<int64_t>(row.dims.begin(), row.dims.end())));
      std::memcpy(tensor.raw(), row.data, tensor.bytes());
      outcome.rows.back().push_back(std::move(tensor));
    }
  };
  EXPECT_EQ(engine.Run(request).next_step, steps);
  for (const std::string& name : engine.StateNames()) outcome.states[name] = engine.ReadState(name);
  return outcome;
}

// The same by the interpreter: outputs of every step by name.
std::vector<std::map<std::string, Tensor>> Interpret(const LinearStep& step, int64_t batch,
                                                     int64_t steps) {
  std::vector<std::map<std::string, Tensor>> all;
  std::map<std::string, Tensor> states = {{"w", Start("w")}, {"b", Start("b")}};
  const Samples samples;
  for (int64_t s = 0; s < steps; ++s) {
    Tensor x(DType::kF32, Shape{batch, kInputs});
    Tensor y(DType::kF32, Shape{batch, kOutputs});
    const std::vector<void*> data = {x.raw(), y.raw()};
    samples.Fill(s, 0, batch, data);
    std::map<std::string, Tensor> inputs = states;
    inputs["x"] = x;
    inputs["y"] = y;
    inputs["learning_rate"] = Tensor::Scalar(0.02f);
    all.push_back(ops::Interpret(step.graph, inputs));
    for (auto& [name, tensor] : states) {
      if (all.back().count(name) > 0) tensor = all.back().at(name);
    }
  }
  return all;
}

void ExpectAgreement(const LinearStep& step, int64_t batch, const Outcome& seen,
                     const std::vector<std::string>& sums) {
  const auto steps = static_cast<int64_t>(seen.sums.size());
  const auto expected = Interpret(step, batch, steps);
  for (const auto& [name, tensor] : seen.states) {
    if (expected.back().count(name) == 0) continue;
    EXPECT_EQ(ops::Compare(tensor, expected.back().at(name), 1e-5), "") << name;
  }
  for (size_t s = 0; s < expected.size(); ++s) {
    ASSERT_EQ(seen.sums[s].size(), sums.size());
    for (size_t i = 0; i < sums.size(); ++i) {
      const double wanted = expected[s].at(sums[i]).ToDoubles()[0];
      EXPECT_NEAR(seen.sums[s][i], wanted, 1e-5 * std::abs(wanted)) << sums[i] << " of step " << s;
    }
    for (const Tensor& row : seen.rows.at(s)) {
      EXPECT_EQ(ops::Compare(row, expected[s].at("output"), 1e-5), "") << "rows of step " << s;
    }
  }
}

// ---- what runs ----

TEST(CompileStepTest, RunsALinearStepAsTheInterpreterDoes) {
  for (const int64_t batch : {1, 4, 7, 20}) {
    for (int64_t shards = 1; shards <= std::min<int64_t>(batch, 5); ++shards) {
      LinearStep step(batch, shards);
      step.Finish();
      const auto program = step.Compile();
      for (const int threads : {1, 3}) {
        ExpectAgreement(step, batch, RunEngine(program, threads, 5), {"loss_sum"});
      }
    }
  }
}

// Any op with a kernel may stand between reduction and update: it has a stage of its own.
TEST(CompileStepTest, RunsOpsOutsideOfTheShards) {
  for (const int threads : {1, 3}) {
    LinearStep step(10, 3);
    step.Update(step.w, step.top.MulScalar(step.top.Neg(step.Tree(step.dw)), 0.5));
    step.Update(step.b, step.Tree(step.db));
    step.graph.AddOutput(step.Tree(step.loss), "loss_sum");
    step.graph.AddOutput(step.rows, "output");
    const auto program = step.Compile();
    EXPECT_EQ(program->stages.size(), 5u);
    ExpectAgreement(step, 10, RunEngine(program, threads, 5), {"loss_sum"});
  }
}

// A running mean of the gradient of b: what another thread would read again, its owner writes.
TEST(CompileStepTest, NobodyTakesOverWhatReadsStateThatChangesInPlace) {
  LinearStep step(10, 3);
  Value* mean =
      step.graph.AddInput("mean", Type::Tensor(DType::kF32, Shape{kOutputs}), ir::Role::kState);
  Value* gradient = step.top.Neg(step.Tree(step.db));
  step.Alias(step.top.Add(mean, gradient), mean);
  step.Finish();
  const auto program = step.Compile();
  std::vector<bool> alone;
  for (const auto& joint : program->joints) alone.push_back(joint.reads_what_changes);
  EXPECT_THAT(alone, ElementsAre(false, true));
}

TEST(CompileStepTest, ThePlanSaysWhatTheStepConsistsOf) {
  LinearStep step(10, 3);
  step.Finish();
  const auto program = step.Compile();
  const StepPlan& plan = PlanOf(*program);
  EXPECT_THAT(plan.data_inputs, ElementsAre("x", "y"));
  EXPECT_THAT(plan.sums, ElementsAre("loss_sum"));
  EXPECT_THAT(plan.rows, ElementsAre("output"));
  EXPECT_EQ(plan.batch, 10);
  EXPECT_EQ(plan.shards, 3);
  EXPECT_EQ(plan.state_bytes, 4u * (kInputs * kOutputs + kOutputs));
  // The product and the gradient of its weight: a multiply-add is two.
  EXPECT_EQ(plan.flops, 2.0 * 2 * 10 * kInputs * kOutputs);
  EXPECT_GT(plan.arena_bytes, 0u);
  EXPECT_EQ(plan.digest.size(), 16u);
  EXPECT_THAT(plan.description, HasSubstr("instruction set " + cpu::InstructionSet()));
  EXPECT_THAT(plan.description, HasSubstr("3 shards of 3 4 samples"));
  EXPECT_THAT(plan.description, HasSubstr("matmul_f32"));
  EXPECT_THAT(plan.description, HasSubstr("shard_matmul_f32"));
  EXPECT_THAT(plan.description, HasSubstr("sgd_f32"));
  EXPECT_THAT(plan.description, HasSubstr("    w ["));
  EXPECT_THAT(plan.description, HasSubstr("    b ["));
}

TEST(CompileStepTest, FlopsDoNotDependOnTheCut) {
  for (const int64_t shards : {1, 2, 7}) {
    LinearStep step(7, shards);
    step.Finish();
    EXPECT_EQ(PlanOf(*step.Compile()).flops, 2.0 * 2 * 7 * kInputs * kOutputs) << shards;
    // Neither do they depend on where the gradient is computed.
    EXPECT_EQ(PlanOf(*step.Compile(Without("hoist_weight_gradients"))).flops,
              2.0 * 2 * 7 * kInputs * kOutputs)
        << shards;
  }
}

TEST(CompileStepTest, EqualGraphsHaveEqualDigestsAndOthersHaveNot) {
  LinearStep step(8, 2);
  step.Finish();
  LinearStep same(8, 2);
  same.Finish();
  LinearStep cut(8, 4);
  cut.Finish();
  const std::string digest = PlanOf(*step.Compile()).digest;
  EXPECT_EQ(PlanOf(*same.Compile()).digest, digest);
  EXPECT_NE(PlanOf(*cut.Compile()).digest, digest);
  EXPECT_NE(PlanOf(*step.Compile(Without("hoist_weight_gradients"))).digest, digest);
}

TEST(CompileStepTest, TheDigestTellsInstructionSetsApart) {
  LinearStep step(8, 2);
  step.Finish();
  std::vector<std::string> digests;
  for (const std::string& name : cpu::InstructionSets()) {
    cpu::UseInstructionSet(name);
    digests.push_back(PlanOf(*step.Compile()).digest);
  }
  cpu::UseInstructionSet("");
  std::sort(digests.begin(), digests.end());
  EXPECT_EQ(std::adjacent_find(digests.begin(), digests.end()), digests.end());
}

TEST(CompileStepTest, LeavesTheGraphAsItWas) {
  LinearStep step(8, 2);
  step.Finish();
  const size_t nodes = step.graph.node_count();
  const size_t inside = step.body().node_count();
  step.Compile();
  EXPECT_EQ(step.graph.node_count(), nodes);
  EXPECT_EQ(step.body().node_count(), inside);
}

TEST(CompileStepTest, ParametersWithoutAnUpdateStay) {
  LinearStep step(6, 2);
  step.Update(step.w, step.Tree(step.dw));
  step.graph.AddOutput(step.Tree(step.loss), "loss_sum");
  const Outcome seen = RunEngine(step.Compile(), 2, 4);
  EXPECT_EQ(ops::Compare(seen.states.at("b"), Start("b"), 0), "");
  ExpectAgreement(step, 6, seen, {"loss_sum"});
}

// Every name of a sum gets its value, whichever of them are the same one.
TEST(CompileStepTest, ASumUnderTwoNames) {
  LinearStep step(6, 2);
  Value* loss = step.Tree(step.loss);
  step.graph.AddOutput(loss, "loss_sum");
  step.graph.AddOutput(loss, "again_sum");
  step.graph.AddOutput(step.Tree(step.loss), "once_more_sum");
  const auto program = step.Compile();
  const StepPlan& plan = PlanOf(*program);
  std::vector<std::string> sums = plan.sums;
  std::sort(sums.begin(), sums.end());
  EXPECT_THAT(sums, ElementsAre("again_sum", "loss_sum", "once_more_sum"));
  ExpectAgreement(step, 6, RunEngine(program, 2, 3), plan.sums);
}

TEST(CompileStepTest, TheSameRowsUnderTwoNames) {
  LinearStep step(6, 2);
  step.graph.AddOutput(step.rows, "output");
  step.graph.AddOutput(step.rows, "again");
  const auto program = step.Compile();
  EXPECT_THAT(PlanOf(*program).rows, ElementsAre("output", "again"));
  const Outcome seen = RunEngine(program, 2, 2);
  const auto expected = Interpret(step, 6, 2);
  for (size_t s = 0; s < 2; ++s) {
    for (const Tensor& row : seen.rows.at(s)) {
      EXPECT_EQ(ops::Compare(row, expected[s].at("output"), 1e-5), "");
    }
  }
}

// Rows that are the data themselves need no copy, but must come out.
TEST(CompileStepTest, RowsThatAreAnInput) {
  for (const bool reshaped : {false, true}) {
    for (const bool disabled : {false, true}) {
      LinearStep step(7, 3);
      ir::Builder inside(step.body(), step.ops());
      Value* x = step.body().inputs()[0];
      step.body().SetOutput(3, reshaped ? inside.Op("Reshape", {x, inside.Ints({-1, kInputs, 1})})
                                        : inside.Op("Identity", {inside.Op("Identity", {x})}));
      step.graph.RemoveNode(step.dw->producer());
      step.rows = step.Map(3)[3];
      step.graph.AddOutput(step.rows, "output");
      const auto program = step.Compile(disabled ? Without("canonicalize") : CompileOptions());
      const Outcome seen = RunEngine(program, 2, 2);
      const auto expected = Interpret(step, 7, 2);
      for (size_t s = 0; s < 2; ++s) {
        ASSERT_EQ(seen.rows.at(s).size(), 1u);
        EXPECT_EQ(ops::Compare(seen.rows[s][0], expected[s].at("output"), 0), "")
            << (reshaped ? "reshaped" : "as it is");
      }
    }
  }
}

// ---- what is refused ----

TEST(CompileErrors, AGraphWithoutAShardMap) {
  const ir::OpRegistry ops = ops::StandardOps();
  ir::Graph graph("inference");
  ir::Builder builder(graph, ops);
  graph.AddOutput(builder.Op("Relu", {graph.AddInput("x", Type::Tensor(DType::kF32, Shape{4}))}),
                  "y");
  try {
    CompileStep(graph, ops);
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidInput);
    EXPECT_EQ(error.message(), "graph 'inference' has no ingot.ShardMap, so it is no step graph");
  }
}

TEST(CompileErrors, ShardMapsThatCutTheBatchDifferently) {
  LinearStep step(6, 2);
  step.Finish();
  step.graph.AddOutput(step.Tree(step.Map(3)[2]), "other_sum");
  const Error error = step.Refusal();
  EXPECT_EQ(error.code(), ErrorCode::kInvalidInput);
  EXPECT_EQ(error.message(), "the ShardMaps of a step have different shards");
}

TEST(CompileErrors, MoreShardsThanSamples) {
  LinearStep step(4, 5);
  step.Finish();
  const Error error = step.Refusal();
  EXPECT_EQ(error.code(), ErrorCode::kInvalidInput);
  EXPECT_EQ(error.message(), "logical_shards is 5 for a batch of 4 samples, expected 1 to 4");
}

TEST(CompileErrors, AnInputOfUnknownExtent) {
  LinearStep step(4, 2);
  step.Finish();
  step.graph.AddInput("mask", Type::Tensor(DType::kF32, {"batch", 2}));
  const Error error = step.Refusal();
  EXPECT_EQ(error.code(), ErrorCode::kInvalidInput);
  EXPECT_EQ(error.message(),
            "input 'mask' of the step graph is f32[batch, 2]; its shape must be static");
}

TEST(CompileErrors, AnUpdateThatReplacesNothing) {
  LinearStep step(4, 2);
  step.graph.AddOutput(step.top.Op("ingot.Sgd", {step.w, step.Tree(step.dw), step.rate}), "new_w");
  const Error error = step.Refusal();
  EXPECT_EQ(error.code(), ErrorCode::kInvalidInput);
  EXPECT_THAT(error.message(), HasSubstr("replaces no parameter or state of the step graph"));
}

TEST(CompileErrors, AnOutputThatNoStageGives) {
  LinearStep parameter(4, 2);
  parameter.Finish();
  parameter.graph.AddOutput(parameter.w, "w_before");
  EXPECT_EQ(parameter.Refusal().code(), ErrorCode::kUnsupported);
  EXPECT_THAT(parameter.Refusal().message(), HasSubstr("w_before"));

  LinearStep partial(4, 2);
  partial.Finish();
  partial.graph.AddOutput(partial.db, "db_of_each_shard");
  EXPECT_EQ(partial.Refusal().code(), ErrorCode::kUnsupported);
  EXPECT_THAT(partial.Refusal().message(), HasSubstr("db_of_each_shard"));
}

TEST(CompileErrors, ASumThatIsNoScalar) {
  LinearStep step(4, 2);
  step.Finish();
  step.graph.AddOutput(step.Tree(step.db), "db_sum");
  const Error error = step.Refusal();
  EXPECT_EQ(error.code(), ErrorCode::kUnsupported) << error.message();
  EXPECT_THAT(error.message(), HasSubstr("db_sum"));
}

TEST(CompileErrors, PassesThatDoNotExistOrCannotBeLeftOut) {
  LinearStep step(4, 2);
  step.Finish();
  EXPECT_EQ(step.Refusal(Without("fuse_matmull")).message(),
            "there is no pass 'fuse_matmull' to switch off");
  EXPECT_THAT(step.Refusal(Without("fuse_matmull")).hint(), HasSubstr("fuse_matmul"));
  EXPECT_EQ(step.Refusal(Without("plan_memory")).message(),
            "pass 'plan_memory' cannot be switched off");
}

// ---- the number of shards ----

SampleWork WorkOf(int64_t largest_layer_parameters) {
  return {largest_layer_parameters, std::max(int64_t{1} << 20, largest_layer_parameters)};
}

TEST(ChooseShardsTest, StaysWithinTheBatch) {
  for (int64_t batch = 1; batch <= 5000; batch += batch < 100 ? 1 : 37) {
    for (const int64_t parameters :
         {int64_t{0}, int64_t{7850}, int64_t{1} << 20, int64_t{1} << 27}) {
      for (const SampleWork& work : {WorkOf(parameters), SampleWork{parameters, parameters}}) {
        const int64_t shards = ChooseShards(batch, work);
        ASSERT_GE(shards, 1) << batch << " samples, " << parameters << " parameters";
        ASSERT_LE(shards, std::min<int64_t>(batch, 64)) << batch << ", " << parameters;
      }
    }
  }
}

TEST(ChooseShardsTest, GrowsWithTheBatchAndShrinksWithTheLayer) {
  int64_t small = 0;
  int64_t large = 0;
  for (int64_t batch = 1; batch <= 5000; ++batch) {
    ASSERT_GE(ChooseShards(batch, WorkOf(1000)), small) << batch;
    ASSERT_GE(ChooseShards(batch, WorkOf(int64_t{1} << 25)), large) << batch;
    small = ChooseShards(batch, WorkOf(1000));
    large = ChooseShards(batch, WorkOf(int64_t{1} << 25));
    ASSERT_LE(large, small) << batch;
  }
  // Several, so that several threads have something to do.
  EXPECT_GE(ChooseShards(4, WorkOf(1000)), 2);
  EXPECT_EQ(ChooseShards(32, WorkOf(int64_t{1} << 24)), 2);
  EXPECT_GE(ChooseShards(128, WorkOf(1000)), 4);
  EXPECT_GT(small, large);
}

TEST(ChooseShardsTest, SmallNetworksGetLargerShards) {
  const SampleWork classifier = {784 * 64 + 64, 784 * 64 + 64 + 64 * 10 + 10};
  EXPECT_EQ(ChooseShards(128, classifier), 2);
  EXPECT_EQ(ChooseShards(32, classifier), 2);
  EXPECT_EQ(ChooseShards(1024, classifier), 16);
  // The same weights, shared by the places of a picture.
  EXPECT_EQ(ChooseShards(128, {classifier.largest_layer_parameters, 1 << 20}), 4);
}

}  // namespace
}  // namespace ingot::compiler
