// Which ops of a model Ingot has.
#pragma once

#include <map>
#include <string>
#include <tuple>

#include "ingot/ir/op.h"

namespace ingot::onnx_proto {
class FunctionProto;
class ModelProto;
class NodeProto;
}  // namespace ingot::onnx_proto

namespace ingot::onnx {

// The functions that a model defines: (domain, name, overload).
using FunctionKey = std::tuple<std::string, std::string, std::string>;
using Functions = std::map<FunctionKey, const onnx_proto::FunctionProto*>;
Functions FunctionsOf(const onnx_proto::ModelProto& model);
FunctionKey KeyOf(const onnx_proto::NodeProto& node);

// "" for ONNX's own ops, which some files call "ai.onnx".
std::string Domain(const std::string& domain);

// Ops whose attributes are graphs, which the importer builds itself.
bool IsControlFlow(const std::string& op, const std::string& domain);
// Gradient of ONNX's training domain, which stands for nodes that the importer adds.
bool IsGradient(const std::string& op, const std::string& domain);

// Throws Error(kUnsupported) with every op that Ingot does not have and all of its nodes.
void CheckSupported(const onnx_proto::ModelProto& model, const Functions& functions,
                    const ir::OpRegistry& registry, const std::string& name);

}  // namespace ingot::onnx
