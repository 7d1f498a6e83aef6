// Kernels for inference: operands that are Constants are brought into the kernel's layout, once for
// all kernels that are given the same PackedWeights.
#pragma once

#include <memory>

#include "backends/cpu/convolution.h"
#include "backends/cpu/packed_weights.h"
#include "ingot/ir/graph.h"
#include "ingot/ops/convolution.h"
#include "ingot/runtime/kernel.h"

namespace ingot::cpu {

// The most specialised kernel of the inference table, else what MakeKernel (kernel_table.h) gives.
std::shared_ptr<const runtime::Kernel> MakeInferenceKernel(const ir::Node& node,
                                                           PackedWeights& weights);

// ---- the factories of the table; each returns null for a node it does not cover ----

using PackedKernelPointer = std::shared_ptr<const runtime::Kernel>;

PackedKernelPointer MakePackedConvolutionKernel(const ir::Node& node, PackedWeights& weights);
PackedKernelPointer MakePackedMatMulKernel(const ir::Node& node, PackedWeights& weights);
PackedKernelPointer MakeQuantizedConvolutionKernel(const ir::Node& node, PackedWeights& weights);
PackedKernelPointer MakeQuantizedMatMulKernel(const ir::Node& node, PackedWeights& weights);
PackedKernelPointer MakeMatMulIntegerKernel(const ir::Node& node, PackedWeights& weights);
PackedKernelPointer MakeMatMulNBitsKernel(const ir::Node& node, PackedWeights& weights);

// The shape of a convolution over lines or planes, channels last; false for another.
bool FindConvolutionShape(const ops::Convolution& convolution, ConvolutionShape& shape);

}  // namespace ingot::cpu
