// Every case of every op, run by the kernel that the CPU backend chooses for it, against the
// reference: on every instruction set, in place where the op allows it, between canaries.
#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backends/cpu/buffer_test_util.h"
#include "backends/cpu/kernel_table.h"
#include "ingot/base/error.h"
#include "ingot/ops/op_case_runner.h"
#include "ingot/ops/standard_ops.h"

namespace ingot::cpu {
namespace {

const ir::OpRegistry& Ops() {
  static const ir::OpRegistry registry = ops::StandardOps();
  return registry;
}

std::vector<std::string> OpNames() {
  std::vector<std::string> names;
  for (const ir::OpDefinition* op : Ops().All()) names.push_back(op->FullName());
  return names;
}

const ir::OpDefinition& Find(const std::string& full_name) {
  const size_t dot = full_name.rfind('.');
  return dot == std::string::npos ? Ops().Get(full_name)
                                  : Ops().Get(full_name.substr(dot + 1), full_name.substr(0, dot));
}

// One node with memory for its operands and the kernel's scratch.
class Call {
 public:
  Call(const runtime::Kernel& kernel, const ir::Node& node, const std::vector<Tensor>& inputs)
      : kernel_(kernel), node_(node), scratch_(kernel.scratch_bytes()) {
    for (const Tensor& input : inputs) {
      inputs_.push_back(input.empty() ? nullptr
                                      : std::make_unique<ExactCopy>(input.raw(), input.bytes()));
    }
    for (const ir::Value* output : node.outputs()) {
      const Tensor shape(output->type().dtype(), output->type().shape());
      // Off every greater alignment: kernels may count on that of an element alone.
      outputs_.push_back(
          std::make_unique<GuardedBuffer>(shape.bytes(), ItemSize(output->type().dtype())));
    }
  }

  // Output 0 overwrites input 0.
  void RunInPlace(const Tensor& input) {
    std::memcpy(outputs_[0]->raw(), input.raw(), input.bytes());
    in_place_ = true;
    Run();
  }

  void Run() {
    std::vector<void*> operands;
    for (const auto& input : inputs_) operands.push_back(input == nullptr ? nullptr : input->raw());
    if (in_place_) operands[0] = outputs_[0]->raw();
    for (const auto& output : outputs_) operands.push_back(output->raw());
    kernel_.Run(operands, scratch_.data());
  }

  bool Intact() const {
    return scratch_.Intact() && std::all_of(outputs_.begin(), outputs_.end(),
                                            [](const auto& output) { return output->Intact(); });
  }
  std::vector<Tensor> Outputs() const {
    std::vector<Tensor> tensors;
    for (size_t i = 0; i < outputs_.size(); ++i) {
      const ir::Type& type = node_.output(i)->type();
      Tensor tensor(type.dtype(), type.shape());
      if (tensor.bytes() > 0) std::memcpy(tensor.raw(), outputs_[i]->raw(), tensor.bytes());
      tensors.push_back(std::move(tensor));
    }
    return tensors;
  }

