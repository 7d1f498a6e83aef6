// The import of a whole model.
#include "ingot/onnx/import.h"

#include <algorithm>

#include "onnx_proto/onnx_model.pb.h"

#include "ingot/base/error.h"
#include "ingot/base/text.h"
#include "ingot/onnx/graph_importer.h"
#include "ingot/onnx/support.h"
#include "ingot/onnx/types.h"

namespace ingot::onnx {
namespace {

using onnx_proto::GraphProto;
using onnx_proto::ModelProto;

constexpr int64_t kOldestOpset = 1;

Opsets OpsetsOf(const ModelProto& model) {
  Opsets opsets;
  for (const auto& import : model.opset_import()) {
    opsets[Domain(import.domain())] = import.version();
  }
  const auto own = opsets.find("");
  if (own == opsets.end()) return opsets;
  if (own->second < kOldestOpset || own->second > kNewestOpset) {
    throw Error(ErrorCode::kUnsupported,
                "it uses opset " + std::to_string(own->second) + "; opsets " +
                    std::to_string(kOldestOpset) + " to " + std::to_string(kNewestOpset) +
                    " are read",
                "convert it with onnx.version_converter");
  }
  return opsets;
}

std::map<std::string, const onnx_proto::TensorProto*> InitializersOf(const GraphProto& graph) {
  std::map<std::string, const onnx_proto::TensorProto*> initializers;
  for (const auto& tensor : graph.initializer()) initializers[tensor.name()] = &tensor;
  return initializers;
}

void CheckReplacement(const std::string& name, const Tensor& tensor, const Tensor& original) {
  if (tensor.dtype() == original.dtype() && tensor.shape() == original.shape()) return;
  throw Error(ErrorCode::kInvalidInput, "initializer '" + name + "' is " + original.Describe() +
                                            ", but " + tensor.Describe() +
                                            " was given in its place");
}

// Inputs, and the initializers that a caller may replace.
void AddInputs(const GraphProto& graph, formats::OnnxFile& file, const ImportOptions& options,
               GraphImporter& importer, ImportedModel& model) {
  const auto initializers = InitializersOf(graph);
  for (const auto& input : graph.input()) {
    const std::string what = "input '" + input.name() + "'";
    ir::Type type = TypeOf(input.type(), what);
    const auto initializer = initializers.find(input.name());
    if (initializer == initializers.end()) {
      if (type.kind() == ir::Type::Kind::kUnknown) {
        throw Error(ErrorCode::kInvalidInput, what + " has no type");
      }
      if (model.graph->FindInput(input.name()) != nullptr) {
        throw Error(ErrorCode::kInvalidInput, "two inputs are named '" + input.name() + "'");
      }
      importer.Bind(input.name(), model.graph->AddInput(input.name(), std::move(type)));
      continue;
    }
    if (std::find(options.open_inputs.begin(), options.open_inputs.end(), input.name()) !=
        options.open_inputs.end()) {
      importer.Bind(input.name(), model.graph->AddInput(input.name(), std::move(type)));
      model.defaults.emplace(input.name(), file.TensorOf(*initializer->second));
      continue;
    }
    const auto given = options.initializers.find(input.name());
    if (given != options.initializers.end()) {
      CheckReplacement(input.name(), given->second, file.TensorOf(*initializer->second));
      importer.ReplaceInitializer(input.name(), given->second);
    }
    model.replaceable[input.name()] = type;
  }
  for (const auto& given : options.initializers) {
    if (model.replaceable.count(given.first) > 0) continue;
    throw Error(ErrorCode::kInvalidInput,
                "the model has no initializer '" + given.first + "' that is an input too");
  }
}

ImportedModel Import(formats::OnnxFile& file, const ir::OpRegistry& registry,
                     const ImportOptions& options) {
  const ModelProto& proto = file.model();
  const Opsets opsets = OpsetsOf(proto);
  ImportContext context{file, registry, FunctionsOf(proto), options.unaligned_weights};
  CheckSupported(proto, context.functions, registry, "it");
  ImportedModel model;
  model.graph = std::make_unique<ir::Graph>(proto.graph().name());
  const auto own = opsets.find("");
  model.opset = own == opsets.end() ? kNewestOpset : own->second;
  model.producer = proto.producer_name();
  for (const auto& entry : proto.metadata_props()) model.metadata[entry.key()] = entry.value();
  GraphImporter importer(context, *model.graph, opsets);
  AddInputs(proto.graph(), file, options, importer, model);
  importer.AddInitializers(proto.graph());
  importer.AddNodes(proto.graph().node());
  importer.AddOutputs(proto.graph());
  if (model.graph->outputs().empty()) throw Error(ErrorCode::kInvalidInput, "it has no output");
  for (int i = 0; i < proto.graph().output_size(); ++i) {
    const std::string what = "output '" + proto.graph().output(i).name() + "'";
    model.output_types.push_back(JoinTypes(model.graph->outputs()[static_cast<size_t>(i)]->type(),
                                           TypeOf(proto.graph().output(i).type(), what), what));
  }
  return model;
}

}  // namespace

ImportedModel ImportModel(formats::OnnxFile& file, const ir::OpRegistry& registry,
                          const ImportOptions& options) {
  try {
    return Import(file, registry, options);
  } catch (const Error& error) {
    // Tensors name the file themselves.
    const bool named = error.message().starts_with(file.name());
    throw named ? error : error.In("'" + file.name() + "'");
  }
}

}  // namespace ingot::onnx
