// If, Loop, Scan and SequenceMap: their graphs, and what those take from around them. The node gets
// that as its last inputs, `captures` of them, and each of its graphs as its own last inputs.
#include "onnx_proto/onnx_model.pb.h"

#include "ingot/base/error.h"
#include "ingot/onnx/graph_importer.h"
#include "ingot/onnx/types.h"

namespace ingot::onnx {
namespace {

using onnx_proto::GraphProto;
using onnx_proto::NodeProto;

// A value that changes from one iteration to the next keeps its type and rank, not its extents.
ir::Type Carried(const ir::Type& type) {
  if (!type.is_tensor() || !type.has_rank()) return type;
  return type.WithDims(ir::Dimensions(static_cast<size_t>(type.rank())));
}

// One slice of a tensor along an axis.
ir::Type SliceOf(const ir::Type& type, int64_t axis) {
  if (!type.is_tensor() || !type.has_rank()) return type;
  ir::Dimensions dims = type.dims();
  dims.erase(dims.begin() + NormalizeAxis(axis, type.rank()));
  return type.WithDims(std::move(dims));
}

[[noreturn]] void FailCount(const std::string& what, size_t seen, const std::string& expected) {
  throw Error(ErrorCode::kInvalidInput,
              "its body has " + std::to_string(seen) + " " + what + ", expected " + expected);
}

}  // namespace

const GraphProto& GraphImporter::BodyOf(const NodeProto& proto, const std::string& name) {
  for (const auto& attribute : proto.attribute()) {
    if (attribute.name() == name && IsGraph(attribute)) {
      if (attribute.ref_attr_name().empty()) return attribute.g();
      throw Error(
          ErrorCode::kUnsupported,
          "its graph '" + name + "' is an argument of a function, which Ingot cannot inline");
    }
  }
  throw Error(ErrorCode::kInvalidInput, "its graph '" + name + "' is missing");
}

GraphImporter::Body GraphImporter::ImportBody(const GraphProto& proto,
                                              const std::vector<ir::Type>& given,
                                              const Body* before) {
  Body body{std::make_shared<ir::Graph>(proto.name()), {}};
  GraphImporter importer(context_, *body.graph, opsets_, this);
  importer.arguments_ = arguments_;
  if (static_cast<size_t>(proto.input_size()) != given.size()) {
    FailCount("inputs", static_cast<size_t>(proto.input_size()), std::to_string(given.size()));
  }
  for (size_t i = 0; i < given.size(); ++i) {
    const auto& input = proto.input(static_cast<int>(i));
    const std::string what = "input '" + input.name() + "' of graph '" + proto.name() + "'";
    const ir::Type declared = TypeOf(input.type(), what);
    importer.Bind(input.name(),
                  body.graph->AddInput(input.name(), JoinTypes(given[i], declared, what)));
  }
  importer.AddInitializers(proto);
  if (before != nullptr) {
    for (const auto& [name, value] : before->captured) importer.Capture(name, value);
  }
  importer.AddNodes(proto.node());
  importer.AddOutputs(proto);
  body.captured = importer.captured_;
  return body;
}

// The node of an op with graphs: what they captured becomes its last inputs.
std::vector<ir::Value*> GraphImporter::AddWithBodies(ImportedNode& node,
                                                     const std::map<std::string, Body>& bodies,
                                                     const Captured& captured) {
  for (const auto& [name, body] : bodies) node.attributes[name] = body.graph;
  node.attributes["captures"] = static_cast<int64_t>(captured.size());
  for (const auto& [name, value] : captured) node.inputs.push_back(value);
  return AddOp(node.op, "", node.name, node.inputs, node.attributes, node.outputs);
}

std::vector<ir::Value*> GraphImporter::BuildControlFlow(const NodeProto& proto,
                                                        ImportedNode& node) {
  if (node.op == "If") return BuildIf(proto, node);
  if (node.op == "Loop") return BuildLoop(proto, node);
  if (node.op == "Scan") return BuildScan(proto, node);
  return BuildSequenceMap(proto, node);
}

std::vector<ir::Value*> GraphImporter::BuildIf(const NodeProto& proto, ImportedNode& node) {
  const Body then_branch = ImportBody(BodyOf(proto, "then_branch"), {});
  const Body else_branch = ImportBody(BodyOf(proto, "else_branch"), {}, &then_branch);
  // Both take the same values: those that the second branch alone needs are the last.
  for (size_t i = then_branch.captured.size(); i < else_branch.captured.size(); ++i) {
    const auto& [name, value] = else_branch.captured[i];
    std::string unique = name;
    while (then_branch.graph->FindInput(unique) != nullptr) unique += "'";
    then_branch.graph->AddInput(unique, value->type());
  }
  node.inputs.resize(1, nullptr);
  return AddWithBodies(node, {{"then_branch", then_branch}, {"else_branch", else_branch}},
                       else_branch.captured);
}

std::vector<ir::Value*> GraphImporter::BuildLoop(const NodeProto& proto, ImportedNode& node) {
  if (node.inputs.size() < 2) node.inputs.resize(2, nullptr);
  const size_t carried = node.inputs.size() - 2;
  std::vector<ir::Type> types = {ir::Type::Tensor(DType::kI64, Shape{}),
                                 ir::Type::Tensor(DType::kBool, Shape{})};
  for (size_t i = 0; i < carried; ++i) {
    if (node.inputs[2 + i] == nullptr) {
      throw Error(ErrorCode::kInvalidInput, "a value that it carries is left out");
    }
    types.push_back(Carried(node.inputs[2 + i]->type()));
  }
  const Body body = ImportBody(BodyOf(proto, "body"), types);
  if (body.graph->outputs().size() < 1 + carried) {
    FailCount("outputs", body.graph->outputs().size(),
              "a condition and " + std::to_string(carried) + " carried values at least");
  }
  node.outputs = body.graph->outputs().size() - 1;
  return AddWithBodies(node, {{"body", body}}, body.captured);
}

// Below 9 every input and output had a batch axis in front: a Scan over that whose body is the Scan
// of one sample.
std::vector<ir::Value*> GraphImporter::BuildBatchedScan(const NodeProto& proto,
                                                        ImportedNode& node) {
  if (node.input(0) != nullptr) {
    throw Error(ErrorCode::kUnsupported, "sequences of different lengths in a Scan of opset 8",
                "convert the model to opset 9 or later");
  }
  if (!node.inputs.empty()) node.inputs.erase(node.inputs.begin());
  Body sample{std::make_shared<ir::Graph>("sample"), {}};
  GraphImporter importer(context_, *sample.graph, opsets_, this);
  importer.arguments_ = arguments_;
  ImportedNode inner = node;
  inner.version = 9;
  inner.attributes.erase("directions");
  if (node.Has("directions")) {
    inner.attributes["scan_input_directions"] = node.attributes.at("directions");
  }
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    if (node.inputs[i] == nullptr) throw Error(ErrorCode::kInvalidInput, "an input is left out");
    inner.inputs[i] =
        sample.graph->AddInput("sample_" + std::to_string(i), SliceOf(node.inputs[i]->type(), 0));
  }
  const std::vector<ir::Value*> outputs = importer.BuildScan(proto, inner);
  for (size_t i = 0; i < outputs.size(); ++i) {
    sample.graph->AddOutput(outputs[i], "result_" + std::to_string(i));
  }
  sample.captured = importer.captured_;
  node.outputs = outputs.size();
  node.attributes = {{"num_scan_inputs", static_cast<int64_t>(node.inputs.size())}};
  return AddWithBodies(node, {{"body", sample}}, sample.captured);
}

