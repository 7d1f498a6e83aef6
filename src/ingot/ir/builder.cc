// Builder: nodes with their types inferred at once.
#include "ingot/ir/builder.h"

#include "ingot/base/error.h"

namespace ingot::ir {

namespace {

// Removes the node again when its inference fails, so that the graph stays as it was.
void InferOrRemove(Graph& graph, Node* node) {
  try {
    InferNode(*node);
  } catch (...) {
    graph.RemoveNode(node);
    throw;
  }
}

bool SurelySameShape(const Type& a, const Type& b) {
  if (!a.is_tensor() || !b.is_tensor() || !a.has_rank() || !b.has_rank()) return false;
  if (a.rank() != b.rank()) return false;
  for (int i = 0; i < a.rank(); ++i) {
    if (!a.dim(i).SurelyEquals(b.dim(i))) return false;
  }
  return true;
}

}  // namespace

std::vector<Value*> Builder::Ops(const std::string& op, std::vector<Value*> inputs, size_t outputs,
                                 Attributes attributes) {
  const size_t dot = op.rfind('.');
  const OpDefinition& definition = dot == std::string::npos
                                       ? registry_.Get(op)
                                       : registry_.Get(op.substr(dot + 1), op.substr(0, dot));
  Node* node =
      graph_.AddNode(definition, std::move(inputs), std::move(attributes), outputs, before_);
  node->set_layer(layer_);
  InferOrRemove(graph_, node);
  return {node->outputs().begin(), node->outputs().end()};
}

Value* Builder::Op(const std::string& op, std::vector<Value*> inputs, Attributes attributes) {
  return Ops(op, std::move(inputs), 1, std::move(attributes))[0];
}

Value* Builder::Constant(Tensor tensor) {
  return Op("Constant", {}, {{"value", Attribute(std::move(tensor))}});
}

Value* Builder::ScalarLike(const Value* like, double value) {
  return Constant(Tensor::Scalar<double>(value).Cast(like->type().dtype()));
}

Value* Builder::Ints(const std::vector<int64_t>& values) {
  return Constant(Tensor::Of<int64_t>(Shape{static_cast<int64_t>(values.size())},
                                      std::span<const int64_t>(values)));
}

Value* Builder::SumToLike(Value* x, Value* like) {
  if (SurelySameShape(x->type(), like->type())) return x;
  return Op("ingot.SumToLike", {x, like});
}

Value* Builder::ExpandLike(Value* x, Value* like) {
  if (SurelySameShape(x->type(), like->type())) return x;
  return Op("ingot.ExpandLike", {x, like});
}

Value* Builder::ReshapeLike(Value* x, Value* like) {
  if (SurelySameShape(x->type(), like->type())) return x;
  return Op("ingot.ReshapeLike", {x, like});
}

}  // namespace ingot::ir
