// OpDefinition: everything that is known about an op in one place (schema, shape rule, gradient
// rule, reference kernel, test cases), and OpRegistry, the set of ops a program works with.
//
// A program that links Ingot adds its own op with registry.Add(...); nothing else needs changing.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ingot/ir/graph.h"
#include "ingot/tensor/datum.h"
#include "ingot/tensor/tensor.h"

namespace ingot::ir {

class Builder;
class OpRegistry;

// One input or output of an op.
struct Port {
  enum class Presence { kRequired, kOptional, kVariadic };  // variadic: the last one, repeated
  std::string name;
  Presence presence = Presence::kRequired;
  // Types it may have; empty: any. All ports that name the same `type_variable` have one type.
  std::string type_variable = {};
};

struct AttributeSpec {
  std::string name;
  AttributeKind kind = AttributeKind::kInt;
  std::optional<Attribute> default_value = {};  // none: see `required`
  bool required = false;
};

// What a shape rule sees and sets. Throw Error(kInvalidInput) with both shapes for a mismatch;
// the caller adds the node and its layer.
class InferContext {
 public:
  explicit InferContext(const Node& node) : node_(node), outputs_(node.outputs().size()) {}

  const Node& node() const { return node_; }
  bool HasInput(size_t i) const { return node_.input(i) != nullptr; }
  // Throws Error(kInvalidInput) where the input is absent.
  const Type& input(size_t i) const;
  // The value of an input when it is a Constant, else null.
  const Tensor* ConstantInput(size_t i) const;
  void SetOutput(size_t i, Type type) { outputs_.at(i) = std::move(type); }
  const std::vector<Type>& outputs() const { return outputs_; }

 private:
  const Node& node_;
  std::vector<Type> outputs_;
};

// What a gradient rule sees and sets: given d(loss)/d(outputs), emit d(loss)/d(inputs) as IR.
class GradientContext {
 public:
  GradientContext(const Node& node, Builder& builder, std::vector<Value*> output_gradients,
                  std::vector<bool> wanted)
      : node_(node),
        builder_(builder),
        output_gradients_(std::move(output_gradients)),
        wanted_(std::move(wanted)),
        input_gradients_(wanted_.size(), nullptr) {}

  const Node& node() const { return node_; }
  Builder& builder() { return builder_; }
  Value* input(size_t i) const { return node_.input(i); }
  Value* output(size_t i = 0) const { return node_.output(i); }
  // Null where nothing depends on that output.
  Value* output_gradient(size_t i = 0) const { return output_gradients_.at(i); }
  // Whether anybody needs the gradient of input i; the rule should not compute others.
  bool wants(size_t i) const { return i < wanted_.size() && wanted_[i]; }
  void SetInputGradient(size_t i, Value* gradient) { input_gradients_.at(i) = gradient; }
  const std::vector<Value*>& input_gradients() const { return input_gradients_; }

 private:
  const Node& node_;
  Builder& builder_;
  std::vector<Value*> output_gradients_;
  std::vector<bool> wanted_;
  std::vector<Value*> input_gradients_;
};

// What a reference kernel sees. Outputs are allocated with the inferred static type (for an output
// whose extents are unknown, see `dynamic_reference`). An absent optional input has data == null.
struct ReferenceCall {
  const Node& node;
  std::span<const TensorView> inputs;
  std::span<const TensorView> outputs;

  bool has_input(size_t i) const { return i < inputs.size() && inputs[i].data != nullptr; }
  const TensorView& input(size_t i) const { return inputs[i]; }
  const TensorView& output(size_t i = 0) const { return outputs[i]; }
};

// What the reference of an op on sequences, optionals or graphs sees. `run` evaluates a graph that
// is an attribute of the node, with its inputs in order.
struct ValueCall {
  using RunGraph = std::function<std::vector<Datum>(const Graph&, std::span<const Datum>)>;
  const Node& node;
  std::span<const Datum> inputs;
  const RunGraph& run;

