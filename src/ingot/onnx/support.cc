// Looks for ops that Ingot does not have, in graphs, subgraphs and functions.
#include "ingot/onnx/support.h"

#include <set>
#include <vector>

#include "onnx_proto/onnx_model.pb.h"

#include "ingot/base/error.h"
#include "ingot/base/text.h"
#include "ingot/onnx/node.h"

namespace ingot::onnx {
namespace {

using onnx_proto::FunctionProto;
using onnx_proto::NodeProto;

class Search {
 public:
  Search(const Functions& functions, const ir::OpRegistry& registry)
      : functions_(functions), registry_(registry) {
    for (const VersionChange& change : VersionChanges()) {
      changed_.insert({std::string(change.domain), std::string(change.op)});
    }
  }

  template <typename Nodes>
  void Visit(const Nodes& nodes, const std::string& where) {
    int index = 0;
    for (const NodeProto& node : nodes) VisitNode(node, index++, where);
  }
  // "com.example.Swirl" -> its nodes.
  const std::map<std::string, std::vector<std::string>>& missing() const { return missing_; }

 private:
  void VisitNode(const NodeProto& node, int index, const std::string& where) {
    const auto function = functions_.find(KeyOf(node));
    if (function != functions_.end()) {
      const FunctionProto& body = *function->second;
      if (visited_.insert(&body).second) Visit(body.node(), where + body.name() + "/");
    } else if (!IsKnown(node)) {
      const std::string domain = Domain(node.domain());
      const std::string name =
          node.name().empty() ? "number " + std::to_string(index) : "'" + where + node.name() + "'";
      missing_[domain.empty() ? node.op_type() : domain + "." + node.op_type()].push_back(name);
    }
    for (const auto& attribute : node.attribute()) {
      if (attribute.has_g()) Visit(attribute.g().node(), where + node.name() + "/");
    }
  }

  bool IsKnown(const NodeProto& node) const {
    const std::string domain = Domain(node.domain());
    // Ops of the `ingot` domain are steps of its own, and no part of any file.
    if (domain == "ingot") return false;
    return registry_.Find(node.op_type(), domain) != nullptr ||
           IsControlFlow(node.op_type(), domain) || IsGradient(node.op_type(), domain) ||
           changed_.count({domain, node.op_type()}) > 0;
  }

  const Functions& functions_;
  const ir::OpRegistry& registry_;
  std::set<std::pair<std::string, std::string>> changed_;
  std::set<const FunctionProto*> visited_;
  std::map<std::string, std::vector<std::string>> missing_;
};

}  // namespace

std::string Domain(const std::string& domain) {
  return domain == "ai.onnx" ? "" : domain;
}

FunctionKey KeyOf(const NodeProto& node) {
  return {Domain(node.domain()), node.op_type(), node.overload()};
}

Functions FunctionsOf(const onnx_proto::ModelProto& model) {
  Functions functions;
  for (const FunctionProto& function : model.functions()) {
    functions[{Domain(function.domain()), function.name(), function.overload()}] = &function;
  }
  return functions;
}

bool IsControlFlow(const std::string& op, const std::string& domain) {
  return domain.empty() && (op == "If" || op == "Loop" || op == "Scan" || op == "SequenceMap");
}

bool IsGradient(const std::string& op, const std::string& domain) {
  return domain == "ai.onnx.preview.training" && op == "Gradient";
}

void CheckSupported(const onnx_proto::ModelProto& model, const Functions& functions,
                    const ir::OpRegistry& registry, const std::string& name) {
  Search search(functions, registry);
  search.Visit(model.graph().node(), "");
  if (search.missing().empty()) return;
  std::string message = name + " has " + std::to_string(search.missing().size()) +
                        (search.missing().size() == 1 ? " op" : " ops") +
                        " that Ingot does not have:";
  for (const auto& [op, nodes] : search.missing()) {
    message += "\n  " + op + (nodes.size() == 1 ? ": node " : ": nodes ") + Join(nodes, ", ");
  }
  throw Error(ErrorCode::kUnsupported, message,
              "a program that links Ingot can add ops with OpRegistry::Add");
}

}  // namespace ingot::onnx
