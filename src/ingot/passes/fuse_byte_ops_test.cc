// fuse_byte_ops: what becomes an op of bytes, what does not, and that results stay.
#include "ingot/passes/fuse_byte_ops.h"

#include <gtest/gtest.h>

#include "ingot/ir/builder.h"
#include "ingot/ops/standard_ops.h"
#include "ingot/passes/random_graph.h"

namespace ingot::passes {
namespace {

using ir::Graph;
using ir::Type;
using ir::Value;
using Ints = std::vector<int64_t>;

// Scales are powers of two, so that rounding is the same in whatever order.
class FuseByteOpsTest : public ::testing::Test {
 protected:
  Value* Bytes(const std::string& name, const Shape& shape) {
    return graph_.AddInput(name, Type::Tensor(DType::kU8, shape));
  }
  std::vector<Value*> With(Value* x, float scale, uint8_t zero) {
    return {x, b_.Constant(Tensor::Scalar(scale)), b_.Constant(Tensor::Scalar(zero))};
  }
  Value* From(Value* x, float scale, uint8_t zero) {
    return b_.Op("DequantizeLinear", With(x, scale, zero));
  }
  Value* To(Value* x, float scale, uint8_t zero) {
    return b_.Op("QuantizeLinear", With(x, scale, zero));
  }
  void Expect(Value* output, const std::map<std::string, int>& left) {
    graph_.AddOutput(output, "y");
    ExpectAfterPass(graph_, registry_, &FuseByteOps, 0, left);
  }

  const ir::OpRegistry registry_ = ops::StandardOps();
  Graph graph_{"net"};
  ir::Builder b_{graph_, registry_};
};

TEST_F(FuseByteOpsTest, SumsOfBytes) {
  Value* a = From(Bytes("a", {2, 3, 4, 5}), 0.5F, 128);
  Value* b = From(Bytes("b", {2, 3, 4, 5}), 0.25F, 100);
  Expect(To(b_.Add(a, b), 1, 120),
         {{"ingot.QuantizedAdd", 1}, {"Add", 0}, {"DequantizeLinear", 0}, {"QuantizeLinear", 0}});
}

TEST_F(FuseByteOpsTest, SumsWithRelu) {
  Value* a = From(Bytes("a", {3, 50}), 0.5F, 128);
  Value* sum = b_.Add(a, From(Bytes("b", {3, 50}), 0.25F, 100));
  Expect(To(b_.Op("Relu", {sum}), 0.5F, 7),
         {{"ingot.QuantizedAdd", 1}, {"Relu", 0}, {"Add", 0}, {"QuantizeLinear", 0}});
}

TEST_F(FuseByteOpsTest, SumsThatAreCut) {
  Value* a = From(Bytes("a", {3, 50}), 0.5F, 128);
  Value* sum = b_.Add(a, From(Bytes("b", {3, 50}), 0.25F, 100));
  Value* low = b_.Constant(Tensor::Scalar(0.0F));
  Value* high = b_.Constant(Tensor::Scalar(6.0F));
  Expect(To(b_.Op("Clip", {sum, low, high}), 0.125F, 7),
         {{"ingot.QuantizedAdd", 1}, {"Clip", 0}, {"Add", 0}, {"QuantizeLinear", 0}});
}

TEST_F(FuseByteOpsTest, SumsOfOtherShapesStay) {
  Value* a = From(Bytes("a", {3, 50}), 0.5F, 128);
  Expect(To(b_.Add(a, From(Bytes("b", {1, 50}), 0.25F, 100)), 1, 120),
         {{"ingot.QuantizedAdd", 0}, {"Add", 1}, {"QuantizeLinear", 1}});
}

TEST_F(FuseByteOpsTest, SumsThatOthersReadStay) {
  Value* a = From(Bytes("a", {3, 50}), 0.5F, 128);
  Value* sum = b_.Add(a, From(Bytes("b", {3, 50}), 0.25F, 100));
  graph_.AddOutput(sum, "sum");
  Expect(To(sum, 1, 120), {{"ingot.QuantizedAdd", 0}, {"Add", 1}, {"QuantizeLinear", 1}});
}

TEST_F(FuseByteOpsTest, BytesGoThroughWhatTakesElementsAsTheyAre) {
  Value* x = From(Bytes("x", {2, 3, 6, 6}), 0.5F, 128);
  Value* pooled = b_.Op("MaxPool", {x}, {{"kernel_shape", Ints{3, 3}}, {"pads", Ints{1, 1, 1, 1}}});
  Value* y = From(To(pooled, 0.5F, 128), 0.5F, 128);
  y = From(To(b_.Op("Concat", {y, y}, {{"axis", int64_t{1}}}), 0.5F, 128), 0.5F, 128);
  y = From(To(b_.Op("Transpose", {y}, {{"perm", Ints{0, 2, 3, 1}}}), 0.5F, 128), 0.5F, 128);
  y = b_.Op("Reshape", {y, b_.Ints({2, -1})});
  Expect(To(y, 0.5F, 128), {{"DequantizeLinear", 0},
                            {"QuantizeLinear", 0},
                            {"MaxPool", 1},
                            {"Concat", 1},
                            {"Transpose", 1},
                            {"Reshape", 1}});
}

TEST_F(FuseByteOpsTest, AnotherScaleStays) {
  Value* x = From(Bytes("x", {2, 3, 6, 6}), 0.5F, 128);
  Value* y = b_.Op("MaxPool", {x}, {{"kernel_shape", Ints{2, 2}}});
  Expect(To(y, 0.25F, 128), {{"DequantizeLinear", 1}, {"QuantizeLinear", 1}});
}

TEST_F(FuseByteOpsTest, AnAverageOfBytesIsNoByte) {
  Value* x = From(Bytes("x", {2, 3, 6, 6}), 0.5F, 128);
  Value* y = b_.Op("AveragePool", {x}, {{"kernel_shape", Ints{2, 2}}});
  Expect(To(y, 0.5F, 128), {{"DequantizeLinear", 1}, {"QuantizeLinear", 1}});
}

}  // namespace
}  // namespace ingot::passes
