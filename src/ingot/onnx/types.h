// ONNX's types and attributes as those of the graph.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "ingot/formats/onnx_file.h"
#include "ingot/ir/attribute.h"
#include "ingot/ir/type.h"

namespace ingot::onnx_proto {
class AttributeProto;
class TypeProto;
}  // namespace ingot::onnx_proto

namespace ingot::onnx {

// Unknown where the message says nothing. `what` names whose type it is. Throws Error: kUnsupported
// for maps, sparse tensors and opaque types, kInvalidInput for negative extents.
ir::Type TypeOf(const onnx_proto::TypeProto& proto, const std::string& what);

// What is known of a value from two sources; throws Error(kInvalidInput) where they contradict each
// other in kind or element type. Where extents differ, `a` is right.
ir::Type JoinTypes(const ir::Type& a, const ir::Type& b, const std::string& what);

// Any attribute but a graph. Throws Error: kUnsupported for lists of tensors, graphs and types.
ir::Attribute AttributeOf(const onnx_proto::AttributeProto& proto, formats::OnnxFile& file);

// Whether it holds a graph.
bool IsGraph(const onnx_proto::AttributeProto& proto);

}  // namespace ingot::onnx
