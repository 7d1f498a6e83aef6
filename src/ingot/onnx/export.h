// Export: a graph and its weights -> an ONNX model of opset 21.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "ingot/base/file.h"
#include "ingot/formats/bytes.h"
#include "ingot/ir/graph.h"
#include "ingot/ir/op.h"

namespace ingot::onnx {

struct ExportOptions {
  std::map<std::string, std::string> metadata;
  // Above so many bytes weights go to a file of their own, since one ONNX file holds 2 GiB.
  uint64_t most_weights_inside = uint64_t{2'000'000'000};
};

struct ExportedFiles {
  std::string model;    // the file that was written
  std::string weights;  // "" where they are inside
  uint64_t bytes = 0;   // of both
};

// Writes `path`, and beside it `path` + ".data" where the weights are too large. Inputs of role
// kParameter become initializers, by name from `weights`. Throws Error: kUnsupported for graphs
// with steps of training, kInvalidInput where a weight is missing or does not fit, kIo.
ExportedFiles ExportModel(const ir::Graph& graph, std::span<const formats::NamedTensor> weights,
                          const ir::OpRegistry& registry, FileSystem& files,
                          const std::string& path, const ExportOptions& options = {});

}  // namespace ingot::onnx
