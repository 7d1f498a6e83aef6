// Dependencies between the nodes of a file.
#include "ingot/onnx/order.h"

#include <map>

#include "onnx_proto/onnx_model.pb.h"

#include "ingot/base/error.h"
#include "ingot/base/text.h"

namespace ingot::onnx {

using onnx_proto::GraphProto;
using onnx_proto::NodeProto;

std::vector<std::string> NeededNames(const NodeProto& node) {
  std::vector<std::string> names;
  for (const std::string& input : node.input()) {
    if (!input.empty()) names.push_back(input);
  }
  for (const auto& attribute : node.attribute()) {
    // Gradient names what it is a gradient of.
    if (node.op_type() == "Gradient" && attribute.name() == "y") names.push_back(attribute.s());
    if (!attribute.has_g()) continue;
    const std::set<std::string> free = FreeNames(attribute.g());
    names.insert(names.end(), free.begin(), free.end());
  }
  return names;
}

std::set<std::string> FreeNames(const GraphProto& graph) {
  std::set<std::string> made, free;
  for (const auto& input : graph.input()) made.insert(input.name());
  for (const auto& tensor : graph.initializer()) made.insert(tensor.name());
  for (const auto& tensor : graph.sparse_initializer()) made.insert(tensor.values().name());
  for (const NodeProto& node : graph.node()) {
    for (const std::string& output : node.output()) made.insert(output);
  }
  for (const NodeProto& node : graph.node()) {
    for (const std::string& name : NeededNames(node)) {
      if (made.count(name) == 0) free.insert(name);
    }
  }
  for (const auto& output : graph.output()) {
    if (made.count(output.name()) == 0) free.insert(output.name());
  }
  return free;
}

std::string DescribeNode(const NodeProto& node, size_t index) {
  const std::string name = node.name().empty() ? std::to_string(index) : "'" + node.name() + "'";
  return node.op_type() + " node " + name;
}

namespace {

// Depth-first search over the nodes that make what a node needs, without recursion.
template <typename Nodes>
class Sorter {
 public:
  explicit Sorter(const Nodes& nodes) : nodes_(nodes), states_(nodes.size(), State::kNew) {
    for (size_t i = 0; i < states_.size(); ++i) {
      for (const std::string& output : Node(i).output()) {
        if (output.empty() || makers_.emplace(output, i).second) continue;
        throw Error(ErrorCode::kInvalidInput, "'" + output + "' is made twice: by " + Describe(i) +
                                                  " and by " + Describe(makers_[output]));
      }
    }
  }

  std::vector<size_t> Sort() {
    for (size_t i = 0; i < states_.size(); ++i) Visit(i);
    return std::move(order_);
  }

 private:
  enum class State { kNew, kOpen, kDone };
  struct Frame {
    size_t node;
    std::vector<std::string> needed;
    size_t next = 0;
  };

  const NodeProto& Node(size_t i) const { return nodes_.Get(static_cast<int>(i)); }
  std::string Describe(size_t i) const { return DescribeNode(Node(i), i); }

  void Open(size_t i) {
    states_[i] = State::kOpen;
    stack_.push_back({i, NeededNames(Node(i))});
  }

  void Visit(size_t first) {
    if (states_[first] != State::kNew) return;
    Open(first);
    while (!stack_.empty()) {
      Frame& frame = stack_.back();
      if (frame.next == frame.needed.size()) {
        states_[frame.node] = State::kDone;
        order_.push_back(frame.node);
        stack_.pop_back();
        continue;
      }
      const auto maker = makers_.find(frame.needed[frame.next++]);
      if (maker == makers_.end() || states_[maker->second] == State::kDone) continue;
      if (states_[maker->second] == State::kOpen) FailCycle(maker->second);
      Open(maker->second);
    }
  }

  [[noreturn]] void FailCycle(size_t back) const {
    std::vector<std::string> names;
    for (const Frame& frame : stack_) {
      if (!names.empty() || frame.node == back) names.push_back(Describe(frame.node));
    }
    throw Error(ErrorCode::kInvalidInput,
                names.size() == 1 ? names[0] + " takes what it makes itself"
                                  : "these nodes wait for each other: " + Join(names, ", "));
  }

  const Nodes& nodes_;
  std::vector<State> states_;
  std::map<std::string, size_t> makers_;
  std::vector<Frame> stack_;
  std::vector<size_t> order_;
};

}  // namespace

template <typename Nodes>
std::vector<size_t> OrderOf(const Nodes& nodes) {
  return Sorter<Nodes>(nodes).Sort();
}

template std::vector<size_t> OrderOf(const google::protobuf::RepeatedPtrField<NodeProto>& nodes);

}  // namespace ingot::onnx
