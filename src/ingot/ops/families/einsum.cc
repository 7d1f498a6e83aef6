// Einsum and its gradient.
//
// Every letter is an index; the result at its letters is the sum over all others of the product of
// the operands. An ellipsis stands for the axes that no letter names, which broadcast. Sums are in
// double, with indices in the order result letters, then the others by name.
#include <algorithm>
#include <cctype>
#include <map>
#include <string>

#include "ingot/base/error.h"
#include "ingot/ops/elementwise.h"
#include "ingot/ops/shape_rule.h"

namespace ingot::ops {
namespace {

using ir::Attribute;
using ir::Dimension;
using ir::Dimensions;
using ir::GradientContext;
using ir::Type;

// An equation in which each axis of each operand has a label: letters, and negative numbers for the
// axes of an ellipsis, counted from its end.
struct Equation {
  std::vector<std::vector<int>> operands;
  std::vector<int> result;
};

[[noreturn]] void Fail(const std::string& equation, const std::string& reason) {
  throw Error(ErrorCode::kInvalidInput, "equation '" + equation + "': " + reason);
}

// The labels of one term for a tensor of `rank` axes (negative: the ellipsis has `dots` axes).
std::vector<int> LabelsOf(const std::string& equation, const std::string& term, int rank,
                          int dots) {
  std::vector<int> labels;
  const size_t ellipsis = term.find("...");
  const int letters = static_cast<int>(term.size()) - (ellipsis == std::string::npos ? 0 : 3);
  if (rank >= 0) {
    if (ellipsis == std::string::npos ? letters != rank : letters > rank) {
      Fail(equation, "term '" + term + "' does not fit an operand of rank " + std::to_string(rank));
    }
    dots = rank - letters;
  }
  for (size_t i = 0; i < term.size(); ++i) {
    if (i == ellipsis) {
      for (int d = dots; d > 0; --d) labels.push_back(-d);
      i += 2;
    } else if (std::isalpha(static_cast<unsigned char>(term[i])) != 0) {
      labels.push_back(term[i]);
    } else {
      Fail(equation, std::string("'") + term[i] + "' is no letter");
    }
  }
  return labels;
}

Equation Parse(const std::string& text, const std::vector<int>& ranks) {
  std::string compact;
  for (const char c : text) {
    if (c != ' ') compact += c;
  }
  const size_t arrow = compact.find("->");
  const std::string left = compact.substr(0, arrow);
  std::vector<std::string> terms(1);
  for (const char c : left) {
    if (c == ',') {
      terms.emplace_back();
    } else {
      terms.back() += c;
    }
  }
  if (terms.size() != ranks.size()) {
    Fail(text, "it has " + std::to_string(terms.size()) + " terms for " +
                   std::to_string(ranks.size()) + " operands");
  }
  Equation equation;
  std::map<int, int> uses;
  int dots = 0;
  for (size_t i = 0; i < terms.size(); ++i) {
    equation.operands.push_back(LabelsOf(text, terms[i], ranks[i], 0));
    for (const int label : equation.operands.back()) {
      ++uses[label];
      dots = std::max(dots, -label);
    }
  }
  if (arrow != std::string::npos) {
    equation.result = LabelsOf(text, compact.substr(arrow + 2), -1, dots);
    for (const int label : equation.result) {
      if (uses.count(label) == 0) Fail(text, "the result has a letter that no operand has");
    }
  } else {
    // The ellipsis, then letters that occur once, in their order.
    for (int d = dots; d > 0; --d) equation.result.push_back(-d);
    for (const auto& [label, count] : uses) {
      if (label > 0 && count == 1) equation.result.push_back(label);
    }
  }
  return equation;
}

// The extent of each label.
std::map<int, Dimension> Extents(const Equation& equation, const std::vector<Type>& types) {
  std::map<int, Dimension> extents;
  for (size_t i = 0; i < types.size(); ++i) {
    for (size_t axis = 0; axis < equation.operands[i].size(); ++axis) {
      const Dimension& dim = types[i].dims()[axis];
      const auto [entry, is_new] = extents.emplace(equation.operands[i][axis], dim);
      if (is_new) continue;
      // 1 broadcasts.
      if (entry->second.is_static() && entry->second.value() == 1) {
        entry->second = dim;
      } else if (!(dim.is_static() && dim.value() == 1)) {
        entry->second = Merge(entry->second, dim, "extents of one letter");
      }
    }
  }
  return extents;
}

// Operands of a walk over all labels: for each tensor a stride for each label.
struct Walk {
  std::vector<int64_t> dims;
  std::vector<std::vector<int64_t>> strides;  // of each operand, then of the result
  int64_t count = 1;
};

std::vector<int64_t> LabelStrides(const std::vector<int>& labels, std::span<const int64_t> dims,
                                  const std::vector<int>& order) {
  const std::vector<int64_t> own = Strides(dims);
  std::vector<int64_t> strides(order.size(), 0);
  for (size_t axis = 0; axis < labels.size(); ++axis) {
    const auto at = std::find(order.begin(), order.end(), labels[axis]) - order.begin();
    // A label that is there twice walks along the diagonal.
    if (dims[axis] != 1) strides[static_cast<size_t>(at)] += own[axis];
  }
  return strides;
}

Walk WalkOf(const std::string& text, std::span<const TensorView> operands) {
  std::vector<int> ranks;
  std::vector<Type> types;
  for (const TensorView& operand : operands) {
    ranks.push_back(operand.rank());
    types.push_back(Type::Tensor(operand.dtype, Shape(operand.dims)));
  }
  const Equation equation = Parse(text, ranks);
  const std::map<int, Dimension> extents = Extents(equation, types);
  std::vector<int> order = equation.result;
  for (const auto& entry : extents) {
    if (std::find(order.begin(), order.end(), entry.first) == order.end()) {
      order.push_back(entry.first);
    }
  }
  Walk walk;
  std::vector<int64_t> result_dims;
  for (const int label : order) {
    walk.dims.push_back(extents.at(label).value());
    walk.count *= walk.dims.back();
  }
  for (const int label : equation.result) result_dims.push_back(extents.at(label).value());
  for (size_t i = 0; i < operands.size(); ++i) {
    walk.strides.push_back(LabelStrides(equation.operands[i], operands[i].dims, order));
  }
  walk.strides.push_back(LabelStrides(equation.result, result_dims, order));
  return walk;
}

// Calls f(offsets of the operands, offset of the result) for every combination of indices.
template <typename F>
void ForEach(const Walk& walk, const F& f) {
  const size_t tensors = walk.strides.size();
  std::vector<int64_t> position(walk.dims.size(), 0), offset(tensors, 0);
  for (int64_t i = 0; i < walk.count; ++i) {
    f(offset);
    for (size_t axis = walk.dims.size(); axis-- > 0;) {
      const bool wraps = ++position[axis] == walk.dims[axis];
      const int64_t steps = wraps ? 1 - walk.dims[axis] : 1;
      for (size_t t = 0; t < tensors; ++t) offset[t] += steps * walk.strides[t][axis];
      if (!wraps) break;
      position[axis] = 0;
    }
  }
}

template <typename C, typename T>
void Multiply(const Walk& walk, std::span<const TensorView> operands, const TensorView& out) {
  std::vector<C> sums(static_cast<size_t>(out.size()), C(0));
  ForEach(walk, [&](const std::vector<int64_t>& at) {
    C product = 1;
    for (size_t t = 0; t < operands.size(); ++t) {
      product = WrapMul<C>(product, static_cast<C>(operands[t].template as<T>()[at[t]]));
    }
    C& sum = sums[static_cast<size_t>(at.back())];
    sum = WrapAdd<C>(sum, product);
  });
  for (size_t i = 0; i < sums.size(); ++i) out.as<T>()[i] = static_cast<T>(sums[i]);
}

// d(operand k): dY times the other operands, summed where operand k is.
void GradientReference(const ir::ReferenceCall& call) {
  const auto operand = static_cast<size_t>(call.node.GetInt("operand"));
  const std::span<const TensorView> operands = call.inputs.subspan(1);
  const Walk walk = WalkOf(call.node.GetString("equation"), operands);
  DispatchFloat("EinsumGradient", call.output().dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    std::vector<double> sums(static_cast<size_t>(call.output().size()), 0);
    ForEach(walk, [&](const std::vector<int64_t>& at) {
      double product = call.input(0).as<T>()[at.back()];
      for (size_t t = 0; t < operands.size(); ++t) {
        if (t != operand) product *= static_cast<double>(operands[t].template as<T>()[at[t]]);
      }
      sums[static_cast<size_t>(at[operand])] += product;
    });
    for (size_t i = 0; i < sums.size(); ++i) call.output().as<T>()[i] = static_cast<T>(sums[i]);
  });
}

void InferEinsum(ir::InferContext& context) {
  std::vector<int> ranks;
  std::vector<Type> types;
  for (size_t i = 0; i < context.node().inputs().size(); ++i) {
    RequireType(context, i, Types::kNumeric);
    const Type& type = context.input(i);
    if (!type.has_rank()) {
      context.SetOutput(0, Type::TensorOfUnknownRank(type.dtype()));
      return;
    }
    ranks.push_back(type.rank());
    types.push_back(type);
  }
  const Equation equation = Parse(context.node().GetString("equation"), ranks);
  const std::map<int, Dimension> extents = Extents(equation, types);
  Dimensions dims;
  for (const int label : equation.result) dims.push_back(extents.at(label));
  context.SetOutput(0, Type::Tensor(types[0].dtype(), std::move(dims)));
}

OpCase Case(const char* name, const char* equation, std::vector<OpCase::Input> inputs,
            std::vector<double> expected = {}) {
  OpCase test;
  test.name = name;
  test.inputs = std::move(inputs);
  test.attributes = {{"equation", Attribute(std::string(equation))}};
  if (!expected.empty()) test.expected = {std::move(expected)};
  return test;
}

void RegisterEinsumOp(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "Einsum";
  op.since_version = 28;
  op.summary = "Sums of products over named axes.";
  op.inputs = {Variadic("Inputs")};
  op.outputs = {Required("Output")};
  op.attributes = {RequiredAttribute("equation", ir::AttributeKind::kString)};
  op.infer = InferEinsum;
  op.reference = [](const ir::ReferenceCall& call) {
    const Walk walk = WalkOf(call.node.GetString("equation"), call.inputs);
    DispatchNumeric("Einsum", call.output().dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      Multiply<Compute<T>, T>(walk, call.inputs, call.output());
    });
  };
  op.gradient = [](GradientContext& context) {
    for (size_t i = 0; i < context.node().inputs().size(); ++i) {
      if (!context.wants(i)) continue;
      std::vector<ir::Value*> inputs = {context.output_gradient()};
      for (ir::Value* operand : context.node().inputs()) inputs.push_back(operand);
      context.SetInputGradient(
          i, context.builder().Op("ingot.EinsumGradient", std::move(inputs),
                                  {{"equation", Attribute(context.node().GetString("equation"))},
                                   {"operand", Attribute(static_cast<int64_t>(i))}}));
    }
  };
  const OpCase::Input a = Floats({2, 2}, {1, 2, 3, 4});
  const OpCase::Input b = Floats({2, 3}, {1, 0, 2, 0, 1, 1});
  op.cases = {Case("transpose", "ij->ji", {a}, {1, 3, 2, 4}),
              Case("sum", "ij->i", {a}, {3, 7}),
              Case("all", "ij->", {a}, {10}),
              Case("diagonal", "ii->i", {a}, {1, 4}),
              Case("trace", "ii", {a}, {5}),
              Case("product", "ij, jk", {a, b}, {1, 2, 4, 3, 4, 10}),
              Case("inner", "i,i", {Floats({2}, {1, 2}), Floats({2}, {3, 4})}, {11}),
              Case("outer", "i,j->ji", {Floats({2}, {1, 2}), Floats({2}, {3, 4})}, {3, 6, 4, 8}),
              Case("batched", "...ij,...jk->...ik", {Uniform({2, 2, 3}), Uniform({3, 2})}),
              Case("three", "ab,bc,cd->da", {Uniform({2, 3}), Uniform({3, 2}), Uniform({2, 4})}),
              Case("ellipsis_sum", "...a->...", {Uniform({2, 3, 2})})};
  registry.Add(std::move(op));
}

