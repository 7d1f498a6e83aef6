// Steps that take x as bytes and scale them: the bits are those of the step that takes x scaled.
#include <cstring>
#include <vector>

#include <gtest/gtest.h>

#include "ingot/runtime/step_program.h"
#include "ingot/train/step_program_test_util.h"

namespace ingot::train {
namespace {

constexpr float kScale = 1.0f / 255;

// x of bytes, one in `keep` of which is not zero, as they are or scaled; y are classes.
class Pictures : public runtime::BatchSource {
 public:
  Pictures(int64_t elements, uint64_t keep, bool scaled)
      : elements_(elements), keep_(keep), scaled_(scaled) {}

  void Fill(int64_t step, int64_t first, int64_t count,
            std::span<void* const> inputs) const override {
    const RandomKey key = RandomKey(5, "pictures").Fold(static_cast<uint64_t>(step));
    for (int64_t i = 0; i < count * elements_; ++i) {
      const auto at = static_cast<uint64_t>(first * elements_ + i);
      const bool is_set = static_cast<uint64_t>(key.Uniform(2 * at) * 1000) % keep_ == 0;
      const auto byte = static_cast<uint8_t>(is_set ? key.Uniform(2 * at + 1) * 256 : 0);
      if (scaled_) {
        static_cast<float*>(inputs[0])[i] = static_cast<float>(byte) * kScale;
      } else {
        static_cast<uint8_t*>(inputs[0])[i] = byte;
      }
    }
    for (int64_t i = 0; i < count; ++i) {
      static_cast<int64_t*>(inputs[1])[i] = (first + i + step) % 3;
    }
  }

 private:
  int64_t elements_;
  uint64_t keep_;
  bool scaled_;
};

StepTestOutcome Train(const StepTestNetwork& description, const MixedPrecision& mixed,
                      uint64_t keep, bool bytes, int threads, std::string* kernels = nullptr) {
  nn::OptimizerOptions optimizer = nn::ReadOptimizer(ParseConfig("adam", "optimizer"));
  const StepGraph step = BuildStepGraph(BuildStepTestNetwork(description, DType::kF32), optimizer,
                                        70, 3, StepTestOps(), DType::kF32, mixed, 1,
                                        bytes ? std::optional(kScale) : std::nullopt);
  EXPECT_EQ(step.graph->FindInput("x")->type().dtype(), bytes ? DType::kU8 : DType::kF32);
  const Pictures data(description.x.size(), keep, !bytes);
  const auto program = compiler::CompileStep(*step.graph, StepTestOps());
  if (kernels != nullptr) {
    for (const runtime::ReduceUnit& unit : program->units) {
      if (unit.kernel != nullptr) *kernels += unit.kernel->name() + " ";
    }
  }
  runtime::StepEngine engine({program}, threads);
  for (const auto& [name, tensor] : InitialStates(step)) engine.WriteState(name, tensor);
  StepTestOutcome outcome;
  outcome.result =
      engine.Run(StepTestRequest(step, compiler::PlanOf(*program), data, 4, 0.01f, outcome));
  ReadStates(engine, outcome);
  return outcome;
}

void ExpectSameBits(const StepTestOutcome& seen, const StepTestOutcome& expected,
                    const std::string& what) {
  EXPECT_EQ(seen.result.next_step, 4) << what;
  EXPECT_EQ(seen.sums, expected.sums) << what;
  ASSERT_EQ(seen.states.size(), expected.states.size()) << what;
  for (const auto& [name, tensor] : expected.states) {
    const Tensor& other = seen.states.at(name);
    ASSERT_EQ(other.bytes(), tensor.bytes());
    EXPECT_EQ(std::memcmp(other.raw(), tensor.raw(), tensor.bytes()), 0) << what << ": " << name;
  }
}

TEST(ByteInputTest, GivesTheBitsOfScaledInput) {
  const std::vector<StepTestNetwork> networks = {
      {"mlp", "[flatten, {dense: {units: 64, activation: relu}}, {dense: 3}]",
       "softmax_cross_entropy", "[accuracy]", Shape{12, 11}},
      {"linear", "[{dense: 3}]", "softmax_cross_entropy", "[]", Shape{48}},
      {"wide", "[flatten, {dense: {units: 640, activation: relu}}, {dense: 3}]",
       "softmax_cross_entropy", "[]", Shape{9, 9}},
      {"cnn", "[{conv: {filters: 8, kernel: 3, activation: relu}}, flatten, {dense: 3}]",
       "softmax_cross_entropy", "[]", Shape{1, 8, 8}},
  };
  for (const StepTestNetwork& network : networks) {
    for (const uint64_t keep : {1, 5}) {
      const StepTestOutcome expected = Train(network, {}, keep, false, 1);
      for (const int threads : {1, 2, 3}) {
        ExpectSameBits(Train(network, {}, keep, true, threads), expected,
                       network.name + ", one in " + std::to_string(keep));
      }
    }
    MixedPrecision mixed;
    mixed.type = DType::kBf16;
    ExpectSameBits(Train(network, mixed, 5, true, 2), Train(network, mixed, 5, false, 1),
                   network.name + " in bf16");
  }
}

TEST(ByteInputTest, BytesGoToTheWeightGradient) {
  std::string kernels;
  Train({"mlp", "[flatten, {dense: 64}, {dense: 3}]", "softmax_cross_entropy", "[]", Shape{4, 8}},
        {}, 5, true, 1, &kernels);
  EXPECT_NE(kernels.find("shard_matmul_u8"), std::string::npos) << kernels;
}

}  // namespace
}  // namespace ingot::train
