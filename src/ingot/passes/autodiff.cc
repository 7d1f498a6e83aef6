// Reverse-mode differentiation.
#include "ingot/passes/autodiff.h"

#include <algorithm>
#include <map>
#include <unordered_map>
#include <unordered_set>

#include "ingot/base/error.h"
#include "ingot/ir/builder.h"
#include "ingot/passes/rewrite.h"

namespace ingot::passes {

namespace {

using ir::Node;
using ir::Value;

std::string Named(const Value* value) {
  if (!value->name().empty()) return "'" + value->name() + "'";
  if (value->producer() != nullptr) return "the output of " + value->producer()->Describe();
  return "%" + std::to_string(value->id());
}

void CheckFloat(const Value* value, const std::string& what) {
  if (value->type().is_tensor() && IsFloat(value->type().dtype())) return;
  throw Error(ErrorCode::kInvalidInput, what + " " + Named(value) + " has type " +
                                            value->type().ToString() +
                                            "; gradients need a float tensor");
}

class Differentiator {
 public:
  Differentiator(ir::Graph& graph, const ir::OpRegistry& registry,
                 std::span<Value* const> with_respect_to)
      : nodes_(graph.nodes()), builder_(graph, registry) {
    for (const Value* value : with_respect_to) depends_.insert(value);
    // What depends on the wanted values; only floats carry gradients.
    for (const Node* node : nodes_) {
      const auto depends = [this](const Value* input) { return depends_.count(input) > 0; };
      if (std::none_of(node->inputs().begin(), node->inputs().end(), depends)) continue;
      for (const Value* output : node->outputs()) {
        if (output->type().is_tensor() && IsFloat(output->type().dtype())) depends_.insert(output);
      }
    }
  }

  void Seed(Value* loss, Value* seed) {
    if (seed == nullptr) {
      builder_.set_layer(loss->producer() != nullptr ? loss->producer()->layer() : "");
      seed = builder_.ExpandLike(builder_.ScalarLike(loss, 1), loss);
    }
    terms_[loss].push_back({nodes_.size(), 0, seed});
  }

  void Run() {
    for (size_t i = nodes_.size(); i-- > 0;) Differentiate(*nodes_[i], i);
  }

  Value* GradientOf(Value* value) {
    if (Value* gradient = Total(value)) return gradient;
    builder_.set_layer("");
    return builder_.ExpandLike(builder_.ScalarLike(value, 0), value);
  }

 private:
  // A part of a value's gradient, from the use of the value as `input` of node number `position`.
  struct Term {
    size_t position;
    size_t input;
    Value* gradient;
  };

  // The gradient of a value all of whose users have been dealt with; null where there is none.
  Value* Total(const Value* value) {
    const auto found = terms_.find(value);
    if (found == terms_.end()) return nullptr;
    std::vector<Term>& terms = found->second;
    std::sort(terms.begin(), terms.end(), [](const Term& a, const Term& b) {
      return std::make_pair(a.position, a.input) < std::make_pair(b.position, b.input);
    });
    Value* sum = terms[0].gradient;
    if (terms.size() > 1) {
      builder_.set_layer(value->producer() != nullptr ? value->producer()->layer()
                                                      : nodes_[terms[0].position]->layer());
      for (size_t i = 1; i < terms.size(); ++i) sum = builder_.Add(sum, terms[i].gradient);
    }
    terms = {{0, 0, sum}};
    return sum;
  }

  void Differentiate(const Node& node, size_t position) {
    std::vector<Value*> output_gradients;
    bool reached = false;
    for (const Value* output : node.outputs()) {
      output_gradients.push_back(depends_.count(output) > 0 ? Total(output) : nullptr);
      reached = reached || output_gradients.back() != nullptr;
    }
    if (!reached) return;
    std::vector<bool> wanted;
    for (const Value* input : node.inputs()) wanted.push_back(depends_.count(input) > 0);
    if (std::find(wanted.begin(), wanted.end(), true) == wanted.end()) return;
    if (!node.op().gradient) {
      throw Error(
          ErrorCode::kUnsupported,
          node.Describe() + " is not differentiable: op '" + node.op().FullName() +
              "' has no gradient rule, but it stands between the loss and what is trained",
          "take the op out of the path to the loss, or give its definition a gradient rule");
    }
    builder_.set_layer(node.layer());
    ir::GradientContext context(node, builder_, std::move(output_gradients), wanted);
    try {
      node.op().gradient(context);
    } catch (const Error& error) {
      throw error.In("gradient of " + node.Describe());
    }
    for (size_t i = 0; i < wanted.size(); ++i) {
      Value* gradient = context.input_gradients()[i];
      if (!wanted[i] || gradient == nullptr) continue;
      CheckGradient(node, i, gradient);
      terms_[node.input(i)].push_back({position, i, gradient});
    }
  }

  static void CheckGradient(const Node& node, size_t i, const Value* gradient) {
    const ir::Type& expected = node.input(i)->type();
    if (MayBeEqual(expected, gradient->type())) return;
    throw Error(ErrorCode::kInternal, "the gradient rule of " + node.Describe() + " gives " +
                                          gradient->type().ToString() + " for input " +
                                          std::to_string(i) + ", which is " + expected.ToString());
  }

  const std::vector<Node*> nodes_;  // the forward ones, before any gradient was added
  ir::Builder builder_;
  std::unordered_set<const Value*> depends_;
  std::unordered_map<const Value*, std::vector<Term>> terms_;
};

}  // namespace

std::vector<Value*> Gradients(ir::Graph& graph, const ir::OpRegistry& registry, Value* loss,
                              std::span<Value* const> with_respect_to, Value* seed) {
  CheckFloat(loss, "loss");
  for (const Value* value : with_respect_to) CheckFloat(value, "value");
  if (seed != nullptr && !MayBeEqual(seed->type(), loss->type())) {
    throw Error(ErrorCode::kInvalidInput, "the seed of the gradient has type " +
                                              seed->type().ToString() + ", but the loss " +
                                              Named(loss) + " has " + loss->type().ToString());
  }
  Differentiator differentiator(graph, registry, with_respect_to);
  differentiator.Seed(loss, seed);
  differentiator.Run();
  std::vector<Value*> gradients;
  gradients.reserve(with_respect_to.size());
  for (Value* value : with_respect_to) gradients.push_back(differentiator.GradientOf(value));
  return gradients;
}

}  // namespace ingot::passes
