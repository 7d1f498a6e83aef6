// The registry of layers and what they see.
#include "ingot/nn/layer.h"

#include "ingot/base/error.h"
#include "ingot/base/named_node.h"

namespace ingot::nn {

Tensor InitialValue(const ParameterSpec& parameter, uint64_t seed) {
  return Initialize(parameter.initializer, parameter.name, parameter.shape, parameter.fans,
                    parameter.dtype, seed);
}

LayerContext::LayerContext(ir::Builder& builder, std::vector<ParameterSpec>& parameters,
                           std::string prefix, std::string layer, int64_t stream, bool training,
                           DType precision)
    : builder_(builder),
      parameters_(parameters),
      prefix_(std::move(prefix)),
      layer_(std::move(layer)),
      stream_(stream),
      training_(training),
      precision_(precision) {}

ir::Value* LayerContext::AddParameter(const std::string& name, const Shape& shape,
                                      const Initializer& initializer, Fans fans) {
  ParameterSpec spec{prefix_ + "." + name, shape, precision_, initializer, fans, layer_};
  ir::Value* value = builder_.graph().AddInput(spec.name, ir::Type::Tensor(precision_, shape),
                                               ir::Role::kParameter);
  parameters_.push_back(std::move(spec));
  return value;
}

ir::Value* LayerContext::RandomKey() {
  ir::Value* key = builder_.graph().FindInput("random_key");
  if (key != nullptr) return key;
  return builder_.graph().AddInput("random_key", ir::Type::Tensor(DType::kI64, Shape{3}),
                                   ir::Role::kScalar);
}

void LayerRegistry::Add(LayerKind kind) {
  const std::string name = kind.name;
  if (!kinds_.emplace(name, std::move(kind)).second) {
    throw Error(ErrorCode::kInvalidInput, "there is a layer '" + name + "' already",
                "give yours another name");
  }
}

const LayerKind* LayerRegistry::Find(const std::string& name) const {
  const auto found = kinds_.find(name);
  return found == kinds_.end() ? nullptr : &found->second;
}

std::vector<std::string> LayerRegistry::Names() const {
  std::vector<std::string> names;
  for (const auto& entry : kinds_) names.push_back(entry.first);
  return names;
}

Layer LayerRegistry::Read(const ConfigNode& node) const {
  const NamedNode named = ReadNamed(node, "a layer");
  const LayerKind* kind = Find(named.name);
  if (kind == nullptr) FailUnknownName(node, "layer", named.name, Names());
  // An option that is missing has no place of its own: the layer's is the next best.
  try {
    return kind->read(named.options);
  } catch (const Error& error) {
    throw AtNode(node, error);
  }
}

}  // namespace ingot::nn
