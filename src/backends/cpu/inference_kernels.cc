// The table of kernels with packed weights.
#include "backends/cpu/inference_kernels.h"

#include <map>
#include <string>
#include <vector>

#include "backends/cpu/kernel_table.h"
#include "ingot/ir/op.h"

namespace ingot::cpu {

PackedKernelPointer MakeInferenceKernel(const ir::Node& node, PackedWeights& weights) {
  using Factory = PackedKernelPointer (*)(const ir::Node&, PackedWeights&);
  static const std::map<std::string, std::vector<Factory>, std::less<>> table = {
      {"ingot.FusedConv", {MakePackedConvolutionKernel}},
      {"MatMul", {MakePackedMatMulKernel}},
      {"Gemm", {MakePackedMatMulKernel}},
      {"ingot.FusedMatMul", {MakePackedMatMulKernel}},
      {"ingot.QuantizedConv", {MakeQuantizedConvolutionKernel}},
      {"ingot.QuantizedMatMul", {MakeQuantizedMatMulKernel}},
      {"MatMulInteger", {MakeMatMulIntegerKernel}},
      {"com.microsoft.MatMulNBits", {MakeMatMulNBitsKernel}},
  };
  const auto entry = table.find(node.op().FullName());
  if (entry != table.end()) {
    for (const Factory factory : entry->second) {
      if (PackedKernelPointer kernel = factory(node, weights)) return kernel;
    }
  }
  return MakeKernel(node);
}

}  // namespace ingot::cpu
