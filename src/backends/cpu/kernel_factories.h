// The factories that the kernel table is made of. Each returns null for a node it does not cover.
#pragma once

#include <memory>

#include "ingot/ir/graph.h"
#include "ingot/runtime/kernel.h"

namespace ingot::cpu {

using KernelPointer = std::shared_ptr<const runtime::Kernel>;

KernelPointer MakeMatMulKernel(const ir::Node& node);  // MatMul, Gemm, ingot.FusedMatMul
KernelPointer MakeTransposeKernel(const ir::Node& node);
KernelPointer MakeConvolutionKernel(const ir::Node& node);  // Conv and its gradients
KernelPointer MakeElementwiseKernel(const ir::Node& node);  // and ingot.FusedElementwise
KernelPointer MakeReductionKernel(const ir::Node& node);    // ReduceSum, ReduceMean
KernelPointer MakeLossKernel(const ir::Node& node);         // softmax cross-entropy, its gradient
KernelPointer MakeSoftmaxKernel(const ir::Node& node);    // Softmax, LogSoftmax over the last axis
KernelPointer MakeAttentionKernel(const ir::Node& node);  // Attention, its gradient
KernelPointer MakeLayerNormalizationKernel(const ir::Node& node);  // RMSNormalization, gradients
KernelPointer MakeGatherKernel(const ir::Node& node);              // Gather of rows, its gradient
KernelPointer MakeRecurrentKernel(const ir::Node& node);           // LSTM, GRU, their gradient
KernelPointer MakeConcatKernel(const ir::Node& node);              // Concat, Split
KernelPointer MakeOrthogonalMomentumKernel(const ir::Node& node);  // Muon's direction
KernelPointer MakePoolKernel(const ir::Node& node);                // pooling, its gradients
KernelPointer MakeResizeKernel(const ir::Node& node);              // Resize, its gradient
KernelPointer MakeBatchNormKernel(const ir::Node& node);           // sums, apply, gradients for X
KernelPointer MakeBatchNormUpdateKernel(const ir::Node& node);     // sums, apply, gradients for X
KernelPointer MakeStridedCopyKernel(const ir::Node& node);         // Slice, Expand, Transpose
KernelPointer MakeQuantizeKernel(const ir::Node& node);  // to and from bytes, with one scale
KernelPointer MakeQuantizedAddKernel(const ir::Node& node);
KernelPointer MakeBytePoolKernel(const ir::Node& node);

}  // namespace ingot::cpu
