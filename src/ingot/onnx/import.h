// Import: an ONNX model -> a graph of ops as their newest version defines them.
//
// Old versions of ops are written as new ones (versions/), functions are inlined, initializers
// become Constants. What a subgraph takes from around it becomes inputs of its own, so that every
// graph is closed: If, Loop, Scan and SequenceMap stand as ops of the `ingot` domain that pass
// those values.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ingot/formats/onnx_file.h"
#include "ingot/ir/graph.h"
#include "ingot/ir/op.h"

namespace ingot::onnx {

struct ImportedModel {
  std::unique_ptr<ir::Graph> graph;
  // Its outputs' types as the model declares them and as they were inferred, together.
  std::vector<ir::Type> output_types;
  std::map<std::string, std::string> metadata;
  std::string producer;
  int64_t opset = 0;  // of ONNX's own ops
  // Initializers that are inputs too, which a caller may replace: name -> type.
  std::map<std::string, ir::Type> replaceable;
  // What ImportOptions::open_inputs are where they are not given. They may view the file.
  std::map<std::string, Tensor> defaults;
};

struct ImportOptions {
  // Instead of the model's initializers; each must be replaceable and of the same type and shape.
  std::map<std::string, Tensor> initializers;
  // Names of inputs that are initializers too, which become inputs of the graph.
  std::vector<std::string> open_inputs = {};
  // Large f32 initializers are viewed in the file wherever they stand: see
  // passes/align_constants.h, which must follow.
  bool unaligned_weights = false;
};

// The newest version of ONNX's ops that is read.
inline constexpr int64_t kNewestOpset = 28;

// `registry` must outlive the graph. Throws Error: kUnsupported with a list of all ops (and their
// nodes) that Ingot does not have; kInvalidInput where the model contradicts itself (names twice, a
// cycle, types that do not fit); what OnnxFile throws for tensors.
ImportedModel ImportModel(formats::OnnxFile& file, const ir::OpRegistry& registry,
                          const ImportOptions& options = {});

}  // namespace ingot::onnx
