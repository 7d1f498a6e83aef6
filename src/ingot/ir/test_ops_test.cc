// The ops of this room's tests, and that they can be built with.
#include "ingot/ir/test_ops.h"

#include <gtest/gtest.h>

#include "ingot/base/error.h"

namespace ingot::ir {

namespace {

using Presence = Port::Presence;

void NoKernel(const ReferenceCall&) {}

OpDefinition Define(std::string name, std::vector<Port> inputs, std::vector<Port> outputs,
                    std::function<void(InferContext&)> infer) {
  OpDefinition op;
  op.name = std::move(name);
  op.inputs = std::move(inputs);
  op.outputs = std::move(outputs);
  op.infer = std::move(infer);
  op.reference = NoKernel;
  return op;
}

Port In(std::string name, Presence presence = Presence::kRequired, std::string variable = "T") {
  return {std::move(name), presence, std::move(variable)};
}

void InferMatMul(InferContext& context) {
  const Type& a = context.input(0);
  const Type& b = context.input(1);
  if (a.rank() != 2 || b.rank() != 2 ||
      (a.dim(1).is_static() && b.dim(0).is_static() && a.dim(1) != b.dim(0))) {
    throw Error(ErrorCode::kInvalidInput,
                "shapes " + ToString(a.dims()) + " and " + ToString(b.dims()) + " do not fit");
  }
  context.SetOutput(0, a.WithDims({a.dim(0), b.dim(1)}));
}

OpDefinition ConstantOp() {
  OpDefinition op = Define("Constant", {}, {In("output")}, [](InferContext& context) {
    const ingot::Tensor& value = context.node().GetTensor("value");
    context.SetOutput(0, Type::Tensor(value.dtype(), value.shape()));
  });
  op.attributes = {{"value", AttributeKind::kTensor, std::nullopt, true}};
  return op;
}

OpDefinition BranchOp() {
  OpDefinition op = Define(
      "Branch", {In("condition", Presence::kRequired, ""), In("inputs", Presence::kVariadic, "")},
      {In("outputs", Presence::kVariadic, "")}, [](InferContext& context) {
        const Graph& body = *context.node().GetGraph("then_branch");
        for (size_t i = 0; i < body.outputs().size(); ++i) {
          context.SetOutput(i, body.outputs()[i]->type());
        }
      });
  op.reference = nullptr;  // allowed for an op with subgraphs
  op.attributes = {{"then_branch", AttributeKind::kGraph, std::nullopt, true},
                   {"else_branch", AttributeKind::kGraph, std::nullopt, false}};
  return op;
}

OpDefinition StepOp() {
  OpDefinition op =
      Define("Step", {In("x"), In("state", Presence::kOptional)},
             {In("y"), In("new_state", Presence::kOptional)}, [](InferContext& context) {
               context.SetOutput(0, context.input(0));
               if (context.outputs().size() > 1) context.SetOutput(1, context.input(1));
             });
  op.domain = "ingot";
  op.attributes = {{"axis", AttributeKind::kInt, Attribute(int64_t{-1}), false},
                   {"epsilon", AttributeKind::kFloat, Attribute(0.5), false},
                   {"mode", AttributeKind::kString, Attribute(std::string("fast")), false},
                   {"axes", AttributeKind::kInts, std::nullopt, false},
                   {"scales", AttributeKind::kFloats, std::nullopt, false},
                   {"names", AttributeKind::kStrings, std::nullopt, false},
                   {"kind", AttributeKind::kType, std::nullopt, false}};
  return op;
}

}  // namespace

OpRegistry TestOps() {
  OpRegistry registry;
  registry.Add(ConstantOp());
  registry.Add(Define("Add", {In("A"), In("B")}, {In("C")}, [](InferContext& context) {
    const Type& a = context.input(0);
    context.SetOutput(0, a.WithDims(BroadcastDimensions(a.dims(), context.input(1).dims())));
  }));
  registry.Add(Define("MatMul", {In("A"), In("B")}, {In("Y")}, InferMatMul));
  registry.Add(
      Define("Clamp", {In("x"), In("low", Presence::kOptional), In("high", Presence::kOptional)},
             {In("y")}, [](InferContext& context) { context.SetOutput(0, context.input(0)); }));
  registry.Add(
      Define("Concat", {In("parts", Presence::kVariadic)}, {In("y")}, [](InferContext& context) {
        context.SetOutput(0, context.input(0).WithDims({Dimension()}));
      }));
  registry.Add(Define("Compress", {In("x")}, {In("y")}, [](InferContext& context) {
    context.SetOutput(0, context.input(0).WithDims({Dimension()}));
  }));
  registry.Add(Define(
      "SequenceOf", {In("parts", Presence::kVariadic)}, {In("s", Presence::kRequired, "")},
      [](InferContext& context) { context.SetOutput(0, Type::Sequence(context.input(0))); }));
  registry.Add(
      Define("ItemOf", {In("s", Presence::kRequired, "")}, {In("y")},
             [](InferContext& context) { context.SetOutput(0, context.input(0).element()); }));
  registry.Add(Define(
      "OptionalOf", {In("x")}, {In("o", Presence::kRequired, "")},
      [](InferContext& context) { context.SetOutput(0, Type::Optional(context.input(0))); }));
  registry.Add(BranchOp());
  registry.Add(StepOp());
  return registry;
}

Value* Scalar(Builder& builder, double value) {
  return builder.Constant(ingot::Tensor::Scalar<float>(static_cast<float>(value)));
}

namespace {

TEST(TestOps, CanBeBuiltWith) {
  const OpRegistry registry = TestOps();
  Graph graph;
  Builder builder(graph, registry);
  Value* x = graph.AddInput("x", Type::Tensor(DType::kF32, {"batch", 3}));
  EXPECT_EQ(builder.Add(x, Scalar(builder, 1))->type(), x->type());
}

}  // namespace
}  // namespace ingot::ir
