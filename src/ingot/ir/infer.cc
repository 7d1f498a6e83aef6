// Schema checks and type inference of nodes and graphs.
#include "ingot/ir/infer.h"

#include <map>

#include "ingot/base/error.h"
#include "ingot/base/text.h"
#include "ingot/ir/builder.h"

namespace ingot::ir {

namespace {

using Presence = Port::Presence;

std::string Count(size_t count, const std::string& what) {
  return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
}

// The port that input or output i belongs to; null where there are more than the op takes.
const Port* PortOf(const std::vector<Port>& ports, size_t i) {
  if (i < ports.size()) return &ports[i];
  const bool repeats = !ports.empty() && ports.back().presence == Presence::kVariadic;
  return repeats ? &ports.back() : nullptr;
}

void CheckPresence(const std::vector<Port>& ports, std::span<Value* const> values,
                   const std::string& what) {
  for (size_t i = 0; i < values.size(); ++i) {
    const Port* port = PortOf(ports, i);
    if (port == nullptr) {
      throw Error(ErrorCode::kInvalidInput, "it has " + Count(values.size(), what) +
                                                ", but the op takes at most " +
                                                std::to_string(ports.size()));
    }
    if (values[i] == nullptr && port->presence != Presence::kOptional) {
      throw Error(ErrorCode::kInvalidInput,
                  what + " " + std::to_string(i) + " ('" + port->name + "') is missing");
    }
  }
  for (size_t i = values.size(); i < ports.size(); ++i) {
    if (ports[i].presence != Presence::kRequired) continue;
    throw Error(ErrorCode::kInvalidInput, what + " " + std::to_string(i) + " ('" + ports[i].name +
                                              "') is missing; it has " +
                                              Count(values.size(), what));
  }
}

// Inputs whose ports share a type variable have one element type.
void CheckTypeVariables(const Node& node) {
  std::map<std::string, size_t> first;
  const std::vector<Port>& ports = node.op().inputs;
  for (size_t i = 0; i < node.inputs().size(); ++i) {
    const Value* value = node.input(i);
    const std::string& variable = PortOf(ports, i)->type_variable;
    if (variable.empty() || value == nullptr || value->type().kind() == Type::Kind::kUnknown) {
      continue;
    }
    const auto [entry, is_first] = first.emplace(variable, i);
    if (is_first) continue;
    const Type& expected = node.input(entry->second)->type();
    const Type& seen = value->type();
    if (seen.kind() == expected.kind() && seen.dtype() == expected.dtype()) continue;
    throw Error(ErrorCode::kInvalidInput,
                "inputs " + std::to_string(entry->second) + " ('" +
                    PortOf(ports, entry->second)->name + "') " + expected.ToString() + " and " +
                    std::to_string(i) + " ('" + PortOf(ports, i)->name + "') " + seen.ToString() +
                    " must have one element type",
                "insert a Cast");
  }
}

void CheckAttributes(const Node& node) {
  const OpDefinition& op = node.op();
  for (const auto& entry : node.attributes()) {
    const AttributeSpec* spec = op.FindAttribute(entry.first);
    if (spec == nullptr) {
      std::vector<std::string> known;
      for (const AttributeSpec& candidate : op.attributes) known.push_back(candidate.name);
      throw Error(ErrorCode::kInvalidInput, "unknown attribute '" + entry.first + "'",
                  known.empty() ? "the op has no attributes" : DidYouMean(entry.first, known));
    }
    if (KindOf(entry.second) != spec->kind) {
      throw Error(ErrorCode::kInvalidInput, "attribute '" + entry.first + "' is of kind " +
                                                Name(KindOf(entry.second)) + ", expected " +
                                                Name(spec->kind));
    }
    const auto* body = std::get_if<std::shared_ptr<Graph>>(&entry.second);
    if (body != nullptr && *body == nullptr) {
      throw Error(ErrorCode::kInvalidInput, "attribute '" + entry.first + "' holds no graph");
    }
  }
  for (const AttributeSpec& spec : op.attributes) {
    if (spec.required && !node.HasAttribute(spec.name)) {
      throw Error(ErrorCode::kInvalidInput, "attribute '" + spec.name + "' (" + Name(spec.kind) +
                                                ") is required, but missing");
    }
  }
}

}  // namespace

void CheckSchema(const Node& node) {
  CheckPresence(node.op().inputs, node.inputs(), "input");
  CheckPresence(node.op().outputs, node.outputs(), "output");
  CheckTypeVariables(node);
  CheckAttributes(node);
}

std::vector<Type> InferTypes(const Node& node) {
  InferContext context(node);
  node.op().infer(context);
  for (size_t i = 0; i < context.outputs().size(); ++i) {
    if (context.outputs()[i].kind() == Type::Kind::kUnknown) {
      throw Error(ErrorCode::kInternal,
                  "the shape rule gives no type for output " + std::to_string(i));
    }
  }
  return context.outputs();
}

void InferNode(Node& node) {
  std::vector<Type> types;
  try {
    CheckSchema(node);
    types = InferTypes(node);
  } catch (const Error& error) {
    throw error.In(node.Describe());
  }
  for (size_t i = 0; i < types.size(); ++i) node.output(i)->set_type(std::move(types[i]));
}

void InferGraph(Graph& graph) {
  for (Node* node : graph.nodes()) InferNode(*node);
}

}  // namespace ingot::ir
