// Builder: adds nodes to a graph with their types inferred at once, so that a shape mismatch is
// reported where it is made, naming the layer and both shapes.
#pragma once

#include <initializer_list>
#include <string>
#include <vector>

#include "ingot/ir/graph.h"
#include "ingot/ir/op.h"

namespace ingot::ir {

class Builder {
 public:
  // Neither is owned; both must outlive the builder. New nodes stand before `before` (null: end).
  Builder(Graph& graph, const OpRegistry& registry, Node* before = nullptr)
      : graph_(graph), registry_(registry), before_(before) {}

  Graph& graph() { return graph_; }
  const OpRegistry& registry() const { return registry_; }
  // Every node added from now on belongs to this layer.
  void set_layer(std::string layer) { layer_ = std::move(layer); }
  const std::string& layer() const { return layer_; }
  void set_insertion_point(Node* before) { before_ = before; }

  // Adds a node of ONNX's domain (or "ingot.Name") with one output and returns that.
  // Throws Error: kUnsupported for an unknown op, kInvalidInput where shapes or types do not fit.
  Value* Op(const std::string& op, std::vector<Value*> inputs, Attributes attributes = {});
  // The same with several outputs.
  std::vector<Value*> Ops(const std::string& op, std::vector<Value*> inputs, size_t outputs,
                          Attributes attributes = {});

  Value* Constant(Tensor tensor);
  // A scalar of `like`'s element type.
  Value* ScalarLike(const Value* like, double value);
  Value* Ints(const std::vector<int64_t>& values);  // i64[n]

  // Shorthands used by gradient rules.
  Value* Add(Value* a, Value* b) { return Op("Add", {a, b}); }
  Value* Sub(Value* a, Value* b) { return Op("Sub", {a, b}); }
  Value* Mul(Value* a, Value* b) { return Op("Mul", {a, b}); }
  Value* Div(Value* a, Value* b) { return Op("Div", {a, b}); }
  Value* Neg(Value* a) { return Op("Neg", {a}); }
  Value* MulScalar(Value* a, double s) { return Mul(a, ScalarLike(a, s)); }
  // x summed over whatever axes were broadcast, so that it has the shape of `like` (whose value is
  // not needed, only its type); x itself where the shapes are surely the same.
  Value* SumToLike(Value* x, Value* like);
  Value* ExpandLike(Value* x, Value* like);   // broadcast to the shape of `like`
  Value* ReshapeLike(Value* x, Value* like);  // same elements, shape of `like`

 private:
  Graph& graph_;
  const OpRegistry& registry_;
  Node* before_;
  std::string layer_;
};

// Runs the op's shape rule and checks its schema (number and presence of inputs, attributes known,
// of the right kind, required ones there); sets the outputs' types. Errors name node and layer.
void InferNode(Node& node);
// Every node in order, after the graph's inputs changed.
void InferGraph(Graph& graph);

// A copy in which each symbol in `bindings` is that number, with all types inferred again.
std::unique_ptr<Graph> Specialize(const Graph& graph,
                                  const std::map<std::string, int64_t>& bindings);

}  // namespace ingot::ir
