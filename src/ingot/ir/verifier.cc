// The checks of the verifier.
#include "ingot/ir/verifier.h"

#include <algorithm>
#include <set>
#include <utility>

#include "ingot/base/error.h"
#include "ingot/base/text.h"
#include "ingot/ir/infer.h"

namespace ingot::ir {

namespace {

constexpr size_t kMostProblems = 20;

std::string Reference(const Value* value) {
  std::string text = "%" + std::to_string(value->id());
  if (!value->name().empty()) text += " '" + value->name() + "'";
  return text;
}

// Whether two descriptions may be of one type: nothing that both know differs.
bool Agree(const Type& a, const Type& b) {
  if (a.kind() == Type::Kind::kUnknown || b.kind() == Type::Kind::kUnknown) return true;
  if (a.kind() != b.kind()) return false;
  if (!a.is_tensor()) return Agree(a.element(), b.element());
  if (a.dtype() != b.dtype()) return false;
  if (!a.has_rank() || !b.has_rank()) return true;
  if (a.rank() != b.rank()) return false;
  for (int i = 0; i < a.rank(); ++i) {
    const Dimension& x = a.dim(i);
    const Dimension& y = b.dim(i);
    if (x.is_static() && y.is_static() && x != y) return false;
    if (x.is_symbolic() && y.is_symbolic() && x != y) return false;
  }
  return true;
}

class Checker {
 public:
  Checker(const Graph& graph, std::string where, std::vector<std::string>& problems)
      : graph_(graph), where_(std::move(where)), problems_(problems) {}

  void Check() {
    for (const Value* input : graph_.inputs()) CheckInput(input);
    for (const Node* node : graph_.nodes()) CheckNode(*node);
    CheckOutputs();
    CheckUses();
    CheckAliases();
  }

 private:
  void Problem(const std::string& text) { problems_.push_back(where_ + text); }

  void Define(const Value* value, const std::string& what) {
    if (value->graph() != &graph_) Problem(what + " belongs to another graph");
    if (!ids_.insert(value->id()).second) {
      Problem(what + " has the id of another value, " + std::to_string(value->id()));
    }
    defined_.insert(value);
    order_.push_back(value);
  }

  void CheckInput(const Value* input) {
    const std::string what = "input " + Reference(input);
    if (input->producer() != nullptr) Problem(what + " has a producer");
    if (!input_names_.insert(input->name()).second) {
      Problem("two inputs are named '" + input->name() + "'");
    }
    Define(input, what);
  }

  void CheckNode(const Node& node) {
    const std::string what = node.Describe();
    if (node.graph() != &graph_) Problem(what + " belongs to another graph");
    bool usable = true;
    for (size_t i = 0; i < node.inputs().size(); ++i) {
      const Value* value = node.input(i);
      if (value == nullptr) continue;
      uses_.emplace(value, std::make_pair(&node, static_cast<int>(i)));
      if (defined_.count(value) > 0) continue;
      usable = false;
      Problem(what + ": input " + std::to_string(i) + " is not produced before it is used");
    }
    for (size_t i = 0; i < node.outputs().size(); ++i) {
      const Value* value = node.output(i);
      if (value->producer() != &node || value->output_index() != static_cast<int>(i)) {
        Problem(what + ": output " + std::to_string(i) + " names another producer");
      }
      Define(value, what + ": output " + std::to_string(i));
    }
    if (usable) CheckTypes(node);
    for (const auto& entry : node.attributes()) {
      const auto* body = std::get_if<std::shared_ptr<Graph>>(&entry.second);
      if (body == nullptr || *body == nullptr) continue;
      Checker(**body, where_ + what + ", " + entry.first + ": ", problems_).Check();
    }
  }

  void CheckTypes(const Node& node) {
    try {
      CheckSchema(node);
      const std::vector<Type> types = InferTypes(node);
      for (size_t i = 0; i < types.size(); ++i) {
        const Type& recorded = node.output(i)->type();
        if (recorded.kind() == Type::Kind::kUnknown) {
          Problem(node.Describe() + ": output " + std::to_string(i) + " has no type");
        } else if (!Agree(recorded, types[i])) {
          Problem(node.Describe() + ": output " + std::to_string(i) + " is recorded as " +
                  recorded.ToString() + ", but its shape rule gives " + types[i].ToString());
        }
      }
    } catch (const Error& error) {
      Problem(node.Describe() + ": " + error.message());
    }
  }

  void CheckOutputs() {
    std::set<std::string> names;
    for (size_t i = 0; i < graph_.outputs().size(); ++i) {
      const std::string& name = graph_.output_names()[i];
      if (!names.insert(name).second) Problem("two outputs are named '" + name + "'");
      outputs_.insert(graph_.outputs()[i]);
      if (defined_.count(graph_.outputs()[i]) == 0) {
        Problem("output '" + name + "' is not a value of the graph");
      }
    }
  }

  void CheckUses() {
    for (const Value* value : order_) {
      std::multiset<Use> recorded;
      for (const Value::Use& use : value->uses()) recorded.emplace(use.node, use.input);
      std::multiset<Use> seen;
      const auto [begin, end] = uses_.equal_range(value);
      for (auto it = begin; it != end; ++it) seen.insert(it->second);
      if (recorded != seen) {
        Problem("value " + Reference(value) + " records " + std::to_string(recorded.size()) +
                " uses by nodes, but others are there (" + std::to_string(seen.size()) + ")");
      }
      if (value->is_graph_output() != (outputs_.count(value) > 0)) {
        Problem("value " + Reference(value) + " records wrongly whether it is an output");
      }
    }
  }

  void CheckAliases() {
    std::set<const Value*> replaced;
    for (const auto& alias : graph_.aliases()) {
      if (alias.first >= graph_.outputs().size()) {
        Problem("output " + std::to_string(alias.first) + " has an alias, but does not exist");
        continue;
      }
      const std::string what = "output '" + graph_.output_names()[alias.first] + "'";
      const Value* input = alias.second;
      const auto& inputs = graph_.inputs();
      if (std::find(inputs.begin(), inputs.end(), input) == inputs.end()) {
        Problem(what + " replaces a value that is not an input");
        continue;
      }
      if (!replaced.insert(input).second) {
        Problem("input '" + input->name() + "' is replaced by two outputs");
      }
      const Type& type = graph_.outputs()[alias.first]->type();
      if (!(type == input->type())) {
        Problem(what + " " + type.ToString() + " replaces input '" + input->name() + "' " +
                input->type().ToString() + "; their types must be equal");
      }
    }
  }

  using Use = std::pair<const Node*, int>;
  const Graph& graph_;
  std::string where_;
  std::vector<std::string>& problems_;
  std::set<const Value*> defined_;
  std::set<const Value*> outputs_;
  std::set<int> ids_;
  std::set<std::string> input_names_;
  std::vector<const Value*> order_;
  std::multimap<const Value*, Use> uses_;
};

}  // namespace

std::vector<std::string> FindProblems(const Graph& graph) {
  std::vector<std::string> problems;
  Checker(graph, "", problems).Check();
  return problems;
}

void Verify(const Graph& graph) {
  std::vector<std::string> problems = FindProblems(graph);
  if (problems.empty()) return;
  const size_t count = problems.size();
  if (count > kMostProblems) {
    problems.resize(kMostProblems);
    problems.push_back("and " + std::to_string(count - kMostProblems) + " more");
  }
  throw Error(ErrorCode::kInternal,
              "graph '" + graph.name() + "' is broken: " + Join(problems, "; "));
}

}  // namespace ingot::ir
