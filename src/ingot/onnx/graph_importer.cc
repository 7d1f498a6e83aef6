// Names, initializers, nodes and functions of a graph that is imported.
#include "ingot/onnx/graph_importer.h"

#include <algorithm>

#include "onnx_proto/onnx_model.pb.h"

#include "ingot/base/error.h"
#include "ingot/base/text.h"
#include "ingot/onnx/order.h"
#include "ingot/onnx/types.h"
#include "ingot/ops/definition.h"
#include "ingot/passes/autodiff.h"

namespace ingot::onnx {
namespace {

using onnx_proto::FunctionProto;
using onnx_proto::GraphProto;
using onnx_proto::NodeProto;

// Functions that call functions can name more nodes than any machine holds.
constexpr int64_t kMostNodes = 200'000;

}  // namespace

ir::Value* GraphImporter::Find(const std::string& name) {
  const auto known = values_.find(name);
  if (known != values_.end()) return known->second;
  ir::Builder builder(graph_, context_.registry);
  const auto initializer = initializers_.find(name);
  const auto sparse = sparse_initializers_.find(name);
  ir::Value* value = nullptr;
  if (initializer != initializers_.end()) {
    value = builder.Constant(context_.unaligned_weights
                                 ? context_.file.UnalignedTensorOf(*initializer->second)
                                 : context_.file.TensorOf(*initializer->second));
  } else if (sparse != sparse_initializers_.end()) {
    value = builder.Constant(context_.file.DenseTensorOf(*sparse->second));
  } else if (outer_ != nullptr) {
    ir::Value* outside = outer_->Find(name);
    if (outside == nullptr) return nullptr;
    const ir::Node* producer = outside->producer();
    if (producer != nullptr && producer->op_type() == "Constant") {
      value = builder.Op("Constant", {}, producer->attributes());
    } else {
      return Capture(name, outside);
    }
  }
  if (value == nullptr) return nullptr;
  value->set_name(name);
  values_[name] = value;
  return value;
}

ir::Value* GraphImporter::Capture(const std::string& name, ir::Value* outside) {
  ir::Value* value = graph_.AddInput(name, outside->type());
  captured_.emplace_back(name, outside);
  return values_[name] = value;
}

void GraphImporter::Bind(const std::string& name, ir::Value* value) {
  if (name.empty()) return;
  if (!values_.emplace(name, value).second || initializers_.count(name) > 0) {
    throw Error(ErrorCode::kInvalidInput, "two values are named '" + name + "'");
  }
  if (value->name().empty()) value->set_name(name);
}

void GraphImporter::AddInitializers(const GraphProto& proto) {
  for (const auto& tensor : proto.initializer()) {
    if (values_.count(tensor.name()) == 0 &&
        !initializers_.emplace(tensor.name(), &tensor).second) {
      throw Error(ErrorCode::kInvalidInput, "two initializers are named '" + tensor.name() + "'");
    }
  }
  for (const auto& tensor : proto.sparse_initializer()) {
    sparse_initializers_.emplace(tensor.values().name(), &tensor);
  }
}

void GraphImporter::ReplaceInitializer(const std::string& name, Tensor tensor) {
  Bind(name, ir::Builder(graph_, context_.registry).Constant(std::move(tensor)));
}

template <typename Nodes>
void GraphImporter::AddNodes(const Nodes& nodes) {
  for (const size_t i : OrderOf(nodes)) AddNode(nodes.Get(static_cast<int>(i)), i);
}

template void GraphImporter::AddNodes(const google::protobuf::RepeatedPtrField<NodeProto>& nodes);

void GraphImporter::AddOutputs(const GraphProto& proto) {
  for (const auto& output : proto.output()) {
    ir::Value* value = Find(output.name());
    if (value == nullptr) {
      throw Error(ErrorCode::kInvalidInput, "output '" + output.name() + "' of graph '" +
                                                proto.name() + "' is made by no node");
    }
    graph_.AddOutput(value, output.name());
  }
}

int64_t GraphImporter::VersionOf(const std::string& domain) const {
  const auto found = opsets_.find(domain);
  return found == opsets_.end() ? kNewestOpset : found->second;
}

void GraphImporter::ReadAttributes(const NodeProto& proto, ImportedNode& node) {
  for (const auto& attribute : proto.attribute()) {
    if (IsGraph(attribute)) continue;  // read where the op is built
    if (attribute.ref_attr_name().empty()) {
      node.attributes[attribute.name()] = AttributeOf(attribute, context_.file);
      continue;
    }
    const auto argument = arguments_.find(attribute.ref_attr_name());
    if (argument != arguments_.end()) node.attributes[attribute.name()] = argument->second;
  }
}

ImportedNode GraphImporter::Read(const NodeProto& proto) {
  ImportedNode node;
  node.op = proto.op_type();
  node.domain = Domain(proto.domain());
  node.name = proto.name();
  node.version = VersionOf(node.domain);
  for (const std::string& name : proto.input()) {
    ir::Value* value = name.empty() ? nullptr : Find(name);
    const bool left_out = name.empty() || (value == nullptr && values_.count(name) > 0);
    if (value == nullptr && !left_out) {
      throw Error(ErrorCode::kInvalidInput,
                  "it takes '" + name + "', which is no input, initializer or output of a node");
    }
    node.inputs.push_back(value);
  }
  // Outputs at the end that nobody wants are not made.
  int outputs = proto.output_size();
  while (outputs > 1 && proto.output(outputs - 1).empty()) --outputs;
  if (outputs == 0) throw Error(ErrorCode::kInvalidInput, "it has no output");
  node.outputs = static_cast<size_t>(outputs);
  ReadAttributes(proto, node);
  return node;
}

void GraphImporter::AddNode(const NodeProto& proto, size_t index) {
  try {
    if (++context_.nodes > kMostNodes) {
      throw Error(ErrorCode::kUnsupported, "the model has more than " + WithThousands(kMostNodes) +
                                               " nodes when its functions are inlined");
    }
    const std::vector<ir::Value*> outputs = Build(proto, Read(proto));
    for (int i = 0; i < proto.output_size() && static_cast<size_t>(i) < outputs.size(); ++i) {
      Bind(proto.output(i), outputs[static_cast<size_t>(i)]);
    }
  } catch (const Error& error) {
    const std::string what = DescribeNode(proto, index);
    // The graph's own messages begin with the node's name.
    throw error.message().starts_with(proto.op_type() + " node") ? error : error.In(what);
  }
}

std::vector<ir::Value*> GraphImporter::Build(const NodeProto& proto, ImportedNode node) {
  const auto function = context_.functions.find(KeyOf(proto));
  if (function != context_.functions.end()) return Inline(*function->second, node);
  if (IsControlFlow(node.op, node.domain)) return BuildControlFlow(proto, node);
  if (IsGradient(node.op, node.domain)) return BuildGradient(node);
  if (node.op == "Constant" && node.domain.empty()) return BuildConstant(node);
  ir::Builder builder(graph_, context_.registry);
  for (const VersionChange& change : VersionChanges()) {
    if (change.op != node.op || change.domain != node.domain || node.version >= change.before) {
      continue;
    }
    if (std::optional<std::vector<ir::Value*>> outputs = change.rewrite(node, builder)) {
      return *std::move(outputs);
    }
  }
  while (!node.inputs.empty() && node.inputs.back() == nullptr) node.inputs.pop_back();
  return AddOp(node.op, node.domain, node.name, std::move(node.inputs), std::move(node.attributes),
               node.outputs);
}

std::vector<ir::Value*> GraphImporter::AddOp(const std::string& op, const std::string& domain,
                                             const std::string& name,
                                             std::vector<ir::Value*> inputs,
                                             ir::Attributes attributes, size_t outputs) {
  const ir::OpDefinition& definition = context_.registry.Get(op, domain);
  ir::Node* node = graph_.AddNode(definition, std::move(inputs), std::move(attributes), outputs);
  node->set_name(name);
  try {
    ir::InferNode(*node);
  } catch (const Error&) {
    graph_.RemoveNode(node);
    throw;
  }
  return {node->outputs().begin(), node->outputs().end()};
}

std::vector<ir::Value*> GraphImporter::BuildConstant(ImportedNode& node) {
  // All forms as a tensor: sparse_value is dense already, strings become a tensor of them.
  ir::Attributes attributes = node.attributes;
  if (node.Has("sparse_value")) attributes = {{"value", node.attributes.at("sparse_value")}};
  if (node.Has("value_string")) {
    attributes = {{"value", Tensor::OfStrings({}, {node.String("value_string", "")})}};
  }
  if (node.Has("value_strings")) {
    const auto texts = std::get<std::vector<std::string>>(node.attributes.at("value_strings"));
    attributes = {{"value", Tensor::OfStrings({static_cast<int64_t>(texts.size())}, texts)}};
  }
  std::vector<ir::Value*> values = AddOp("Constant", "", node.name, {}, std::move(attributes), 1);
  // Passes look for the tensor of a Constant.
  ir::Node& constant = *values[0]->producer();
  if (!constant.HasAttribute("value")) {
    Tensor tensor = ops::ConstantTensor(constant);
    constant.RemoveAttribute(constant.attributes().begin()->first);
    constant.SetAttribute("value", std::move(tensor));
  }
  return values;
}

// d(y) / d(x) for each x, at the values that y was made of.
std::vector<ir::Value*> GraphImporter::BuildGradient(const ImportedNode& node) {
  const auto names = node.attributes.find("xs");
  const auto* xs = names == node.attributes.end()
                       ? nullptr
                       : std::get_if<std::vector<std::string>>(&names->second);
  ir::Value* y = Find(node.String("y", ""));
  if (xs == nullptr || y == nullptr) {
    throw Error(ErrorCode::kInvalidInput, "its attributes 'xs' and 'y' must name values");
  }
  std::vector<ir::Value*> with_respect_to;
  for (size_t i = 0; i < xs->size(); ++i) {
    with_respect_to.push_back(Find((*xs)[i]));
    if (with_respect_to.back() == nullptr || with_respect_to.back() != node.input(i)) {
      throw Error(ErrorCode::kUnsupported,
                  "its input " + std::to_string(i) + " is another value than '" + (*xs)[i] + "'");
    }
  }
  return passes::Gradients(graph_, context_.registry, y, with_respect_to);
}

std::vector<ir::Value*> GraphImporter::Inline(const FunctionProto& function,
                                              const ImportedNode& node) {
  auto& calls = context_.calls;
  if (std::find(calls.begin(), calls.end(), &function) != calls.end()) {
    throw Error(ErrorCode::kInvalidInput, "function '" + function.name() + "' calls itself");
  }
  calls.push_back(&function);
  Opsets opsets = opsets_;
  for (const auto& import : function.opset_import()) {
    opsets[Domain(import.domain())] = import.version();
  }
  GraphImporter body(context_, graph_, opsets);
  for (const auto& attribute : function.attribute_proto()) {
    body.arguments_[attribute.name()] = AttributeOf(attribute, context_.file);
  }
  for (const auto& [name, value] : node.attributes) body.arguments_[name] = value;
  for (int i = 0; i < function.input_size(); ++i) {
    ir::Value* value = node.input(static_cast<size_t>(i));
    // An input that the caller leaves out is one that the body's nodes leave out.
    body.values_[function.input(i)] = value;
  }
  try {
    body.AddNodes(function.node());
  } catch (const Error& error) {
    throw error.In("function '" + function.name() + "'");
  }
  std::vector<ir::Value*> outputs;
  for (const std::string& name : function.output()) {
    outputs.push_back(body.Find(name));
    if (outputs.back() == nullptr) {
      throw Error(ErrorCode::kInvalidInput, "function '" + function.name() + "' makes no value '" +
                                                name + "', which is among its outputs");
    }
  }
  calls.pop_back();
  return outputs;
}

}  // namespace ingot::onnx