std::vector<ir::Value*> GraphImporter::BuildScan(const NodeProto& proto, ImportedNode& node) {
  if (node.version < 9) return BuildBatchedScan(proto, node);
  const int64_t count = node.Int("num_scan_inputs", 0);
  if (count < 1 || count > static_cast<int64_t>(node.inputs.size())) {
    throw Error(ErrorCode::kInvalidInput, "num_scan_inputs is " + std::to_string(count) +
                                              ", but it has " + std::to_string(node.inputs.size()) +
                                              " inputs");
  }
  const size_t states = node.inputs.size() - static_cast<size_t>(count);
  const std::vector<int64_t> axes = node.Ints("scan_input_axes");
  std::vector<ir::Type> types;
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    if (node.inputs[i] == nullptr) throw Error(ErrorCode::kInvalidInput, "an input is left out");
    const ir::Type& type = node.inputs[i]->type();
    const bool has_axis = i >= states && i - states < axes.size();
    types.push_back(i < states ? Carried(type) : SliceOf(type, has_axis ? axes[i - states] : 0));
  }
  const Body body = ImportBody(BodyOf(proto, "body"), types);
  if (body.graph->outputs().size() < states) {
    FailCount("outputs", body.graph->outputs().size(), std::to_string(states) + " at least");
  }
  node.outputs = body.graph->outputs().size();
  return AddWithBodies(node, {{"body", body}}, body.captured);
}

std::vector<ir::Value*> GraphImporter::BuildSequenceMap(const NodeProto& proto,
                                                        ImportedNode& node) {
  std::vector<ir::Type> types;
  for (const ir::Value* input : node.inputs) {
    if (input == nullptr) throw Error(ErrorCode::kInvalidInput, "an input is left out");
    const bool is_sequence = input->type().kind() == ir::Type::Kind::kSequence;
    types.push_back(is_sequence ? input->type().element() : input->type());
  }
  const Body body = ImportBody(BodyOf(proto, "body"), types);
  node.outputs = body.graph->outputs().size();
  return AddWithBodies(node, {{"body", body}}, body.captured);
}

}  // namespace ingot::onnx
