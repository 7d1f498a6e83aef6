// FusedElementwise: several elementwise nodes as one, made by fusion passes. Its body is a graph of
// elementwise ops; the reference evaluates it node by node, so that it means what the nodes meant.
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "ingot/base/error.h"
#include "ingot/ops/definition.h"
#include "ingot/ops/interpreter.h"

namespace ingot::ops {

void RegisterFusedElementwise(ir::OpRegistry& registry);

namespace {

using ir::InferContext;
using ir::OpDefinition;
using ir::Type;

// The body's types follow from those of the node's inputs, whatever they were when it was made.
void InferFusedElementwise(InferContext& context) {
  const ir::Node& node = context.node();
  const std::unique_ptr<ir::Graph> body = node.GetGraph("body")->Clone();
  if (body->inputs().size() != node.inputs().size() || body->outputs().size() != 1) {
    throw Error(ErrorCode::kInvalidInput,
                "the body takes " + std::to_string(body->inputs().size()) + " inputs and has " +
                    std::to_string(body->outputs().size()) + " outputs, expected " +
                    std::to_string(node.inputs().size()) + " and 1");
  }
  for (const ir::Node* inner : body->nodes()) {
    if (inner->op().elementwise || inner->op_type() == "Constant") continue;
    throw Error(ErrorCode::kInvalidInput,
                "the body holds " + inner->Describe() + ", which is not elementwise");
  }
  for (size_t i = 0; i < node.inputs().size(); ++i) body->inputs()[i]->set_type(context.input(i));
  ir::InferGraph(*body);
  context.SetOutput(0, body->outputs()[0]->type());
}

// A tensor that does not own its bytes.
Tensor Borrow(const TensorView& view) {
  std::shared_ptr<std::byte> bytes(static_cast<std::byte*>(view.data), [](std::byte*) {});
  return Tensor(view.dtype, Shape(view.dims), std::move(bytes));
}

void FusedElementwiseReference(const ir::ReferenceCall& call) {
  const std::unique_ptr<ir::Graph> body = call.node.GetGraph("body")->Clone();
  std::vector<Tensor> inputs;
  for (size_t i = 0; i < call.inputs.size(); ++i) {
    inputs.push_back(Borrow(call.inputs[i]));
    body->inputs()[i]->set_type(Type::Tensor(inputs[i].dtype(), inputs[i].shape()));
  }
  const Tensor result = InterpretInOrder(*body, inputs).at(0);
  const TensorView& out = call.output();
  INGOT_ASSERT(result.dtype() == out.dtype && result.size() == out.size(),
               "the body made " + result.Describe());
  if (result.bytes() > 0) std::memmove(out.data, result.raw(), result.bytes());
}

// relu(a * b + 1) * a: a value used twice, a constant, and broadcasting.
std::shared_ptr<ir::Graph> ExampleBody(const ir::OpRegistry& registry) {
  auto body = std::make_shared<ir::Graph>("fused");
  ir::Value* a = body->AddInput("a", Type::TensorOfUnknownRank(DType::kF32));
  ir::Value* b = body->AddInput("b", Type::TensorOfUnknownRank(DType::kF32));
  ir::Builder builder(*body, registry);
  ir::Value* sum = builder.Add(builder.Mul(a, b), builder.ScalarLike(a, 1));
  body->AddOutput(builder.Mul(builder.Op("Relu", {sum}), a), "y");
  return body;
}

}  // namespace

// Its example needs ops of families that stand before this one in the alphabet.
void RegisterFusedElementwise(ir::OpRegistry& registry) {
  OpDefinition op;
  op.name = "FusedElementwise";
  op.domain = "ingot";
  op.summary = "A graph of elementwise ops over one shape, to which the inputs are broadcast.";
  op.inputs = {{"inputs", ir::Port::Presence::kVariadic, ""}};
  op.outputs = {Required("Y", "Y")};
  op.attributes = {RequiredAttribute("body", ir::AttributeKind::kGraph)};
  op.infer = InferFusedElementwise;
  op.reference = FusedElementwiseReference;
  op.elementwise = true;
  op.may_run_in_place = true;
  const ir::Attributes body = {{"body", ExampleBody(registry)}};
  // The constant in the body is f32, and so are all inputs.
  const auto fixed = [](Shape shape, const std::vector<float>& values) {
    OpCase::Input input = Integers(shape, std::vector<int64_t>(values.size()));
    input.value = Tensor::Of<float>(shape, std::span<const float>(values));
    return input;
  };
  op.cases = {OpCase{.name = "by_hand",
                     .inputs = {fixed({3}, {1, -2, 4}), fixed({3}, {2, 3, -0.125})},
                     .attributes = body,
                     .expected = {{3, 0, 2}},
                     .gradient = false},
              OpCase{.name = "row",
                     .inputs = {fixed({2, 2}, {1, 2, 3, 4}), fixed({2}, {0.5, -2})},
                     .attributes = body,
                     .expected = {{1.5, 0, 7.5, 0}},
                     .gradient = false}};
  registry.Add(std::move(op));
}

}  // namespace ingot::ops
