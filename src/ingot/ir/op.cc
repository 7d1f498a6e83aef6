// OpDefinition's look-ups, the registry, and what shape rules see.
#include "ingot/ir/op.h"

#include <set>

#include "ingot/base/error.h"
#include "ingot/base/text.h"

namespace ingot::ir {

const AttributeSpec* OpDefinition::FindAttribute(std::string_view attribute) const {
  for (const AttributeSpec& spec : attributes) {
    if (spec.name == attribute) return &spec;
  }
  return nullptr;
}

const Type& InferContext::input(size_t i) const {
  const Value* value = node_.input(i);
  if (value == nullptr) {
    const std::vector<Port>& ports = node_.op().inputs;
    const std::string name = i < ports.size() ? " ('" + ports[i].name + "')" : "";
    throw Error(ErrorCode::kInvalidInput,
                "input " + std::to_string(i) + name + " is absent, but needed");
  }
  return value->type();
}

const Tensor* InferContext::ConstantInput(size_t i) const {
  const Value* value = node_.input(i);
  if (value == nullptr || value->producer() == nullptr) return nullptr;
  const Node& producer = *value->producer();
  if (producer.op_type() != "Constant" || !producer.domain().empty()) return nullptr;
  const auto found = producer.attributes().find("value");
  return found == producer.attributes().end() ? nullptr : std::get_if<Tensor>(&found->second);
}

namespace {

[[noreturn]] void BadDefinition(const OpDefinition& definition, const std::string& problem) {
  throw Error(ErrorCode::kInvalidInput,
              "op '" + definition.FullName() + "' cannot be registered: " + problem);
}

void CheckPorts(const OpDefinition& definition, const std::vector<Port>& ports, const char* what) {
  std::set<std::string> names;
  for (size_t i = 0; i < ports.size(); ++i) {
    if (ports[i].name.empty()) {
      BadDefinition(definition, std::string(what) + " " + std::to_string(i) + " has no name");
    }
    if (!names.insert(ports[i].name).second) {
      BadDefinition(definition, "two " + std::string(what) + "s are named '" + ports[i].name + "'");
    }
    if (ports[i].presence == Port::Presence::kVariadic && i + 1 != ports.size()) {
      BadDefinition(definition, "only the last " + std::string(what) + " may be variadic, but '" +
                                    ports[i].name + "' is followed by another");
    }
  }
}

void CheckAttributes(const OpDefinition& definition) {
  std::set<std::string> names;
  for (const AttributeSpec& spec : definition.attributes) {
    if (spec.name.empty()) BadDefinition(definition, "an attribute has no name");
    if (!names.insert(spec.name).second) {
      BadDefinition(definition, "two attributes are named '" + spec.name + "'");
    }
    if (spec.default_value && KindOf(*spec.default_value) != spec.kind) {
      BadDefinition(definition, "attribute '" + spec.name + "' is declared as " + Name(spec.kind) +
                                    ", but its default is of kind " +
                                    Name(KindOf(*spec.default_value)));
    }
  }
}

bool HasSubgraph(const OpDefinition& definition) {
  for (const AttributeSpec& spec : definition.attributes) {
    if (spec.kind == AttributeKind::kGraph) return true;
  }
  return false;
}

std::string FullName(std::string_view name, std::string_view domain) {
  if (domain.empty()) return std::string(name);
  return std::string(domain) + "." + std::string(name);
}

}  // namespace

void OpRegistry::Add(OpDefinition definition) {
  if (definition.name.empty()) BadDefinition(definition, "it has no name");
  if (definition.name.find('.') != std::string::npos) {
    BadDefinition(definition, "its name holds a dot; what stands before it is the domain");
  }
  if (!definition.infer) BadDefinition(definition, "it has no shape rule (`infer`)");
  if (!definition.reference && !definition.dynamic_reference && !definition.value_reference &&
      !HasSubgraph(definition)) {
    BadDefinition(definition, "it has no reference kernel (`reference` or `dynamic_reference`)");
  }
  CheckPorts(definition, definition.inputs, "input");
  CheckPorts(definition, definition.outputs, "output");
  CheckAttributes(definition);
  std::string key = definition.FullName();
  if (ops_.count(key) > 0) BadDefinition(definition, "an op of that name exists already");
  ops_.emplace(std::move(key), std::make_unique<OpDefinition>(std::move(definition)));
}

const OpDefinition* OpRegistry::Find(std::string_view name, std::string_view domain) const {
  const auto found = domain.empty() ? ops_.find(name) : ops_.find(FullName(name, domain));
  if (found == ops_.end() || found->second->domain != domain) return nullptr;
  return found->second.get();
}

const OpDefinition& OpRegistry::Get(std::string_view name, std::string_view domain) const {
  if (const OpDefinition* found = Find(name, domain)) return *found;
  const std::string full = FullName(name, domain);
  std::vector<std::string> known;
  for (const auto& entry : ops_) known.push_back(entry.first);
  const std::string nearest = Nearest(full, known);
  throw Error(ErrorCode::kUnsupported, "op '" + full + "' is not known",
              nearest.empty() ? "a program can add its own op with OpRegistry::Add"
                              : "did you mean '" + nearest + "'?");
}

std::vector<const OpDefinition*> OpRegistry::All() const {
  // The map's keys are full names; ONNX's own ops (no domain) come first, as promised.
  std::map<std::pair<std::string, std::string>, const OpDefinition*> sorted;
  for (const auto& entry : ops_) {
    sorted[{entry.second->domain, entry.second->name}] = entry.second.get();
  }
  std::vector<const OpDefinition*> all;
  all.reserve(sorted.size());
  for (const auto& entry : sorted) all.push_back(entry.second);
  return all;
}

}  // namespace ingot::ir
