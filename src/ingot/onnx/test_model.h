// Models built in memory for tests.
#pragma once

#include <initializer_list>
#include <string>
#include <vector>

#include "onnx_proto/onnx_model.pb.h"

#include "ingot/formats/onnx_file.h"
#include "ingot/onnx/import.h"
#include "ingot/ops/interpreter.h"
#include "ingot/ops/standard_ops.h"

namespace ingot::onnx {

using Names = std::vector<std::string>;

inline const ir::OpRegistry& TestRegistry() {
  static const ir::OpRegistry registry = ops::StandardOps();
  return registry;
}

inline void SetTensorType(onnx_proto::TypeProto& type, DType dtype, const Names& dims) {
  type.mutable_tensor_type()->set_elem_type(static_cast<int>(dtype));
  auto& shape = *type.mutable_tensor_type()->mutable_shape();
  for (const std::string& dim : dims) {
    const bool number = dim.find_first_not_of("-0123456789") == std::string::npos;
    if (number && !dim.empty()) {
      shape.add_dim()->set_dim_value(std::stoll(dim));
    } else {
      shape.add_dim()->set_dim_param(dim);
    }
  }
}

// A graph (or subgraph) that is written down node by node.
class TestGraph {
 public:
  explicit TestGraph(onnx_proto::GraphProto& proto) : proto_(&proto) { proto.set_name("graph"); }

  TestGraph& Input(const std::string& name, DType dtype = DType::kF32, const Names& dims = {}) {
    auto& input = *proto_->add_input();
    input.set_name(name);
    SetTensorType(*input.mutable_type(), dtype, dims);
    return *this;
  }
  TestGraph& Output(const std::string& name) {
    proto_->add_output()->set_name(name);
    return *this;
  }
  TestGraph& Initializer(const std::string& name, const Tensor& tensor) {
    auto& proto = *proto_->add_initializer();
    proto.set_name(name);
    formats::SetOnnxTensor(tensor, proto);
    return *this;
  }
  onnx_proto::NodeProto& Node(const std::string& op, const Names& inputs, const Names& outputs,
                              const std::string& domain = "") {
    auto& node = *proto_->add_node();
    node.set_op_type(op);
    node.set_domain(domain);
    node.set_name("the_" + op);
    for (const std::string& input : inputs) node.add_input(input);
    for (const std::string& output : outputs) node.add_output(output);
    return node;
  }
  onnx_proto::GraphProto& proto() { return *proto_; }

 private:
  onnx_proto::GraphProto* proto_;
};

inline onnx_proto::AttributeProto& AddAttribute(onnx_proto::NodeProto& node,
                                                const std::string& name) {
  auto& attribute = *node.add_attribute();
  attribute.set_name(name);
  return attribute;
}
inline void SetInt(onnx_proto::NodeProto& node, const std::string& name, int64_t value) {
  auto& attribute = AddAttribute(node, name);
  attribute.set_type(onnx_proto::AttributeProto::INT);
  attribute.set_i(value);
}
inline void SetFloat(onnx_proto::NodeProto& node, const std::string& name, float value) {
  auto& attribute = AddAttribute(node, name);
  attribute.set_type(onnx_proto::AttributeProto::FLOAT);
  attribute.set_f(value);
}
inline void SetInts(onnx_proto::NodeProto& node, const std::string& name,
                    const std::vector<int64_t>& values) {
  auto& attribute = AddAttribute(node, name);
  attribute.set_type(onnx_proto::AttributeProto::INTS);
  for (const int64_t value : values) attribute.add_ints(value);
}
inline void SetText(onnx_proto::NodeProto& node, const std::string& name,
                    const std::string& value) {
  auto& attribute = AddAttribute(node, name);
  attribute.set_type(onnx_proto::AttributeProto::STRING);
  attribute.set_s(value);
}
inline void SetTexts(onnx_proto::NodeProto& node, const std::string& name, const Names& values) {
  auto& attribute = AddAttribute(node, name);
  attribute.set_type(onnx_proto::AttributeProto::STRINGS);
  for (const std::string& value : values) attribute.add_strings(value);
}
inline TestGraph Subgraph(onnx_proto::NodeProto& node, const std::string& name) {
  auto& attribute = AddAttribute(node, name);
  attribute.set_type(onnx_proto::AttributeProto::GRAPH);
  return TestGraph(*attribute.mutable_g());
}

class TestModel {
 public:
  explicit TestModel(int64_t opset = kNewestOpset) {
    proto.set_ir_version(10);
    proto.add_opset_import()->set_version(opset);
  }
  TestGraph graph() { return TestGraph(*proto.mutable_graph()); }
  std::string Bytes() const { return proto.SerializeAsString(); }
  formats::OnnxFile File(const std::string& folder = "") const {
    return formats::OnnxFile::Parse(formats::CopyBlob(formats::AsBytes(Bytes())), "test.onnx",
                                    folder);
  }
  ImportedModel Import(const ImportOptions& options = {}) const {
    formats::OnnxFile file = File();
    return ImportModel(file, TestRegistry(), options);
  }
  // The first output.
  Tensor Run(const std::map<std::string, Tensor>& inputs) const {
    const ImportedModel model = Import();
    std::vector<Datum> data;
    for (const ir::Value* input : model.graph->inputs())
      data.emplace_back(inputs.at(input->name()));
    return ops::InterpretValues(*model.graph, data).at(0).tensor();
  }

  onnx_proto::ModelProto proto;
};

}  // namespace ingot::onnx
