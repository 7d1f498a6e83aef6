// Graphs as ONNX's messages.
#include "ingot/onnx/export.h"

#include <filesystem>
#include <set>

#include "onnx_proto/onnx_model.pb.h"

#include "ingot/base/error.h"
#include "ingot/formats/onnx_file.h"
#include "ingot/onnx/lower.h"

namespace ingot::onnx {
namespace {

using onnx_proto::AttributeProto;
using onnx_proto::GraphProto;
using onnx_proto::ModelProto;
using onnx_proto::NodeProto;
using onnx_proto::TensorProto;

constexpr int64_t kIrVersion = 10;  // the one of opset 21
// External data begin at multiples of a page, so that they can be mapped.
constexpr uint64_t kPage = 4096;

void SetType(const ir::Type& type, onnx_proto::TypeProto& proto) {
  auto& tensor = *proto.mutable_tensor_type();
  tensor.set_elem_type(static_cast<int>(type.dtype()));
  if (!type.has_rank()) return;
  auto& shape = *tensor.mutable_shape();
  for (const ir::Dimension& dim : type.dims()) {
    auto& extent = *shape.add_dim();
    if (dim.is_static()) extent.set_dim_value(dim.value());
    if (dim.is_symbolic()) extent.set_dim_param(dim.symbol());
  }
}

void SetAttribute(const std::string& name, const ir::Attribute& value, AttributeProto& proto) {
  proto.set_name(name);
  if (const auto* number = std::get_if<int64_t>(&value)) {
    proto.set_type(AttributeProto::INT);
    proto.set_i(*number);
  } else if (const auto* real = std::get_if<double>(&value)) {
    proto.set_type(AttributeProto::FLOAT);
    proto.set_f(static_cast<float>(*real));
  } else if (const auto* text = std::get_if<std::string>(&value)) {
    proto.set_type(AttributeProto::STRING);
    proto.set_s(*text);
  } else if (const auto* numbers = std::get_if<std::vector<int64_t>>(&value)) {
    proto.set_type(AttributeProto::INTS);
    for (const int64_t n : *numbers) proto.add_ints(n);
  } else if (const auto* reals = std::get_if<std::vector<double>>(&value)) {
    proto.set_type(AttributeProto::FLOATS);
    for (const double r : *reals) proto.add_floats(static_cast<float>(r));
  } else if (const auto* texts = std::get_if<std::vector<std::string>>(&value)) {
    proto.set_type(AttributeProto::STRINGS);
    for (const std::string& t : *texts) proto.add_strings(t);
  } else if (const auto* tensor = std::get_if<Tensor>(&value)) {
    proto.set_type(AttributeProto::TENSOR);
    formats::SetOnnxTensor(*tensor, *proto.mutable_t());
  } else {
    throw Error(ErrorCode::kUnsupported, "attribute '" + name + "' cannot be exported");
  }
}

// Names of values: the graph's own where they are unique, else the number.
class Names {
 public:
  explicit Names(const ir::Graph& graph) {
    for (const ir::Value* input : graph.inputs()) Give(input, input->name());
    for (size_t i = 0; i < graph.outputs().size(); ++i) {
      if (names_.count(graph.outputs()[i]) == 0) Give(graph.outputs()[i], graph.output_names()[i]);
    }
  }
  const std::string& Of(const ir::Value* value) {
    const auto found = names_.find(value);
    if (found != names_.end()) return found->second;
    std::string name = value->name();
    while (name.empty() || taken_.count(name) > 0) name = "v" + std::to_string(next_++);
    return Give(value, name);
  }

 private:
  const std::string& Give(const ir::Value* value, const std::string& name) {
    taken_.insert(name);
    return names_[value] = name;
  }

  std::map<const ir::Value*, std::string> names_;
  std::set<std::string> taken_;
  int next_ = 0;
};

// A name for a node that says which layer it came from.
std::string NodeName(const ir::Node& node, size_t index) {
  if (!node.name().empty()) return node.name();
  const std::string layer = node.layer().substr(0, node.layer().find(" ("));
  return (layer.empty() ? "" : layer + "/") + node.op_type() + "_" + std::to_string(index);
}

void AddNode(const ir::Node& node, size_t index, Names& names, GraphProto& graph) {
  NodeProto& proto = *graph.add_node();
  proto.set_op_type(node.op_type());
  if (!node.domain().empty()) proto.set_domain(node.domain());
  proto.set_name(NodeName(node, index));
  for (const ir::Value* input : node.inputs()) {
    proto.add_input(input == nullptr ? "" : names.Of(input));
  }
  for (const ir::Value* output : node.outputs()) {
    proto.add_output(output->is_used() ? names.Of(output) : "");
  }
  while (proto.output_size() > 1 && proto.output(proto.output_size() - 1).empty()) {
    proto.mutable_output()->RemoveLast();
  }
  for (const auto& [name, value] : node.attributes()) {
    // Ops of the newest version have no such attribute; here it is 0 in any case.
    if (name != "channels_last") SetAttribute(name, value, *proto.add_attribute());
  }
}

const Tensor& WeightOf(const ir::Value* input, std::span<const formats::NamedTensor> weights) {
  for (const formats::NamedTensor& weight : weights) {
    if (weight.name != input->name()) continue;
    const ir::Type type = ir::Type::Tensor(weight.tensor.dtype(), weight.tensor.shape());
    if (type == input->type()) return weight.tensor;
    throw Error(ErrorCode::kInvalidInput, "weight '" + weight.name + "' is " +
                                              weight.tensor.Describe() + ", expected " +
                                              input->type().ToString());
  }
  throw Error(ErrorCode::kInvalidInput, "there is no weight '" + input->name() + "'");
}

// Where weights go: into the message, or one after another into a file beside it.
class Weights {
 public:
  Weights(FileSystem& files, const std::string& path, bool outside)
      : path_(path + ".data"), location_(std::filesystem::path(path_).filename().string()) {
    if (outside) file_ = files.OpenForWrite(path_);
  }