  bool has_input(size_t i) const { return i < inputs.size() && !inputs[i].is_nothing(); }
};

// One example of an op: the test of its reference (where `expected` is given), of every optimised
// kernel against the reference, of its gradient against finite differences in f64, and the
// benchmark and support table all run from it.
struct OpCase {
  struct Input {
    Shape shape = {};
    double low = -1;  // values are drawn uniformly from [low, high], keyed by case and input
    double high = 1;
    DType dtype = DType::kF32;  // float types are replaced by each supported one; others are kept
    std::optional<Tensor> value = {};  // fixed values instead (indices, shapes); kept as they are
    bool constant = false;             // given to the node as a Constant (axes, shapes)
    bool differentiable = true;        // checked by finite differences (float inputs only)
    bool absent = false;               // an optional input that is left out
  };
  std::string name;
  std::vector<Input> inputs;
  Attributes attributes = {};
  // For each output, values worked out independently (by hand or by formula), in f64.
  std::vector<std::vector<double>> expected = {};
  // The formula of an output element-wise from the inputs' elements, for elementwise ops: checked
  // in f64 against the reference on all elements.
  std::function<double(std::span<const double>)> formula = {};
  size_t outputs = 1;
  bool gradient = true;     // false: the op or this case is not differentiable
  double tolerance = 1e-5;  // of f32 kernels against the reference, relative to the largest output
};

class OpDefinition {
 public:
  std::string name;
  std::string domain;     // "" is ONNX's own domain, "ingot" ours
  int since_version = 1;  // ONNX's version of these semantics
  std::string summary;    // one sentence
  std::vector<Port> inputs;
  std::vector<Port> outputs;
  std::vector<AttributeSpec> attributes;

  // Sets the outputs' types. Required.
  std::function<void(InferContext&)> infer;
  // Null: not differentiable (asking for its gradient is an error that names the op).
  std::function<void(GradientContext&)> gradient;
  // Required, but for ops with a dynamic_reference or subgraphs, which the interpreter knows.
  // Types it must support: what the op supports; f64 for every float op. Accumulates in double
  // for f64 and f32 alike, in index order.
  std::function<void(const ReferenceCall&)> reference;
  // For ops whose output extents depend on the inputs' values.
  std::function<std::vector<Tensor>(const Node&, std::span<const Tensor>)> dynamic_reference;
  // For ops on sequences and optionals, and ops that run graphs (If, Loop).
  std::function<std::vector<Datum>(const ValueCall&)> value_reference;

  // Element i of output 0 depends on element i of the (broadcast) inputs alone.
  bool elementwise = false;
  // Output 0 may overwrite input 0 when nobody else needs that (same type and size).
  bool may_run_in_place = false;
  // Same inputs, same outputs: may be folded and merged. Random ops are pure too (their key is an
  // input) but `never_merged`: two of them with equal inputs stay two.
  bool never_merged = false;

  std::vector<OpCase> cases;

  // "ingot.TreeReduce" or "Gemm".
  std::string FullName() const { return domain.empty() ? name : domain + "." + name; }
  const AttributeSpec* FindAttribute(std::string_view attribute) const;
};

// The ops a program works with. Definitions live as long as the registry and never move.
// Build it first; reading it from several threads is safe then.
class OpRegistry {
 public:
  // Throws Error(kInvalidInput) where the name is taken or the definition lacks a required part.
  void Add(OpDefinition definition);
  // Null where unknown.
  const OpDefinition* Find(std::string_view name, std::string_view domain = "") const;
  // Throws Error(kUnsupported) with the nearest name.
  const OpDefinition& Get(std::string_view name, std::string_view domain = "") const;
  // Ordered by domain and name.
  std::vector<const OpDefinition*> All() const;

 private:
  std::map<std::string, std::unique_ptr<OpDefinition>, std::less<>> ops_;
};

}  // namespace ingot::ir