void RegisterEinsumGradientOp(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "EinsumGradient";
  op.domain = "ingot";
  op.summary = "The gradient of one operand of an Einsum.";
  op.inputs = {Required("dY"), Variadic("operands")};
  op.outputs = {Required("dX")};
  op.attributes = {RequiredAttribute("equation", ir::AttributeKind::kString),
                   RequiredAttribute("operand", ir::AttributeKind::kInt)};
  op.infer = [](ir::InferContext& context) {
    const int64_t operand = context.node().GetInt("operand");
    if (operand < 0 || operand + 1 >= static_cast<int64_t>(context.node().inputs().size())) {
      throw Error(ErrorCode::kInvalidInput, "there is no operand " + std::to_string(operand));
    }
    context.SetOutput(0, context.input(static_cast<size_t>(operand) + 1));
  };
  op.reference = GradientReference;
  OpCase test = ExpectedOnly(
      "product", {Floats({1, 1}, {2}), Floats({1, 2}, {1, 2}), Floats({2, 1}, {3, 4})}, {6, 8},
      {{"equation", Attribute(std::string("ij,jk->ik"))}, {"operand", Attribute(int64_t{0})}});
  op.cases = {std::move(test)};
  registry.Add(std::move(op));
}

}  // namespace

void RegisterEinsum(ir::OpRegistry& registry) {
  RegisterEinsumOp(registry);
  RegisterEinsumGradientOp(registry);
}

}  // namespace ingot::ops