 private:
  const runtime::Kernel& kernel_;
  const ir::Node& node_;
  std::vector<std::unique_ptr<ExactCopy>> inputs_;
  std::vector<std::unique_ptr<GuardedBuffer>> outputs_;
  GuardedBuffer scratch_;
  bool in_place_ = false;
};

bool IsStatic(const ir::Node& node) {
  return std::all_of(node.outputs().begin(), node.outputs().end(),
                     [](const ir::Value* value) { return value->type().is_static(); });
}

bool SameBits(const Tensor& a, const Tensor& b) {
  return a.bytes() == b.bytes() &&
         (a.bytes() == 0 || std::memcmp(a.raw(), b.raw(), a.bytes()) == 0);
}

void ExpectNear(const std::vector<Tensor>& outputs, const std::vector<Tensor>& expected,
                double tolerance, const std::string& what) {
  ASSERT_EQ(outputs.size(), expected.size()) << what;
  for (size_t i = 0; i < outputs.size(); ++i) {
    const double allowed = IsFloat(outputs[i].dtype()) ? tolerance : 0;
    EXPECT_EQ(ops::Compare(outputs[i], expected[i], allowed), "") << what << ", output " << i;
  }
}

void ExpectSameBits(const std::vector<Tensor>& outputs, const std::vector<Tensor>& expected,
                    const std::string& what) {
  for (size_t i = 0; i < outputs.size(); ++i) {
    EXPECT_TRUE(SameBits(outputs[i], expected[i])) << what << ", output " << i;
  }
}

class KernelCases
    : public testing::TestWithParam<std::tuple<std::string /*instruction set*/, std::string>> {
 protected:
  void Check(const ir::OpDefinition& op, const ir::OpCase& op_case) {
    const std::vector<Tensor> inputs = ops::CaseInputs(op, op_case, DType::kF32);
    const ops::CaseGraph built = ops::BuildCase(Ops(), op, op_case, inputs);
    if (!IsStatic(*built.node)) return;
    const std::shared_ptr<const runtime::Kernel> kernel = MakeKernel(*built.node);
    const std::string what = op_case.name + " by " + kernel->name();
    Call call(*kernel, *built.node, inputs);
    call.Run();
    const std::vector<Tensor> outputs = call.Outputs();
    ExpectNear(outputs, ops::RunCase(Ops(), op, op_case, inputs), op_case.tolerance, what);
    EXPECT_TRUE(call.Intact()) << what << " writes outside of its outputs and scratch";
    call.Run();
    ExpectSameBits(call.Outputs(), outputs, what + ", run again");
    if (!op.may_run_in_place || inputs.empty() || inputs[0].dtype() != outputs[0].dtype() ||
        inputs[0].bytes() != outputs[0].bytes()) {
      return;
    }
    Call in_place(*kernel, *built.node, inputs);
    in_place.RunInPlace(inputs[0]);
    ExpectSameBits(in_place.Outputs(), outputs, what + ", in place");
    EXPECT_TRUE(in_place.Intact()) << what << ", in place";
  }
};

TEST_P(KernelCases, AgreeWithTheReference) {
  const InstructionSetScope scope(std::get<0>(GetParam()));
  const ir::OpDefinition& op = Find(std::get<1>(GetParam()));
  if (!op.reference) return;  // no kernel: OpsWithoutAKernelAreNamed
  for (const ir::OpCase& op_case : op.cases) Check(op, op_case);
}

std::string NameOf(const testing::TestParamInfo<std::tuple<std::string, std::string>>& info) {
  std::string name = std::get<0>(info.param) + "_" + std::get<1>(info.param);
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(EverySet, KernelCases,
                         testing::Combine(testing::ValuesIn(InstructionSets()),
                                          testing::ValuesIn(OpNames())),
                         NameOf);

// What moves elements of any type; the other kernels are for f32.
bool Moves(const std::string& kernel) {
  for (const char* name : {"concat", "expand", "gather_rows", "slice", "split", "transpose"}) {
    if (kernel == name) return true;
  }
  return false;
}

// Types without kernels of their own give the reference's bits.
TEST(KernelTableTest, OtherTypesRunTheReference) {
  for (const ir::OpDefinition* op : Ops().All()) {
    if (!op->reference) continue;
    for (const ir::OpCase& op_case : op->cases) {
      if (!ops::DependsOnType(op_case)) continue;
      for (const DType dtype : {DType::kF64, DType::kF16, DType::kBf16}) {
        const std::vector<Tensor> inputs = ops::CaseInputs(*op, op_case, dtype);
        const ops::CaseGraph built = ops::BuildCase(Ops(), *op, op_case, inputs);
        if (!IsStatic(*built.node)) continue;
        const auto kernel = MakeKernel(*built.node);
        const std::string reference = "reference " + op->FullName();
        EXPECT_TRUE(kernel->name() == reference || Moves(kernel->name())) << kernel->name();
        Call call(*kernel, *built.node, inputs);
        call.Run();
        const std::string what =
            op->FullName() + " " + op_case.name + " in " + std::string(Name(dtype));
        ExpectSameBits(call.Outputs(), ops::RunCase(Ops(), *op, op_case, inputs), what);
        EXPECT_TRUE(call.Intact()) << what;
      }
    }
  }
}

TEST(KernelTableTest, OpsWithoutAKernelAreNamed) {
  for (const ir::OpDefinition* op : Ops().All()) {
    // Ops that the interpreter alone runs (control flow, sequences) have no cases.
    if (op->reference || op->cases.empty()) continue;
    const std::vector<Tensor> inputs = ops::CaseInputs(*op, op->cases.at(0), DType::kF32);
    const ops::CaseGraph built = ops::BuildCase(Ops(), *op, op->cases.at(0), inputs);
    try {
      MakeKernel(*built.node);
      FAIL() << op->FullName();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
      EXPECT_EQ(error.message(),
                built.node->Describe() + ": " + op->FullName() + " has no kernel on the CPU");
    }
  }
}

// What a training step spends its time in must not fall back on the reference.
TEST(KernelTableTest, OpsOfATrainingStepHaveTheirOwnKernels) {
  const std::vector<std::string> names = {"MatMul",
                                          "Gemm",
                                          "ingot.FusedMatMul",
                                          "ReduceSum",
                                          "ReduceMean",
                                          "Softmax",
                                          "ingot.SoftmaxCrossEntropy",
                                          "ingot.SoftmaxCrossEntropyGradient",
                                          "LogSoftmax",
                                          "Add",
                                          "Sub",
                                          "Mul",
                                          "Div",
                                          "Relu",
                                          "LeakyRelu",
                                          "Elu",
                                          "Sigmoid",
                                          "Tanh",
                                          "Gelu",
                                          "ingot.ReluGradient",
                                          "Exp",
                                          "Log",
                                          "ingot.SigmoidGradient",
                                          "ingot.TanhGradient",
                                          "Sqrt",
                                          "Neg",
                                          "ingot.LeakyReluGradient",
                                          "ingot.EluGradient",
                                          "Abs",
                                          "Identity",
                                          "ingot.FusedElementwise",
                                          "ingot.TopKHits",
                                          "Attention",
                                          "ingot.AttentionGradient",
                                          "LayerNormalization",
                                          "ingot.LayerNormalizationGradient",
                                          "RMSNormalization",
                                          "ingot.RMSNormalizationGradient",
                                          "Gather",
                                          "ingot.GatherGradient",
                                          "LSTM",
                                          "GRU",
                                          "ingot.GeluGradient",
                                          "Concat",
                                          "Split",
                                          "ingot.RecurrentGradient",
                                          "Transpose",
                                          "Conv",
                                          "ingot.ConvInputGradient",
                                          "ingot.ConvWeightGradient"};
  for (const std::string& name : names) {
    const ir::OpDefinition& op = Find(name);
    std::set<std::string> kernels;
    for (const ir::OpCase& op_case : op.cases) {
      const std::vector<Tensor> inputs = ops::CaseInputs(op, op_case, DType::kF32);
      const ops::CaseGraph built = ops::BuildCase(Ops(), op, op_case, inputs);
      if (IsStatic(*built.node)) kernels.insert(MakeKernel(*built.node)->name());
    }
    kernels.erase("reference " + name);
    EXPECT_FALSE(kernels.empty()) << name << " runs by its reference alone";
  }
}

// ---- instruction sets ----

TEST(InstructionSetTest, AreConfinedAndFreedAgain) {
  const std::vector<std::string> names = InstructionSets();
  ASSERT_FALSE(names.empty());
  const std::string best = InstructionSet();
  EXPECT_EQ(best, names.front());
  for (const std::string& name : names) {
    const InstructionSetScope scope(name);
    EXPECT_EQ(InstructionSet(), name);
  }
  EXPECT_EQ(InstructionSet(), best);
  EXPECT_EQ(InstructionSets(), names);
}

TEST(InstructionSetTest, AnUnknownOneIsAnErrorAndChangesNothing) {
  const std::string best = InstructionSet();
  try {
    UseInstructionSet("AVX9");
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidInput);
    EXPECT_EQ(error.message(), "no instruction set 'AVX9' on this machine");
    EXPECT_NE(error.hint(), "");
  }
  EXPECT_EQ(InstructionSet(), best);
}

// ---- updates ----

constexpr const char* kUpdates[] = {"ingot.Adadelta", "ingot.Adagrad", "ingot.Adam",
                                    "ingot.Adamax",   "ingot.Lion",    "ingot.Nadam",
                                    "ingot.Radam",    "ingot.RmsProp", "ingot.Sgd"};

class UpdateCases : public testing::TestWithParam<std::string> {};

// All cases of an optimizer's op by its update kernel, whole and element by element.
void CheckUpdates(const std::string& name, DType dtype) {
  const ir::OpDefinition& op = Find(name);
  for (const ir::OpCase& op_case : op.cases) {
    const std::vector<Tensor> inputs = ops::CaseInputs(op, op_case, dtype);
    const ops::CaseGraph built = ops::BuildCase(Ops(), op, op_case, inputs);
    const auto kernel = MakeUpdateKernel(*built.node);
    ASSERT_NE(kernel, nullptr);
    const std::vector<Tensor> expected = ops::RunCase(Ops(), op, op_case, inputs);
    const int64_t count = inputs[0].size();
    std::vector<std::vector<Tensor>> seen;
    for (const int64_t range : {count, int64_t{1}}) {
      std::vector<Tensor> outputs;
      for (const Tensor& e : expected) outputs.emplace_back(e.dtype(), e.shape());
      for (int64_t at = 0; at < count; at += range) {
        std::vector<void*> operands;
        const auto place = [&](const Tensor& tensor) {
          const size_t moved =
              tensor.size() == count && tensor.dtype() == dtype && tensor.shape().rank() > 0
                  ? static_cast<size_t>(at)
                  : 0;
          auto* bytes = const_cast<std::byte*>(tensor.raw());
          operands.push_back(tensor.empty() ? nullptr : bytes + moved * ItemSize(dtype));
        };
        for (const Tensor& input : inputs) place(input);
        for (const Tensor& output : outputs) place(output);
        std::vector<double> derived(kernel->derived_count() + 1);
        kernel->Derive(operands, derived.data());
        EXPECT_TRUE(kernel->Run(operands, derived.data(), range));
      }
      seen.push_back(std::move(outputs));
    }
    const std::string what = op_case.name + " by " + kernel->name();
    ExpectNear(seen[0], expected, dtype == DType::kF64 ? 1e-12 : op_case.tolerance, what);
    ExpectSameBits(seen[1], seen[0], what + ", element by element");
  }
}

TEST_P(UpdateCases, AgreeWithTheReference) {
  const InstructionSetScope scope(GetParam());
  for (const char* name : kUpdates) {
    CheckUpdates(name, DType::kF32);
    CheckUpdates(name, DType::kF64);
  }
}

INSTANTIATE_TEST_SUITE_P(EverySet, UpdateCases, testing::ValuesIn(InstructionSets()),
                         [](const auto& info) { return info.param; });

TEST(KernelTableTest, OnlyOptimizersHaveUpdateKernels) {
  for (const ir::OpDefinition* op : Ops().All()) {
    if (op->cases.empty()) continue;
    const ir::OpCase& op_case = op->cases.at(0);
    const std::vector<Tensor> inputs = ops::CaseInputs(*op, op_case, DType::kF32);
    const ops::CaseGraph built = ops::BuildCase(Ops(), *op, op_case, inputs);
    if (built.node->inputs().empty()) continue;
    const bool optimizer = std::count(std::begin(kUpdates), std::end(kUpdates), op->FullName()) > 0;
    EXPECT_EQ(MakeUpdateKernel(*built.node) != nullptr, optimizer) << op->FullName();
  }
}

}  // namespace
}  // namespace ingot::cpu
