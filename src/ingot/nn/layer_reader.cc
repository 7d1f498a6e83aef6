// Reading layers, their names and the blocks that they stand in.
#include "ingot/nn/layer_reader.h"

#include <algorithm>
#include <optional>
#include <set>

#include "ingot/base/error.h"
#include "ingot/base/named_node.h"
#include "ingot/base/text.h"

namespace ingot::nn {

namespace {

// Blocks of blocks grow fast; so many layers are a mistake.
constexpr int64_t kMostLayers = 20000;

// Takes `name: NAME` out of a layer's map of two entries.
struct LayerNode {
  std::string name;
  ConfigNode layer;
};

bool IsName(const std::string& text) {
  const auto is_letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  };
  return !text.empty() && is_letter(text[0]) && std::all_of(text.begin(), text.end(), [&](char c) {
    return is_letter(c) || (c >= '0' && c <= '9') || c == '-';
  });
}

LayerNode SplitName(const ConfigNode& node) {
  const ConfigNode* name = node.is_map() ? node.Find("name") : nullptr;
  if (name == nullptr || node.entries().size() != 2) return {"", node};
  if (!name->is_scalar() || !IsName(name->scalar()) || name->scalar() == "layers") {
    name->Fail("expected a name for the layer's parameters, got " + name->Describe(),
               "letters, digits, '_' and '-', with a letter first, and not 'layers'");
  }
  return {name->scalar(), node.Without("name")};
}

}  // namespace

LayerReader::LayerReader(const LayerRegistry& registry, const ConfigNode& blocks)
    : registry_(registry) {
  if (blocks.is_null()) return;
  if (!blocks.is_map()) blocks.Fail("expected blocks by name, got " + blocks.Describe());
  for (const auto& [name, node] : blocks.entries()) {
    Block block;
    block.layers = node;
    if (node.is_map()) {
      for (const auto& [key, value] : node.entries()) {
        if (key != "parameters" && key != "layers") {
          value.FailKey("unknown key '" + key + "'", "a block has parameters and layers");
        }
      }
      if (const ConfigNode* parameters = node.Find("parameters"); parameters != nullptr) {
        if (!parameters->is_map()) {
          parameters->Fail("expected {name: default, ...}, got " + parameters->Describe());
        }
        block.parameters = parameters->entries();
      }
      const ConfigNode* layers = node.Find("layers");
      block.layers = layers != nullptr ? *layers : ConfigNode();
    }
    if (!block.layers.is_list()) {
      node.Fail("expected a list of layers, or {parameters: {...}, layers: [...]}, got " +
                node.Describe());
    }
    blocks_[name] = std::move(block);
  }
}

Layer LayerReader::Read(const ConfigNode& node) const {
  if (++layers_read_ > kMostLayers) {
    node.Fail("the network has more than " + std::to_string(kMostLayers) + " layers");
  }
  const LayerNode split = SplitName(node);
  const NamedNode named = ReadNamed(split.layer, "a layer");
  const LayerKind* kind = registry_.Find(named.name);
  if (kind == nullptr) FailUnknownName(node, "layer", named.name, registry_.Names());
  Layer layer;
  // An option that is missing has no place of its own: the layer's is the next best.
  try {
    layer = kind->read(named.options, *this);
  } catch (const Error& error) {
    throw AtNode(node, error);
  }
  layer.takes_any_type = kind->takes_any_type;
  layer.name = split.name;
  layer.node = node;
  return layer;
}

std::vector<Layer> LayerReader::ReadList(const ConfigNode& list) const {
  if (!list.is_list()) {
    list.Fail("expected a list of layers, got " + list.Describe(),
              "write '- dense: 10' on a line of its own");
  }
  std::vector<Layer> layers;
  std::set<std::string> names;
  for (const ConfigNode& item : list.items()) {
    layers.push_back(Read(item));
    const std::string& name = layers.back().name;
    if (!name.empty() && !names.insert(name).second) {
      item.Fail("there is a layer named '" + name + "' already");
    }
  }
  return layers;
}

std::vector<Layer> LayerReader::ReadBlock(const ConfigNode& use) const {
  const NamedNode named = ReadNamed(use, "a block");
  const auto found = blocks_.find(named.name);
  if (found == blocks_.end()) {
    std::vector<std::string> names;
    for (const auto& entry : blocks_) names.push_back(entry.first);
    FailUnknownName(use, "block", named.name, names);
  }
  if (std::find(open_.begin(), open_.end(), named.name) != open_.end()) {
    use.Fail("block '" + named.name + "' is within itself");
  }
  const Block& block = found->second;
  std::map<std::string, ConfigNode> values;
  std::vector<std::string> names;
  for (const auto& [name, value] : block.parameters) {
    values[name] = value;
    names.push_back(name);
  }
  if (!named.options.is_null() && !named.options.is_map()) {
    named.options.Fail("expected parameters of block '" + named.name + "', got " +
                       named.options.Describe());
  }
  for (const auto& [name, value] : named.options.entries()) {
    if (values.count(name) == 0) {
      value.FailKey("block '" + named.name + "' has no parameter '" + name + "'",
                    DidYouMean(name, names));
    }
    values[name] = value;
  }
  for (const auto& [name, value] : values) {
    if (value.is_null()) use.Fail("block '" + named.name + "' needs its parameter '" + name + "'");
  }
  const ConfigNode layers =
      block.layers.WithScalars([&](const ConfigNode& scalar) -> std::optional<ConfigNode> {
        const std::string& text = scalar.scalar();
        if (text.size() < 2 || text[0] != '$') return std::nullopt;
        const auto value = values.find(text.substr(1));
        if (value == values.end()) {
          scalar.Fail("block '" + named.name + "' has no parameter '" + text.substr(1) + "'",
                      DidYouMean(text.substr(1), names));
        }
        return value->second;
      });
  open_.push_back(named.name);
  std::vector<Layer> read;
  try {
    read = ReadList(layers);
  } catch (...) {
    open_.pop_back();
    throw;
  }
  open_.pop_back();
  return read;
}

ConfigNode ResolvedLayers(const std::vector<Layer>& layers) {
  std::vector<ConfigNode> list;
  for (const Layer& layer : layers) {
    std::vector<ConfigNode::Entry> entries = layer.resolved.entries();
    if (!layer.name.empty()) entries.emplace_back("name", ConfigNode::Scalar(layer.name));
    list.push_back(ConfigNode::Map(std::move(entries)));
  }
  return ConfigNode::List(std::move(list));
}

}  // namespace ingot::nn
