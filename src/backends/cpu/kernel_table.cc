// The table of kernels, the reference kernel, and the choice of the instruction set.
#include "backends/cpu/kernel_table.h"

#include <array>
#include <map>

#include "hwy/highway.h"

#include "backends/cpu/kernel_factories.h"
#include "ingot/base/error.h"
#include "ingot/base/text.h"
#include "ingot/ir/op.h"
#include "ingot/tensor/tensor.h"

namespace ingot::cpu {
namespace {

// Runs an op's reference on whole tensors. The shapes are fixed; views are made on the stack.
class ReferenceKernel : public runtime::Kernel {
 public:
  explicit ReferenceKernel(const ir::Node& node) : node_(node) {
    INGOT_ASSERT(node.inputs().size() + node.outputs().size() <= kMostOperands,
                 node.Describe() + " has too many operands");
    for (const ir::Value* value : node.inputs()) AddOperand(value);
    for (const ir::Value* value : node.outputs()) AddOperand(value);
  }

  void Run(std::span<void* const> operands, std::byte* /*scratch*/) const override {
    std::array<TensorView, kMostOperands> views;
    for (size_t i = 0; i < operands.size(); ++i) {
      views[i] = {operands[i], dtypes_[i], shapes_[i].dims()};
    }
    const size_t inputs = node_.inputs().size();
    node_.op().reference(
        {node_, {views.data(), inputs}, {views.data() + inputs, node_.outputs().size()}});
  }
  std::string name() const override { return "reference " + node_.op().FullName(); }

 private:
  static constexpr size_t kMostOperands = 64;

  void AddOperand(const ir::Value* value) {
    dtypes_.push_back(value == nullptr ? DType::kUndefined : value->type().dtype());
    shapes_.push_back(value == nullptr ? Shape() : value->type().shape());
  }

  const ir::Node& node_;
  std::vector<DType> dtypes_;
  std::vector<Shape> shapes_;
};

using Factory = KernelPointer (*)(const ir::Node&);

const std::map<std::string, std::vector<Factory>, std::less<>>& Table() {
  static const std::map<std::string, std::vector<Factory>, std::less<>> table = {
      {"MatMul", {MakeMatMulKernel}},
      {"Gemm", {MakeMatMulKernel}},
      {"ingot.FusedMatMul", {MakeMatMulKernel}},
      {"Transpose", {MakeTransposeKernel, MakeStridedCopyKernel}},
      {"Slice", {MakeStridedCopyKernel}},
      {"Expand", {MakeStridedCopyKernel}},
      {"QuantizeLinear", {MakeQuantizeKernel}},
      {"DequantizeLinear", {MakeQuantizeKernel}},
      {"DynamicQuantizeLinear", {MakeQuantizeKernel}},
      {"ingot.QuantizedAdd", {MakeQuantizedAddKernel}},
      {"Conv", {MakeConvolutionKernel}},
      {"ingot.ConvInputGradient", {MakeConvolutionKernel}},
      {"ingot.ConvWeightGradient", {MakeConvolutionKernel}},
      {"ReduceSum", {MakeReductionKernel}},
      {"ReduceMean", {MakeReductionKernel}},
      {"ingot.SoftmaxCrossEntropy", {MakeLossKernel}},
      {"ingot.SoftmaxCrossEntropyGradient", {MakeLossKernel}},
      {"ingot.TopKHits", {MakeLossKernel}},
      {"Softmax", {MakeSoftmaxKernel}},
      {"LogSoftmax", {MakeSoftmaxKernel}},
      {"ingot.FusedElementwise", {MakeElementwiseKernel}},
      {"LayerNormalization", {MakeLayerNormalizationKernel}},
      {"ingot.LayerNormalizationGradient", {MakeLayerNormalizationKernel}},
      {"RMSNormalization", {MakeLayerNormalizationKernel}},
      {"ingot.RMSNormalizationGradient", {MakeLayerNormalizationKernel}},
      {"Gather", {MakeGatherKernel}},
      {"ingot.GatherGradient", {MakeGatherKernel}},
      {"Concat", {MakeConcatKernel}},
      {"Split", {MakeConcatKernel}},
      {"LSTM", {MakeRecurrentKernel}},
      {"GRU", {MakeRecurrentKernel}},
      {"ingot.RecurrentGradient", {MakeRecurrentKernel}},
      {"Attention", {MakeAttentionKernel}},
      {"ingot.AttentionGradient", {MakeAttentionKernel}},
      {"ingot.OrthogonalMomentum", {MakeOrthogonalMomentumKernel}},
      {"MaxPool", {MakePoolKernel, MakeBytePoolKernel}},
      {"ingot.MaxPoolGradient", {MakePoolKernel}},
      {"AveragePool", {MakePoolKernel}},
      {"ingot.AveragePoolGradient", {MakePoolKernel}},
      {"GlobalMaxPool", {MakePoolKernel, MakeBytePoolKernel}},
      {"ingot.GlobalMaxPoolGradient", {MakePoolKernel}},
      {"GlobalAveragePool", {MakePoolKernel}},
      {"ingot.GlobalAveragePoolGradient", {MakePoolKernel}},
      {"Resize", {MakeResizeKernel}},
      {"ingot.ResizeGradient", {MakeResizeKernel}},
      {"ingot.BatchNormSums", {MakeBatchNormKernel}},
      {"ingot.BatchNormSumsGradient", {MakeBatchNormKernel}},
      {"ingot.BatchNormApply", {MakeBatchNormKernel}},
      {"ingot.BatchNormApplyInputGradient", {MakeBatchNormKernel}},
      {"ingot.BatchNormApplySumsGradient", {MakeBatchNormKernel}},
      {"ingot.BatchNormInputGradient", {MakeBatchNormKernel}},
      {"ingot.BatchNormUpdate", {MakeBatchNormUpdateKernel}},
  };
  return table;
}

int64_t AllTargets() {
  int64_t all = 0;
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) all |= target;
  return all;
}

}  // namespace

KernelPointer MakeReferenceKernel(const ir::Node& node) {
  if (!node.op().reference) {
    throw Error(ErrorCode::kUnsupported,
                node.Describe() + ": " + node.op().FullName() + " has no kernel on the CPU");
  }
  return std::make_shared<ReferenceKernel>(node);
}

KernelPointer MakeKernel(const ir::Node& node) {
  const auto entry = Table().find(node.op().FullName());
  if (entry != Table().end()) {
    for (const Factory factory : entry->second) {
      if (KernelPointer kernel = factory(node)) return kernel;
    }
  } else if (node.op().elementwise) {
    if (KernelPointer kernel = MakeElementwiseKernel(node)) return kernel;
  }
  return MakeReferenceKernel(node);
}

std::vector<std::string> InstructionSets() {
  std::vector<std::string> names;
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    names.emplace_back(hwy::TargetName(target));
  }
  return names;
}

void UseInstructionSet(const std::string& name) {
  hwy::DisableTargets(0);
  if (name.empty()) {
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    return;
  }
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    if (name != hwy::TargetName(target)) continue;
    hwy::DisableTargets(AllTargets() & ~target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    return;
  }
  const std::vector<std::string> names = InstructionSets();
  throw Error(ErrorCode::kInvalidInput, "no instruction set '" + name + "' on this machine",
              DidYouMean(name, names));
}

std::string InstructionSet() {
  return InstructionSets().front();
}

}  // namespace ingot::cpu
