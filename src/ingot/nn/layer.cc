// The registry of layers, what they see, and how they are put one after another.
#include "ingot/nn/layer.h"

#include "ingot/base/error.h"
#include "ingot/base/named_node.h"

namespace ingot::nn {

Tensor InitialValue(const ParameterSpec& parameter, uint64_t seed) {
  return Initialize(parameter.initializer, parameter.name, parameter.shape, parameter.fans,
                    parameter.dtype, seed);
}

namespace {

// An error that names its layer already, and its place unless a program made the layer's node, as
// within a transformer_block.
class LayerError : public Error {
 public:
  LayerError(const Error& error, const ConfigNode& node)
      : Error(AtNode(node, error)), has_place(node.has_place()) {}
  bool has_place;
};

// So many layers are a mistake in the job (repeats of repeats), not a network.
constexpr int64_t kMostLayersBuilt = 20000;

bool IsAtTop(const std::string& path) {
  return path.empty();
}

std::string Joined(const std::string& path, const std::string& part) {
  return path.empty() ? part : path + "." + part;
}

ir::Value* BuildLayer(NetworkParts& parts, const Layer& layer, const std::string& prefix,
                      const std::string& path, int depth, const std::string& name,
                      ir::Value* input) {
  if (parts.layers_built >= kMostLayersBuilt) {
    throw Error(ErrorCode::kInvalidInput,
                "the network has more than " + std::to_string(kMostLayersBuilt) + " layers");
  }
  parts.builder.set_layer(name);
  if (!layer.takes_any_type && input->type().dtype() != parts.precision) {
    input = parts.builder.Op("Cast", {input}, {{"to", static_cast<int64_t>(parts.precision)}});
  }
  const size_t first_parameter = parts.parameters.size();
  const size_t summary = parts.layers.size();
  parts.layers.push_back({name, ir::Type(), 0, depth, false});
  LayerContext context(parts, prefix, path, name, depth);
  ++parts.layers_built;
  ir::Value* output = layer.build(context, input);
  int64_t count = 0;
  for (size_t p = first_parameter; p < parts.parameters.size(); ++p) {
    const ParameterSpec& parameter = parts.parameters[p];
    if (parameter.kind != ParameterKind::kStatistic) count += parameter.shape.size();
  }
  parts.layers[summary].output = output->type();
  parts.layers[summary].parameters = count;
  parts.layers[summary].has_layers = parts.layers.size() > summary + 1;
  return output;
}

}  // namespace

ir::Value* BuildLayers(NetworkParts& parts, const std::vector<Layer>& layers,
                       const std::string& prefix, const std::string& path, int depth,
                       std::string before, ir::Value* input) {
  const std::string outer = parts.builder.layer();
  for (size_t i = 0; i < layers.size(); ++i) {
    const Layer& layer = layers[i];
    const bool is_top_name = IsAtTop(path) && !layer.name.empty();
    const std::string part = layer.name.empty() ? std::to_string(i) : layer.name;
    const std::string own_path = Joined(path, part);
    const std::string name = own_path + " (" + layer.description + ")";
    try {
      input = BuildLayer(parts, layer, is_top_name ? part : prefix + "." + part, own_path, depth,
                         name, input);
    } catch (const LayerError& error) {
      if (error.has_place) throw;
      throw LayerError(error, layer.node);
    } catch (const Error& error) {
      throw LayerError(error.In("layer " + name + " after " + before + ", which gives " +
                                input->type().ToString()),
                       layer.node);
    }
    before = "layer " + name;
  }
  parts.builder.set_layer(outer);
  return input;
}

LayerContext::LayerContext(NetworkParts& parts, std::string prefix, std::string path,
                           std::string layer, int depth)
    : parts_(parts),
      prefix_(std::move(prefix)),
      path_(std::move(path)),
      layer_(std::move(layer)),
      depth_(depth),
      stream_(parts.layers_built) {}

void LayerContext::CheckNameIsFree(const std::string& parameter) {
  if (builder().graph().FindInput(parameter) == nullptr) return;
  throw Error(ErrorCode::kInvalidInput, "two parameters are named '" + parameter + "'",
              "give one of the layers another name: {dense: 10, name: head}");
}

ir::Value* LayerContext::AddParameter(const std::string& name, const Shape& shape,
                                      const Initializer& initializer, Fans fans) {
  ParameterSpec spec{.name = prefix_ + "." + name,
                     .shape = shape,
                     .dtype = parts_.precision,
                     .initializer = initializer,
                     .fans = fans,
                     .layer = layer_};
  CheckNameIsFree(spec.name);
  ir::Value* value = builder().graph().AddInput(
      spec.name, ir::Type::Tensor(parts_.precision, shape), ir::Role::kParameter);
  parts_.parameters.push_back(std::move(spec));
  return value;
}

ir::Value* LayerContext::AddStatistic(const std::string& name, const Shape& shape,
                                      const Initializer& initializer) {
  ir::Value* value = AddParameter(name, shape, initializer, {});
  parts_.parameters.back().kind = ParameterKind::kStatistic;
  return value;
}

ir::Value* LayerContext::AddGiven(const std::string& full_name, Tensor values, ParameterKind kind) {
  CheckNameIsFree(full_name);
  ParameterSpec spec{.name = full_name,
                     .shape = values.shape(),
                     .dtype = parts_.precision,
                     .initializer = {},
                     .fans = FansOf(values.shape()),
                     .layer = layer_,
                     .kind = kind};
  const ir::Type type = ir::Type::Tensor(parts_.precision, values.shape());
  spec.initializer.given = std::make_shared<const Tensor>(std::move(values));
  parts_.parameters.push_back(std::move(spec));
  return builder().graph().AddInput(full_name, type, ir::Role::kParameter);
}

void LayerContext::UpdateStatistics(const std::string& op, ir::Attributes attributes,
                                    const std::vector<ir::Value*>& statistics, ir::Value* sum) {
  StatisticUpdate update{op, std::move(attributes), {}, prefix_ + ".batch_sums", layer_};
  for (const ir::Value* statistic : statistics) update.statistics.push_back(statistic->name());
  builder().graph().AddOutput(sum, update.sum);
  parts_.statistics.push_back(std::move(update));
}

ir::Value* LayerContext::FindParameter(const std::string& full_name) {
  ir::Value* value = builder().graph().FindInput(full_name);
  return value != nullptr && value->role() == ir::Role::kParameter ? value : nullptr;
}

ir::Value* LayerContext::Build(const std::vector<Layer>& layers, const std::string& part,
                               ir::Value* input) {
  const std::string prefix = part.empty() ? prefix_ : prefix_ + "." + part;
  const std::string path = part.empty() ? path_ : path_ + "." + part;
  return BuildLayers(parts_, layers, prefix, path, depth_ + 1, "the input of layer " + layer_,
                     input);
}

ir::Value* LayerContext::RandomKey() {
  ir::Value* key = builder().graph().FindInput("random_key");
  if (key != nullptr) return key;
  return builder().graph().AddInput("random_key", ir::Type::Tensor(DType::kI64, Shape{3}),
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

}  // namespace ingot::nn
