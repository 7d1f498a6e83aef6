// One graph (or function body) of a file while it is imported.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ingot/formats/onnx_file.h"
#include "ingot/ir/builder.h"
#include "ingot/onnx/import.h"
#include "ingot/onnx/node.h"
#include "ingot/onnx/support.h"

namespace ingot::onnx_proto {
class GraphProto;
}  // namespace ingot::onnx_proto

namespace ingot::onnx {

using Opsets = std::map<std::string, int64_t>;  // domain -> version

// What all graphs of one import share.
struct ImportContext {
  formats::OnnxFile& file;
  const ir::OpRegistry& registry;
  Functions functions;
  bool unaligned_weights = false;
  std::vector<const onnx_proto::FunctionProto*> calls = {};  // those being inlined
  int64_t nodes = 0;                                         // made so far
};

// Names of values, and the graph that the nodes go to. A subgraph has a scope of its own whose
// `outer` is that around it; a function's body has a scope without one, on the caller's graph.
class GraphImporter {
 public:
  GraphImporter(ImportContext& context, ir::Graph& graph, const Opsets& opsets,
                GraphImporter* outer = nullptr)
      : context_(context), graph_(graph), opsets_(opsets), outer_(outer) {}

  // The value of that name; null where there is none. What an outer scope holds becomes an input of
  // this graph (a copy where it is a Constant).
  ir::Value* Find(const std::string& name);
  // Throws Error(kInvalidInput) where the name is taken.
  void Bind(const std::string& name, ir::Value* value);

  // Registers the initializers; each becomes a Constant when it is first needed.
  void AddInitializers(const onnx_proto::GraphProto& proto);
  // Instead of an initializer of the file.
  void ReplaceInitializer(const std::string& name, Tensor tensor);
  template <typename Nodes>
  void AddNodes(const Nodes& nodes);
  void AddOutputs(const onnx_proto::GraphProto& proto);

 private:
  void AddNode(const onnx_proto::NodeProto& proto, size_t index);
  std::vector<ir::Value*> Build(const onnx_proto::NodeProto& proto, ImportedNode node);
  ImportedNode Read(const onnx_proto::NodeProto& proto);
  void ReadAttributes(const onnx_proto::NodeProto& proto, ImportedNode& node);
  int64_t VersionOf(const std::string& domain) const;
  std::vector<ir::Value*> AddOp(const std::string& op, const std::string& domain,
                                const std::string& name, std::vector<ir::Value*> inputs,
                                ir::Attributes attributes, size_t outputs);
  std::vector<ir::Value*> BuildConstant(ImportedNode& node);
  std::vector<ir::Value*> BuildGradient(const ImportedNode& node);
  std::vector<ir::Value*> Inline(const onnx_proto::FunctionProto& function,
                                 const ImportedNode& node);

  // ---- control flow (control_flow.cc) ----
  // Outer values that became inputs of a graph, in the order of those inputs, and their names.
  using Captured = std::vector<std::pair<std::string, ir::Value*>>;
  struct Body {
    std::shared_ptr<ir::Graph> graph;
    Captured captured;
  };
  // `given`: types of the body's own inputs as the node has them; the body's declarations add to
  // them. What `before` captured is captured first, in its order.
  Body ImportBody(const onnx_proto::GraphProto& proto, const std::vector<ir::Type>& given,
                  const Body* before = nullptr);
  ir::Value* Capture(const std::string& name, ir::Value* outside);
  std::vector<ir::Value*> AddWithBodies(ImportedNode& node,
                                        const std::map<std::string, Body>& bodies,
                                        const Captured& captured);
  const onnx_proto::GraphProto& BodyOf(const onnx_proto::NodeProto& proto, const std::string& name);
  std::vector<ir::Value*> BuildControlFlow(const onnx_proto::NodeProto& proto, ImportedNode& node);
  std::vector<ir::Value*> BuildIf(const onnx_proto::NodeProto& proto, ImportedNode& node);
  std::vector<ir::Value*> BuildLoop(const onnx_proto::NodeProto& proto, ImportedNode& node);
  std::vector<ir::Value*> BuildBatchedScan(const onnx_proto::NodeProto& proto, ImportedNode& node);
  std::vector<ir::Value*> BuildScan(const onnx_proto::NodeProto& proto, ImportedNode& node);
  std::vector<ir::Value*> BuildSequenceMap(const onnx_proto::NodeProto& proto, ImportedNode& node);

  ImportContext& context_;
  ir::Graph& graph_;
  Opsets opsets_;
  GraphImporter* outer_;
  std::map<std::string, ir::Value*> values_;
  std::map<std::string, const onnx_proto::TensorProto*> initializers_;
  std::map<std::string, const onnx_proto::SparseTensorProto*> sparse_initializers_;
  Captured captured_;
  // Of the call that a function's body is inlined for: what ref_attr_name refers to.
  std::map<std::string, ir::Attribute> arguments_;
};

}  // namespace ingot::onnx
