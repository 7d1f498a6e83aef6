// LayerReader: lists of layers in a job -> Layers, with the job's named blocks.
//
//   model:
//     blocks:
//       bottleneck:                     # without parameters: a list of layers alone
//         parameters: {width:, out: 256, stride: 1}    # name: default; without one it must be
//         given layers:
//           - conv: {filters: $width, kernel: 1}
//           - conv: {filters: $out, kernel: 3, stride: $stride}
//     layers:
//       - block: {bottleneck: {width: 64}}
//       - {dense: 10, name: head}
//
// A value that is `$NAME` and no more stands for the block's parameter; a list of layers may be
// one too.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "ingot/base/config.h"
#include "ingot/nn/layer.h"

namespace ingot::nn {

// For one network, on one thread.
class LayerReader {
 public:
  // `blocks`: a map, or null. The registry must outlive the reader. Throws Error(kInvalidInput) at
  // the place of the fault for blocks that are not as above.
  explicit LayerReader(const LayerRegistry& registry, const ConfigNode& blocks = ConfigNode());

  // Reads `- flatten`, `- dense: 64`, `- dense: {units: 64}`, `- {dense: 64, name: hidden}`. Throws
  // Error(kInvalidInput) at the place of the fault, with the nearest name for an unknown layer.
  Layer Read(const ConfigNode& node) const;
  // The same for a list of them, whose given names differ.
  std::vector<Layer> ReadList(const ConfigNode& list) const;
  // The layers of a block by its name, or {name: {parameter: value}}. Throws Error(kInvalidInput)
  // for an unknown block or parameter (with the nearest name), a missing one, and a block that is
  // within itself.
  std::vector<Layer> ReadBlock(const ConfigNode& use) const;

 private:
  struct Block {
    std::vector<ConfigNode::Entry> parameters;
    ConfigNode layers;
  };

  const LayerRegistry& registry_;
  std::map<std::string, Block> blocks_;
  mutable std::vector<std::string> open_;  // blocks that are being read
  mutable int64_t layers_read_ = 0;
};

// The list that reads back as these layers, with every option written out and blocks in place.
ConfigNode ResolvedLayers(const std::vector<Layer>& layers);

}  // namespace ingot::nn
