// Batch normalisation of f32 with f64 sums, the mixture that training uses, against its reference.
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "backends/cpu/kernel_factories.h"
#include "ingot/ir/builder.h"
#include "ingot/ops/interpreter.h"
#include "ingot/ops/op_case_runner.h"
#include "ingot/ops/standard_ops.h"

namespace ingot::cpu {
namespace {

constexpr int64_t kChannels = 37;

// Channels with means from 0 to 36 and a spread of about 1.
Tensor Activations() {
  Tensor x(DType::kF32, {3, 5, 4, kChannels});
  const std::span<float> data = x.data<float>();
  for (size_t i = 0; i < data.size(); ++i) {
    const auto c = static_cast<float>(i % kChannels);
    data[i] = c + static_cast<float>((i * 7919) % 101) / 50.0f - 1.0f;
  }
  return x;
}

Tensor Ramp(DType dtype, int64_t size, double start, double step) {
  Tensor values(DType::kF64, {size});
  for (int64_t i = 0; i < size; ++i) {
    values.data<double>()[static_cast<size_t>(i)] = start + step * static_cast<double>(i);
  }
  return values.Cast(dtype);
}

// "": the kernel of the op agrees with the reference on these inputs.
std::string Check(const std::string& op, const std::vector<Tensor>& inputs) {
  const ir::OpRegistry registry = ops::StandardOps();
  ir::Graph graph;
  ir::Builder builder(graph, registry);
  std::vector<ir::Value*> values;
  std::vector<void*> operands;
  for (const Tensor& tensor : inputs) {
    values.push_back(graph.AddInput("input" + std::to_string(values.size()),
                                    ir::Type::Tensor(tensor.dtype(), tensor.shape())));
    operands.push_back(const_cast<std::byte*>(tensor.raw()));
  }
  ir::Value* y = builder.Op("ingot." + op, values, {{"channels_last", int64_t{1}}});
  graph.AddOutput(y, "y");
  const KernelPointer kernel = MakeBatchNormKernel(*y->producer());
  if (kernel == nullptr) return "no kernel";
  Tensor result(y->type().dtype(), y->type().shape());
  operands.push_back(result.raw());
  const std::shared_ptr<std::byte> scratch = AllocateBytes(kernel->scratch_bytes() + 64);
  kernel->Run(operands, scratch.get());
  return ops::Compare(result, ops::InterpretInOrder(graph, inputs).at(0), 1e-6);
}

Tensor Sums() {
  Tensor sums(DType::kF64, {2 * kChannels + 1});
  const Tensor x = Activations();
  for (size_t i = 0; i < static_cast<size_t>(x.size()); ++i) {
    const double value = std::as_const(x).data<float>()[i];
    sums.data<double>()[i % kChannels] += value;
    sums.data<double>()[kChannels + i % kChannels] += value * value;
  }
  sums.data<double>()[2 * kChannels] = 60;
  return sums;
}

TEST(BatchNormKernelTest, AgreesWithTheReference) {
  const Tensor x = Activations();
  const Tensor scale = Ramp(DType::kF32, kChannels, 0.5, 0.03);
  EXPECT_EQ(Check("BatchNormSums", {x}), "");
  EXPECT_EQ(Check("BatchNormSumsGradient", {x, Ramp(DType::kF64, 2 * kChannels + 1, -1, 0.1)}), "");
  EXPECT_EQ(Check("BatchNormApply", {x, Sums(), scale, scale}), "");
  EXPECT_EQ(Check("BatchNormApplyInputGradient", {x, Sums(), scale}), "");
}

}  // namespace
}  // namespace ingot::cpu