  void Add(const std::string& name, const Tensor& tensor, TensorProto& proto) {
    proto.set_name(name);
    bytes_ += tensor.bytes();
    if (file_ == nullptr) {
      formats::SetOnnxTensor(tensor, proto);
      return;
    }
    proto.set_data_type(static_cast<int>(tensor.dtype()));
    for (const int64_t d : tensor.shape().dims()) proto.add_dims(d);
    proto.set_data_location(TensorProto::EXTERNAL);
    const uint64_t begin = (offset_ + kPage - 1) / kPage * kPage;
    file_->Write(std::string(begin - offset_, '\0'));
    file_->Write(formats::AsText({tensor.raw(), tensor.bytes()}));
    offset_ = begin + tensor.bytes();
    const std::pair<const char*, std::string> entries[] = {
        {"location", location_},
        {"offset", std::to_string(begin)},
        {"length", std::to_string(tensor.bytes())}};
    for (const auto& [key, value] : entries) {
      auto& entry = *proto.add_external_data();
      entry.set_key(key);
      entry.set_value(value);
    }
  }
  // Returns the file's path; "" where there is none.
  std::string Finish() {
    if (file_ == nullptr) return "";
    file_->Sync();
    file_->Close();
    return path_;
  }
  uint64_t bytes() const { return bytes_; }

 private:
  std::string path_;
  std::string location_;
  std::unique_ptr<WritableFile> file_;
  uint64_t offset_ = 0;
  uint64_t bytes_ = 0;
};

void Fill(const ir::Graph& graph, std::span<const formats::NamedTensor> weights, Weights& sink,
          GraphProto& proto) {
  Names names(graph);
  proto.set_name(graph.name());
  for (const ir::Value* input : graph.inputs()) {
    if (input->role() == ir::Role::kParameter) {
      if (!input->is_used()) continue;
      sink.Add(input->name(), WeightOf(input, weights), *proto.add_initializer());
    } else {
      auto& port = *proto.add_input();
      port.set_name(input->name());
      SetType(input->type(), *port.mutable_type());
    }
  }
  size_t index = 0;
  for (const ir::Node* node : graph.nodes()) AddNode(*node, index++, names, proto);
  for (size_t i = 0; i < graph.outputs().size(); ++i) {
    const std::string& made = names.Of(graph.outputs()[i]);
    auto& port = *proto.add_output();
    port.set_name(graph.output_names()[i]);
    if (made != port.name()) {
      // An input, or a value that is an output under another name too.
      NodeProto& identity = *proto.add_node();
      identity.set_op_type("Identity");
      identity.add_input(made);
      identity.add_output(port.name());
    }
    SetType(graph.outputs()[i]->type(), *port.mutable_type());
  }
}

uint64_t WeightBytes(const ir::Graph& graph, std::span<const formats::NamedTensor> weights) {
  uint64_t bytes = 0;
  for (const ir::Value* input : graph.inputs()) {
    if (input->role() == ir::Role::kParameter && input->is_used()) {
      bytes += WeightOf(input, weights).bytes();
    }
  }
  return bytes;
}

}  // namespace

ExportedFiles ExportModel(const ir::Graph& graph, std::span<const formats::NamedTensor> weights,
                          const ir::OpRegistry& registry, FileSystem& files,
                          const std::string& path, const ExportOptions& options) {
  const std::unique_ptr<ir::Graph> lowered = graph.Clone();
  LowerForExport(*lowered, registry);
  ModelProto model;
  model.set_ir_version(kIrVersion);
  model.set_producer_name("ingot");
  auto& opset = *model.add_opset_import();
  opset.set_domain("");
  opset.set_version(kExportOpset);
  for (const auto& [key, value] : options.metadata) {
    auto& entry = *model.add_metadata_props();
    entry.set_key(key);
    entry.set_value(value);
  }
  const uint64_t bytes = WeightBytes(*lowered, weights);
  Weights sink(files, path, bytes > options.most_weights_inside);
  Fill(*lowered, weights, sink, *model.mutable_graph());
  ExportedFiles exported;
  exported.model = path;
  exported.weights = sink.Finish();
  const std::string encoded = formats::EncodeOnnx(model);
  WriteFileAtomically(files, path, encoded);
  exported.bytes = encoded.size() + (exported.weights.empty() ? 0 : bytes);
  return exported;
}

}  // namespace ingot::onnx
