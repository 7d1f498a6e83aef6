// The order in which the nodes of a graph can be imported.
#pragma once

#include <set>
#include <string>
#include <vector>

namespace ingot::onnx_proto {
class GraphProto;
class NodeProto;
}  // namespace ingot::onnx_proto

namespace ingot::onnx {

// The names that a graph takes from around it.
std::set<std::string> FreeNames(const onnx_proto::GraphProto& graph);

// The names that a node needs: its inputs, and what its subgraphs take from around them.
std::vector<std::string> NeededNames(const onnx_proto::NodeProto& node);

// How messages name a node: "Add node 'sum'", or "Add node 12" for one without a name.
std::string DescribeNode(const onnx_proto::NodeProto& node, size_t index);

// Indices of the nodes, each after those that make what it needs. The given order is kept where it
// is one. Throws Error(kInvalidInput) for nodes that wait for each other, and for a name that two
// nodes make.
template <typename Nodes>
std::vector<size_t> OrderOf(const Nodes& nodes);

}  // namespace ingot::onnx
