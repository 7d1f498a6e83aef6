// Graph, Node and Value: ownership, uses, editing and deep copies.
#include "ingot/ir/graph.h"

#include <algorithm>

#include "ingot/base/error.h"
#include "ingot/ir/op.h"

namespace ingot::ir {

const std::string& Node::op_type() const {
  return op_->name;
}
const std::string& Node::domain() const {
  return op_->domain;
}

std::string Node::Describe() const {
  std::string text = op_->FullName() + " node";
  if (!name_.empty()) text += " '" + name_ + "'";
  if (!layer_.empty()) text += " (layer " + layer_ + ")";
  return text;
}

void Node::SetInput(size_t i, Value* value) {
  INGOT_ASSERT(value == nullptr || value->graph_ == graph_,
               Describe() + ": an input must belong to the node's own graph");
  if (i >= inputs_.size()) inputs_.resize(i + 1, nullptr);
  const int index = static_cast<int>(i);
  if (Value* old = inputs_[i]) {
    std::erase_if(old->uses_,
                  [&](const Value::Use& use) { return use.node == this && use.input == index; });
  }
  inputs_[i] = value;
  if (value != nullptr) value->uses_.push_back({this, index});
}

const Attribute& Node::Find(const std::string& name) const {
  const auto found = attributes_.find(name);
  if (found != attributes_.end()) return found->second;
  const AttributeSpec* spec = op_->FindAttribute(name);
  if (spec != nullptr && spec->default_value) return *spec->default_value;
  throw Error(ErrorCode::kInvalidInput,
              Describe() + ": attribute '" + name + "' is missing and has no default");
}

namespace {

template <typename T>
const T& As(const Node& node, const std::string& name, const Attribute& attribute,
            AttributeKind wanted) {
  if (const T* value = std::get_if<T>(&attribute)) return *value;
  throw Error(ErrorCode::kInvalidInput, node.Describe() + ": attribute '" + name + "' is of kind " +
                                            Name(KindOf(attribute)) + ", expected " + Name(wanted));
}

}  // namespace

int64_t Node::GetInt(const std::string& name) const {
  return As<int64_t>(*this, name, Find(name), AttributeKind::kInt);
}
double Node::GetFloat(const std::string& name) const {
  return As<double>(*this, name, Find(name), AttributeKind::kFloat);
}
const std::string& Node::GetString(const std::string& name) const {
  return As<std::string>(*this, name, Find(name), AttributeKind::kString);
}
const std::vector<int64_t>& Node::GetInts(const std::string& name) const {
  return As<std::vector<int64_t>>(*this, name, Find(name), AttributeKind::kInts);
}
const std::vector<double>& Node::GetFloats(const std::string& name) const {
  return As<std::vector<double>>(*this, name, Find(name), AttributeKind::kFloats);
}
const Tensor& Node::GetTensor(const std::string& name) const {
  return As<Tensor>(*this, name, Find(name), AttributeKind::kTensor);
}
const std::shared_ptr<Graph>& Node::GetGraph(const std::string& name) const {
  return As<std::shared_ptr<Graph>>(*this, name, Find(name), AttributeKind::kGraph);
}

int64_t Node::GetInt(const std::string& name, int64_t otherwise) const {
  const AttributeSpec* spec = op_->FindAttribute(name);
  if (HasAttribute(name) || (spec != nullptr && spec->default_value)) return GetInt(name);
  return otherwise;
}

const std::vector<int64_t>* Node::FindInts(const std::string& name) const {
  const AttributeSpec* spec = op_->FindAttribute(name);
  if (HasAttribute(name) || (spec != nullptr && spec->default_value)) return &GetInts(name);
  return nullptr;
}

Graph::~Graph() = default;

Value* Graph::NewValue(Type type) {
  values_.push_back(std::make_unique<Value>());
  Value* value = values_.back().get();
  value->id_ = next_id_++;
  value->type_ = std::move(type);
  value->graph_ = this;
  return value;
}

Value* Graph::AddInput(std::string name, Type type, Role role) {
  Value* value = NewValue(std::move(type));
  value->name_ = std::move(name);
  value->role_ = role;
  inputs_.push_back(value);
  return value;
}

Value* Graph::FindInput(std::string_view name) const {
  for (Value* input : inputs_) {
    if (input->name() == name) return input;
  }
  return nullptr;
}

namespace {

// Values are made with rising ids and never reordered.
auto FindById(std::vector<std::unique_ptr<Value>>& values, const Value* value) {
  return std::lower_bound(
      values.begin(), values.end(), value->id(),
      [](const std::unique_ptr<Value>& candidate, int id) { return candidate->id() < id; });
}

}  // namespace

void Graph::RemoveInput(Value* input) {
  INGOT_ASSERT(input->graph_ == this && input->producer_ == nullptr,
               "RemoveInput takes an input of this graph");
  INGOT_ASSERT(!input->is_used(), "input '" + input->name() + "' is still used");
  for (const auto& alias : aliases_) {
    INGOT_ASSERT(alias.second != input, "input '" + input->name() + "' is replaced by an output");
  }
  std::erase(inputs_, input);
  values_.erase(FindById(values_, input));
}

Node* Graph::AddNode(const OpDefinition& op, std::vector<Value*> inputs, Attributes attributes,
                     size_t output_count, Node* before) {
  INGOT_ASSERT(before == nullptr || before->graph_ == this,
               "a node is added before a node of its own graph");
  auto node = std::make_unique<Node>();
  Node* added = node.get();
  added->op_ = &op;
  added->graph_ = this;
  added->attributes_ = std::move(attributes);
  added->inputs_.assign(inputs.size(), nullptr);
  for (size_t i = 0; i < inputs.size(); ++i) added->SetInput(i, inputs[i]);
  for (size_t i = 0; i < output_count; ++i) {
    Value* output = NewValue(Type());
    output->producer_ = added;
    output->output_index_ = static_cast<int>(i);
    added->outputs_.push_back(output);
  }
  added->position_ =
      nodes_.insert(before != nullptr ? before->position_ : nodes_.end(), std::move(node));
  return added;
}

void Graph::RemoveNode(Node* node) {
  INGOT_ASSERT(node->graph_ == this, "RemoveNode takes a node of this graph");
  for (Value* output : node->outputs_) {
    INGOT_ASSERT(!output->is_used(), node->Describe() + " is still used");
  }
  for (size_t i = 0; i < node->inputs_.size(); ++i) node->SetInput(i, nullptr);
  for (Value* output : node->outputs_) values_.erase(FindById(values_, output));
  nodes_.erase(node->position_);
}

void Graph::MoveBefore(Node* node, Node* before) {
  INGOT_ASSERT(node->graph_ == this && before->graph_ == this,
               "MoveBefore takes two nodes of this graph");
  if (node != before) nodes_.splice(before->position_, nodes_, node->position_);
}

void Graph::AddOutput(Value* value, std::string name) {
  INGOT_ASSERT(value != nullptr && value->graph_ == this, "an output is a value of this graph");
  if (name.empty()) name = value->name();
  if (name.empty()) name = "output_" + std::to_string(outputs_.size());
  outputs_.push_back(value);
  output_names_.push_back(std::move(name));
  ++value->output_uses_;
}

void Graph::SetOutput(size_t i, Value* value) {
  INGOT_ASSERT(value != nullptr && value->graph_ == this, "an output is a value of this graph");
  --outputs_.at(i)->output_uses_;
  outputs_[i] = value;
  ++value->output_uses_;
}

void Graph::RemoveOutput(size_t i) {
  --outputs_.at(i)->output_uses_;
  outputs_.erase(outputs_.begin() + static_cast<std::ptrdiff_t>(i));
  output_names_.erase(output_names_.begin() + static_cast<std::ptrdiff_t>(i));
  std::map<size_t, Value*> moved;
  for (const auto& alias : aliases_) {
    if (alias.first != i) moved[alias.first > i ? alias.first - 1 : alias.first] = alias.second;
  }
  aliases_ = std::move(moved);
}

void Graph::ReplaceAllUses(Value* from, Value* to) {
  INGOT_ASSERT(from->graph_ == this && to->graph_ == this,
               "ReplaceAllUses takes two values of this graph");
  if (from == to) return;
  const std::vector<Value::Use> uses = from->uses_;  // SetInput changes the list at hand
  for (const Value::Use& use : uses) use.node->SetInput(static_cast<size_t>(use.input), to);
  for (size_t i = 0; i < outputs_.size(); ++i) {
    if (outputs_[i] == from) SetOutput(i, to);
  }
}

std::vector<Node*> Graph::nodes() const {
  std::vector<Node*> all;
  all.reserve(nodes_.size());
  for (const std::unique_ptr<Node>& node : nodes_) all.push_back(node.get());
  return all;
}

namespace {

Attributes CloneAttributes(const Attributes& attributes) {
  Attributes copy = attributes;
  for (auto& entry : copy) {
    if (auto* body = std::get_if<std::shared_ptr<Graph>>(&entry.second); body && *body) {
      *body = std::shared_ptr<Graph>((*body)->Clone());
    }
  }
  return copy;
}

}  // namespace

std::unique_ptr<Graph> Graph::Clone(std::map<const Value*, Value*>* map) const {
  std::map<const Value*, Value*> own;
  std::map<const Value*, Value*>& copies = map != nullptr ? *map : own;
  auto copy = std::make_unique<Graph>(name_);
  for (const Value* input : inputs_) {
    copies[input] = copy->AddInput(input->name_, input->type_, input->role_);
  }
  for (const std::unique_ptr<Node>& node : nodes_) {
    std::vector<Value*> inputs;
    inputs.reserve(node->inputs_.size());
    for (const Value* input : node->inputs_) {
      INGOT_ASSERT(input == nullptr || copies.count(input) > 0,
                   node->Describe() + " uses a value before it is produced");
      inputs.push_back(input == nullptr ? nullptr : copies[input]);
    }
    Node* added = copy->AddNode(*node->op_, std::move(inputs), CloneAttributes(node->attributes_),
                                node->outputs_.size());
    added->name_ = node->name_;
    added->layer_ = node->layer_;
    for (size_t i = 0; i < node->outputs_.size(); ++i) {
      const Value* output = node->outputs_[i];
      added->outputs_[i]->name_ = output->name_;
      added->outputs_[i]->type_ = output->type_;
      copies[output] = added->outputs_[i];
    }
  }
  for (size_t i = 0; i < outputs_.size(); ++i) {
    copy->AddOutput(copies[outputs_[i]], output_names_[i]);
  }
  for (const auto& alias : aliases_) copy->SetAlias(alias.first, copies[alias.second]);
  return copy;
}

}  // namespace ingot::ir
