// Kernels with packed weights give what the references give, on every instruction set that this
// machine has and whatever the number of threads; integer ones bit for bit.
#include "backends/cpu/inference_kernels.h"

#include <cstring>

#include <gtest/gtest.h>

#include "backends/cpu/kernel_table.h"
#include "ingot/ops/op_case_runner.h"
#include "ingot/ops/standard_ops.h"
#include "ingot/runtime/team.h"
#include "ingot/runtime/thread_team.h"

namespace ingot::cpu {
namespace {

const ir::OpRegistry& Registry() {
  static const ir::OpRegistry registry = ops::StandardOps();
  return registry;
}

// With everything but the first input constant.
ir::OpCase WithConstants(ir::OpCase op_case) {
  for (size_t i = 1; i < op_case.inputs.size(); ++i) {
    // A residual comes from the network.
    op_case.inputs[i].constant = !op_case.inputs[i].absent && op_case.inputs[i].shape.rank() != 4;
  }
  if (op_case.inputs.size() > 1 && !op_case.inputs[1].absent) op_case.inputs[1].constant = true;
  return op_case;
}

std::vector<Tensor> RunKernel(const runtime::Kernel& kernel, const ir::Node& node,
                              const std::vector<Tensor>& inputs, runtime::Team* team) {
  std::vector<Tensor> outputs;
  std::vector<void*> operands;
  for (const Tensor& input : inputs) {
    operands.push_back(input.empty() ? nullptr : const_cast<std::byte*>(input.raw()));
  }
  operands.resize(node.inputs().size());
  for (const ir::Value* output : node.outputs()) {
    outputs.emplace_back(output->type().dtype(), output->type().shape());
    operands.push_back(outputs.back().raw());
  }
  const size_t stride = (kernel.scratch_bytes() + 63) / 64 * 64;
  const std::shared_ptr<std::byte> scratch = AllocateBytes(stride * 4 + 64);
  const auto* shared = dynamic_cast<const runtime::SharedKernel*>(&kernel);
  if (team != nullptr && shared != nullptr) {
    shared->RunShared(operands, scratch.get(), stride, *team);
  } else {
    kernel.Run(operands, scratch.get());
  }
  return outputs;
}

class InferenceKernels : public testing::TestWithParam<std::string> {
 protected:
  void Check(const std::string& name, const std::string& domain) {
    UseInstructionSet(GetParam());
    const ir::OpDefinition& op = Registry().Get(name, domain);
    runtime::ThreadTeam team(3);
    PackedWeights weights;
    for (const ir::OpCase& original : op.cases) {
      const ir::OpCase op_case = WithConstants(original);
      const std::vector<Tensor> inputs = ops::CaseInputs(op, op_case, DType::kF32);
      const ops::CaseGraph built = ops::BuildCase(Registry(), op, op_case, inputs);
      const auto kernel = MakeInferenceKernel(*built.node, weights);
      const std::string what = op_case.name + " by " + kernel->name();
      const std::vector<Tensor> expected = ops::RunCase(Registry(), op, op_case, inputs);
      const std::vector<Tensor> alone = RunKernel(*kernel, *built.node, inputs, nullptr);
      const std::vector<Tensor> together = RunKernel(*kernel, *built.node, inputs, &team);
      for (size_t i = 0; i < expected.size(); ++i) {
        const bool rounds = alone[i].dtype() == DType::kF32;
        EXPECT_EQ(ops::Compare(alone[i], expected[i], rounds ? 2e-5 : 0), "") << what;
        EXPECT_EQ(std::memcmp(alone[i].raw(), together[i].raw(), alone[i].bytes()), 0) << what;
      }
    }
    UseInstructionSet("");
  }
};

TEST_P(InferenceKernels, Convolutions) {
  Check("FusedConv", "ingot");
}
TEST_P(InferenceKernels, Products) {
  Check("FusedMatMul", "ingot");
  Check("MatMul", "");
  Check("Gemm", "");
}
TEST_P(InferenceKernels, QuantizedConvolutions) {
  Check("QuantizedConv", "ingot");
}
TEST_P(InferenceKernels, QuantizedProducts) {
  Check("QuantizedMatMul", "ingot");
  Check("MatMulInteger", "");
}

TEST_P(InferenceKernels, NarrowProducts) {
  Check("MatMulNBits", "com.microsoft");
}

INSTANTIATE_TEST_SUITE_P(EverySet, InferenceKernels, testing::ValuesIn(InstructionSets()),
                         [](const auto& info) { return info.param; });

// What of a convolution a kernel was made of.
ir::Node* MakeConv(ir::Graph& graph, const Shape& x, const Shape& w, int64_t group) {
  ir::Value* input = graph.AddInput("x", ir::Type::Tensor(DType::kF32, x));
  ir::Builder builder(graph, Registry());
  ir::Value* y = builder.Op("ingot.FusedConv", {input, builder.Constant(Tensor(DType::kF32, w))},
                            {{"channels_last", int64_t{1}},
                             {"group", group},
                             {"pads", std::vector<int64_t>(4, w[2] / 2)}});
  return y->producer();
}

TEST(InferenceKernelChoice, FollowsTheShape) {
  PackedWeights weights;
  const auto name = [&](const Shape& x, const Shape& w, int64_t group) {
    ir::Graph graph("conv");
    return MakeInferenceKernel(*MakeConv(graph, x, w, group), weights)->name();
  };
  EXPECT_EQ(name({1, 28, 28, 32}, {64, 32, 3, 3}, 1), "winograd_f32");
  EXPECT_EQ(name({1, 28, 28, 3}, {64, 3, 3, 3}, 1), "convolution_f32");
  EXPECT_EQ(name({1, 28, 28, 32}, {64, 32, 1, 1}, 1), "pointwise_f32");
  EXPECT_EQ(name({1, 28, 28, 32}, {32, 1, 3, 3}, 32), "depthwise_f32");
}

TEST(PackedWeights, AreSharedAndFreed) {
  PackedWeights weights;
  ir::Graph graph("conv");
  ir::Node* node = MakeConv(graph, {1, 9, 9, 8}, {8, 8, 5, 5}, 1);
  auto first = MakeInferenceKernel(*node, weights);
  const size_t bytes = weights.bytes();
  EXPECT_GE(bytes, 8U * 8 * 25 * 4);
  const auto second = MakeInferenceKernel(*node, weights);
  EXPECT_EQ(weights.bytes(), bytes);
  first = nullptr;
  EXPECT_EQ(weights.bytes(), bytes);
}

TEST(PackedWeights, EqualOnesAreSharedBetweenThoseWhoLoadThem) {
  const auto store = std::make_shared<WeightStore>();
  PackedWeights one(store), other(store);
  const Tensor a = Tensor::Of<float>({3}, {1, 2, 3}), same = a.Clone();
  const Tensor different = Tensor::Of<float>({3}, {1, 2, 4});
  int packed = 0;
  const auto get = [&](PackedWeights& weights, const Tensor& source, const char* layout) {
    return weights.Get(source, layout, 64, [&packed](std::byte*) { ++packed; });
  };
  auto first = get(one, a, "rows");
  EXPECT_EQ(get(other, same, "rows"), first);
  EXPECT_EQ(packed, 1);
  const auto second = get(other, different, "rows"), third = get(other, same, "columns");
  EXPECT_NE(second, first);
  EXPECT_NE(third, first);
  EXPECT_EQ(packed, 3);
  EXPECT_EQ(store->entries(), 3U);
  first = nullptr;
  EXPECT_EQ(store->entries(), 2U);
  EXPECT_EQ(one.bytes(), 0U);
}

TEST(PackedWeights, ArePackedByTheTeamWhereThatIsPutOff) {
  PackedWeights weights;
  runtime::ThreadTeam team(2);
  std::vector<std::shared_ptr<const std::byte>> packed;
  weights.Defer();
  for (int i = 0; i < 20; ++i) {
    packed.push_back(weights.Get(Tensor::Of<float>({1}, {static_cast<float>(i)}), "", 64,
                                 [i](std::byte* to) { *to = static_cast<std::byte>(i + 1); }));
    EXPECT_EQ(*packed.back(), std::byte{0});
  }
  weights.PackAll(team);
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(*packed[static_cast<size_t>(i)], static_cast<std::byte>(i + 1));
  }
}

}  // namespace
}  // namespace ingot::cpu
