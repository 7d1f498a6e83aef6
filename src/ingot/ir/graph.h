// Graph, Node, Value: a static graph of typed values in SSA form.
//
// A graph owns its nodes and values; pointers stay valid until the node is removed or the graph
// dies. Nodes stand in an order in which every value is produced before it is used; builders and
// passes keep that order, and the verifier checks it. Graphs are pure: parameters, optimizer state,
// step number and seed are inputs; an output that replaces an input says so with an alias.
// Not thread-safe while it is changed; reading from several threads is safe.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ingot/ir/attribute.h"
#include "ingot/ir/type.h"

namespace ingot::ir {

class Graph;
class Node;
class OpDefinition;

// What an input of a graph is to the program that runs it.
enum class Role {
  kData,       // one batch, or one shard of it
  kParameter,  // trained
  kState,      // optimizer state, running statistics
  kScalar,     // learning rate, step, seed, loss scale
};

class Value {
 public:
  struct Use {
    Node* node;
    int input;
  };

  int id() const { return id_; }
  const std::string& name() const { return name_; }
  void set_name(std::string name) { name_ = std::move(name); }
  const Type& type() const { return type_; }
  void set_type(Type type) { type_ = std::move(type); }
  // Null for a graph input.
  Node* producer() const { return producer_; }
  int output_index() const { return output_index_; }
  const std::vector<Use>& uses() const { return uses_; }
  bool is_graph_output() const { return output_uses_ > 0; }
  bool is_used() const { return !uses_.empty() || output_uses_ > 0; }
  Role role() const { return role_; }  // of a graph input
  Graph* graph() const { return graph_; }

 private:
  friend class Graph;
  friend class Node;
  int id_ = 0;
  std::string name_;
  Type type_;
  Node* producer_ = nullptr;
  int output_index_ = 0;
  std::vector<Use> uses_;
  int output_uses_ = 0;
  Role role_ = Role::kData;
  Graph* graph_ = nullptr;
};

class Node {
 public:
  // The op's definition in the registry; never null.
  const OpDefinition& op() const { return *op_; }
  const std::string& op_type() const;  // "Gemm"
  const std::string& domain() const;   // "" for ONNX's own, "ingot"
  const std::string& name() const { return name_; }
  void set_name(std::string name) { name_ = std::move(name); }
  // The layer this node came from, for messages: "2 (dense 64)". Gradient nodes keep the layer's.
  const std::string& layer() const { return layer_; }
  void set_layer(std::string layer) { layer_ = std::move(layer); }

  // An absent optional input is null.
  std::span<Value* const> inputs() const { return inputs_; }
  std::span<Value* const> outputs() const { return outputs_; }
  Value* input(size_t i) const { return i < inputs_.size() ? inputs_[i] : nullptr; }
  Value* output(size_t i = 0) const { return outputs_[i]; }
  void SetInput(size_t i, Value* value);  // keeps uses right

  const Attributes& attributes() const { return attributes_; }
  void SetAttribute(const std::string& name, Attribute value) {
    attributes_[name] = std::move(value);
  }
  void RemoveAttribute(const std::string& name) { attributes_.erase(name); }
  bool HasAttribute(const std::string& name) const { return attributes_.count(name) > 0; }
  // The attribute, or the op's default; throws Error(kInvalidInput) where there is neither or the
  // kind is another.
  int64_t GetInt(const std::string& name) const;
  double GetFloat(const std::string& name) const;
  const std::string& GetString(const std::string& name) const;
  const std::vector<int64_t>& GetInts(const std::string& name) const;
  const std::vector<double>& GetFloats(const std::string& name) const;
  const Tensor& GetTensor(const std::string& name) const;
  const std::shared_ptr<Graph>& GetGraph(const std::string& name) const;
  // The same with a default of the caller's where the op declares none.
  int64_t GetInt(const std::string& name, int64_t otherwise) const;
  const std::vector<int64_t>* FindInts(const std::string& name) const;  // null where absent

  Graph* graph() const { return graph_; }

  // "Gemm node 'fc1' (layer 2 (dense 64))": how messages name it.
  std::string Describe() const;

 private:
  friend class Graph;
  const Attribute& Find(const std::string& name) const;

  const OpDefinition* op_ = nullptr;
  std::string name_;
  std::string layer_;
  std::vector<Value*> inputs_;
  std::vector<Value*> outputs_;
  Attributes attributes_;
  Graph* graph_ = nullptr;
  std::list<std::unique_ptr<Node>>::iterator position_;
};

class Graph {
 public:
  explicit Graph(std::string name = "graph") : name_(std::move(name)) {}
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  ~Graph();

  const std::string& name() const { return name_; }

  Value* AddInput(std::string name, Type type, Role role = Role::kData);
  const std::vector<Value*>& inputs() const { return inputs_; }
  Value* FindInput(std::string_view name) const;  // null where absent
  // Removes an input that nothing uses.
  void RemoveInput(Value* input);

  // Adds a node before `before` (null: at the end) with `output_count` outputs of unknown type.
  // Most code calls Builder, which infers the types too.
  Node* AddNode(const OpDefinition& op, std::vector<Value*> inputs, Attributes attributes,
                size_t output_count, Node* before = nullptr);
  // The node's outputs must be unused.
  void RemoveNode(Node* node);
  // Moves a node to stand before another.
  void MoveBefore(Node* node, Node* before);

  void AddOutput(Value* value, std::string name = "");
  void SetOutput(size_t i, Value* value);
  void RemoveOutput(size_t i);
  const std::vector<Value*>& outputs() const { return outputs_; }
  const std::vector<std::string>& output_names() const { return output_names_; }

  // Output i replaces input `input` (a parameter's new value); the executor may write in place.
  void SetAlias(size_t output, Value* input) { aliases_[output] = input; }
  const std::map<size_t, Value*>& aliases() const { return aliases_; }

  // Every use of `from`, as graph output too, becomes a use of `to`.
  void ReplaceAllUses(Value* from, Value* to);

  // In order of execution. Removing the node at hand while iterating is not allowed: collect first.
  std::vector<Node*> nodes() const;
  size_t node_count() const { return nodes_.size(); }

  // A deep copy, subgraphs included. `map`, where given, receives old value -> new value.
  std::unique_ptr<Graph> Clone(std::map<const Value*, Value*>* map = nullptr) const;

 private:
  friend class Node;
  Value* NewValue(Type type);

  std::string name_;
  int next_id_ = 0;
  std::vector<std::unique_ptr<Value>> values_;
  std::list<std::unique_ptr<Node>> nodes_;
  std::vector<Value*> inputs_;
  std::vector<Value*> outputs_;
  std::vector<std::string> output_names_;
  std::map<size_t, Value*> aliases_;
};

}  // namespace ingot::ir
