// Control flow: If, Loop, Scan, SequenceMap.
//
// A subgraph is a graph of its own and sees nothing of the graph around it. What ONNX lets it name
// from there are the node's last inputs, `captures` of them, and the last inputs of each subgraph,
// in the same order. The other inputs are ONNX's.
#include <algorithm>
#include <string>

#include "ingot/base/error.h"
#include "ingot/ops/definition.h"
#include "ingot/ops/pieces.h"
#include "ingot/ops/shape_rule.h"

namespace ingot::ops {
namespace {

using ir::AttributeKind;
using ir::InferContext;
using ir::Type;
using ir::ValueCall;
using Values = std::vector<Datum>;

ir::OpDefinition WithSubgraphs(std::string name, int since, std::string summary,
                               std::vector<std::string> subgraphs) {
  ir::OpDefinition op;
  op.name = std::move(name);
  op.since_version = since;
  op.summary = std::move(summary);
  for (std::string& subgraph : subgraphs) {
    op.attributes.push_back(RequiredAttribute(std::move(subgraph), AttributeKind::kGraph));
  }
  op.attributes.push_back(IntAttribute("captures", 0));
  return op;
}

// The attribute `captures`, checked against the number of inputs.
size_t Captures(const ir::Node& node, size_t others) {
  const int64_t captures = node.GetInt("captures");
  if (captures >= 0 &&
      captures + static_cast<int64_t>(others) <= static_cast<int64_t>(node.inputs().size())) {
    return static_cast<size_t>(captures);
  }
  throw Error(ErrorCode::kInvalidInput, "attribute 'captures' is " + std::to_string(captures) +
                                            ", but the node has " +
                                            std::to_string(node.inputs().size()) + " inputs");
}

// Throws where the subgraph takes or gives another number of values than the node hands it.
void CheckSubgraph(const ir::Node& node, const std::string& attribute, size_t inputs,
                   size_t outputs) {
  const ir::Graph& graph = *node.GetGraph(attribute);
  const auto check = [&](const char* what, size_t seen, size_t expected) {
    if (seen == expected) return;
    throw Error(ErrorCode::kInvalidInput, "subgraph '" + attribute + "' has " +
                                              std::to_string(seen) + " " + what + ", expected " +
                                              std::to_string(expected));
  };
  check("inputs", graph.inputs().size(), inputs);
  check("outputs", graph.outputs().size(), outputs);
}

Type OutputType(const ir::Node& node, const std::string& attribute, size_t i) {
  const Type& type = node.GetGraph(attribute)->outputs().at(i)->type();
  if (type.kind() != Type::Kind::kUnknown) return type;
  throw Error(ErrorCode::kInvalidInput,
              "output " + std::to_string(i) + " of subgraph '" + attribute + "' has no type");
}

bool IsTrue(const Datum& value) {
  const Tensor& tensor = value.tensor();
  if (tensor.dtype() != DType::kBool || tensor.size() != 1) {
    throw Error(ErrorCode::kInvalidInput, "a condition is " +
                                              (tensor.empty() ? "no tensor" : tensor.Describe()) +
                                              ", expected one bool");
  }
  return tensor.data<bool>()[0];
}

void Append(Values& values, std::span<const Datum> more) {
  values.insert(values.end(), more.begin(), more.end());
}

// ---- If ----

void InferIf(InferContext& context) {
  const ir::Node& node = context.node();
  const size_t captures = Captures(node, 1);
  if (captures + 1 != node.inputs().size()) {
    throw Error(ErrorCode::kInvalidInput, "all inputs but the condition must be captures");
  }
  for (const char* branch : {"then_branch", "else_branch"}) {
    CheckSubgraph(node, branch, captures, node.outputs().size());
  }
  for (size_t i = 0; i < node.outputs().size(); ++i) {
    context.SetOutput(
        i, CommonType(OutputType(node, "then_branch", i), OutputType(node, "else_branch", i)));
  }
}

void RegisterIf(ir::OpRegistry& registry) {
  ir::OpDefinition op = WithSubgraphs("If", 25, "One of two subgraphs, as the condition says.",
                                      {"then_branch", "else_branch"});
  op.inputs = {Required("cond", "B"), Variadic("captured", "")};
  op.outputs = {Variadic("outputs", "")};
  op.infer = InferIf;
  op.value_reference = [](const ValueCall& call) {
    const char* branch = IsTrue(call.inputs[0]) ? "then_branch" : "else_branch";
    return call.run(*call.node.GetGraph(branch), call.inputs.subspan(1));
  };
  registry.Add(std::move(op));
}

// ---- Loop ----

// Values carried from turn to turn.
size_t Carried(const ir::Node& node) {
  return node.inputs().size() - 2 - Captures(node, 2);
}

void InferLoop(InferContext& context) {
  const ir::Node& node = context.node();
  const size_t carried = Carried(node);
  if (node.outputs().size() < carried) {
    throw Error(ErrorCode::kInvalidInput, "it carries " + std::to_string(carried) +
                                              " values, but has " +
                                              std::to_string(node.outputs().size()) + " outputs");
  }
  CheckSubgraph(node, "body", node.inputs().size(), node.outputs().size() + 1);
  for (size_t i = 0; i < node.outputs().size(); ++i) {
    const Type type = OutputType(node, "body", i + 1);
    if (i < carried) {
      context.SetOutput(i, CommonType(context.input(i + 2), type));
    } else if (!type.has_rank()) {
      context.SetOutput(i, Type::TensorOfUnknownRank(type.dtype()));
    } else {
      ir::Dimensions dims = {ir::Dimension()};
      dims.insert(dims.end(), type.dims().begin(), type.dims().end());
      context.SetOutput(i, Type::Tensor(type.dtype(), std::move(dims)));
    }
  }
}

// What the turns gave, stacked; with none, of extent 0 along `axis` and wherever nothing is known.
Tensor StackTurns(const std::vector<Tensor>& turns, const Type& type, int64_t axis) {
  if (!turns.empty()) return Stacked(turns, axis);
  std::vector<int64_t> dims;
  if (type.has_rank()) {
    for (const ir::Dimension& dim : type.dims()) dims.push_back(dim.is_static() ? dim.value() : 0);
  }
  dims.insert(dims.begin() + NormalizeAxis(axis, static_cast<int>(dims.size()) + 1), 0);
  return Tensor(type.dtype(), Shape(dims));
}

Values RunLoop(const ValueCall& call) {
  const ir::Node& node = call.node;
  const size_t carried = Carried(node);
  const bool bounded = call.has_input(0);
  const int64_t turns = bounded ? ReadInts(call.inputs[0].tensor().view()).at(0) : 0;
  bool go_on = !call.has_input(1) || IsTrue(call.inputs[1]);
  Values state(call.inputs.begin() + 2, call.inputs.begin() + 2 + static_cast<int64_t>(carried));
  const std::span<const Datum> captured = call.inputs.subspan(2 + carried);
  std::vector<std::vector<Tensor>> scans(node.outputs().size() - carried);
  for (int64_t turn = 0; go_on && (!bounded || turn < turns); ++turn) {
    Values inputs = {Tensor::Scalar<int64_t>(turn), Tensor::Scalar<bool>(true)};
    Append(inputs, state);
    Append(inputs, captured);
    const Values outputs = call.run(*call.node.GetGraph("body"), inputs);
    go_on = IsTrue(outputs.at(0));
    for (size_t i = 0; i < carried; ++i) state[i] = outputs.at(i + 1);
    for (size_t i = 0; i < scans.size(); ++i) {
      scans[i].push_back(outputs.at(i + 1 + carried).tensor());
    }
  }
  for (size_t i = 0; i < scans.size(); ++i) {
    state.emplace_back(StackTurns(scans[i], OutputType(node, "body", i + 1 + carried), 0));
  }
  return state;
}

void RegisterLoop(ir::OpRegistry& registry) {
  ir::OpDefinition op =
      WithSubgraphs("Loop", 25,
                    "The body, again and again: at most M times and while its condition holds; its "
                    "first outputs go into the next turn, the others are stacked.",
                    {"body"});
  op.inputs = {Optional("M", "I"), Optional("cond", "B"), Variadic("v_initial", "")};
  op.outputs = {Variadic("v_final_and_scan_outputs", "")};
  op.infer = InferLoop;
  op.value_reference = RunLoop;
  registry.Add(std::move(op));
}

// ---- Scan ----

// How many inputs are state, scanned and captured; axes and directions of what is scanned.
struct ScanShape {
  explicit ScanShape(const ir::Node& node)
      : captures(Captures(node, 0)), total(node.inputs().size() - captures) {
    const int64_t count = node.GetInt("num_scan_inputs");
    if (count < 0 || count > static_cast<int64_t>(total)) {
      throw Error(ErrorCode::kInvalidInput, "attribute 'num_scan_inputs' is " +
                                                std::to_string(count) + ", but the node has " +
                                                std::to_string(total) + " inputs");
    }
    scanned = static_cast<size_t>(count);
    state = total - scanned;
    if (node.outputs().size() < state) {
      throw Error(ErrorCode::kInvalidInput, "it has more states than outputs");
    }
    outputs = node.outputs().size() - state;
  }

  static int64_t At(const ir::Node& node, const char* attribute, size_t i) {
    const std::vector<int64_t>* values = node.FindInts(attribute);
    return values == nullptr ? 0 : values->at(i);
  }

  size_t captures, total, scanned = 0, state = 0, outputs = 0;
};

void InferScan(InferContext& context) {
  const ir::Node& node = context.node();
  const ScanShape shape(node);
  CheckSubgraph(node, "body", node.inputs().size(), node.outputs().size());
  for (size_t i = 0; i < node.outputs().size(); ++i) {
    const Type type = OutputType(node, "body", i);
    if (i < shape.state) {
      context.SetOutput(i, CommonType(context.input(i), type));
    } else if (!type.has_rank()) {
      context.SetOutput(i, Type::TensorOfUnknownRank(type.dtype()));
    } else {
      context.SetOutput(i, Type::Tensor(type.dtype(), UnknownDimensions(type.rank() + 1)));
    }
  }
}

Values RunScan(const ValueCall& call) {
  const ir::Node& node = call.node;
  const ScanShape shape(node);
  Values state(call.inputs.begin(), call.inputs.begin() + static_cast<int64_t>(shape.state));
  std::vector<int> axes;
  int64_t turns = -1;
  for (size_t i = 0; i < shape.scanned; ++i) {
    const Tensor& x = call.inputs[shape.state + i].tensor();
    axes.push_back(NormalizeAxis(ScanShape::At(node, "scan_input_axes", i), x.shape().rank()));
    const int64_t extent = x.shape()[axes.back()];
    if (turns >= 0 && extent != turns) {
      throw Error(ErrorCode::kInvalidInput, "scanned inputs have " + std::to_string(turns) +
                                                " and " + std::to_string(extent) + " turns");
    }
    turns = extent;
  }
  std::vector<std::vector<Tensor>> scans(shape.outputs);
  for (int64_t turn = 0; turn < turns; ++turn) {
    Values inputs = state;
    for (size_t i = 0; i < shape.scanned; ++i) {
      const bool backwards = ScanShape::At(node, "scan_input_directions", i) != 0;
      inputs.emplace_back(SliceOf(call.inputs[shape.state + i].tensor(), axes[i],
                                  backwards ? turns - 1 - turn : turn));
    }
    Append(inputs, call.inputs.subspan(shape.total));
    const Values outputs = call.run(*call.node.GetGraph("body"), inputs);
    for (size_t i = 0; i < shape.state; ++i) state[i] = outputs.at(i);
    for (size_t i = 0; i < shape.outputs; ++i) {
      scans[i].push_back(outputs.at(shape.state + i).tensor());
    }
  }
  for (size_t i = 0; i < shape.outputs; ++i) {
    const bool backwards = ScanShape::At(node, "scan_output_directions", i) != 0;
    if (backwards) std::reverse(scans[i].begin(), scans[i].end());
    state.emplace_back(StackTurns(scans[i], OutputType(node, "body", shape.state + i),
                                  ScanShape::At(node, "scan_output_axes", i)));
  }
  return state;
}

void RegisterScan(ir::OpRegistry& registry) {
  ir::OpDefinition op = WithSubgraphs(
      "Scan", 25, "The body for each slice of the scanned inputs, with states between.", {"body"});
  op.inputs = {Variadic("initial_state_and_scan_inputs", "")};
  op.outputs = {Variadic("final_state_and_scan_outputs", "")};
  op.attributes.push_back(RequiredAttribute("num_scan_inputs", AttributeKind::kInt));
  for (const char* name :
       {"scan_input_axes", "scan_output_axes", "scan_input_directions", "scan_output_directions"}) {
    op.attributes.push_back(OptionalAttribute(name, AttributeKind::kInts));
  }
  op.infer = InferScan;
  op.value_reference = RunScan;
  registry.Add(std::move(op));
}

// ---- SequenceMap ----

Values RunSequenceMap(const ValueCall& call) {
  const size_t mapped = call.inputs.size() - Captures(call.node, 1);
  if (!call.inputs[0].is_sequence()) {
    throw Error(ErrorCode::kInvalidInput, "input 0 is no sequence");
  }
  const size_t length = call.inputs[0].elements().size();
  std::vector<Values> results(call.node.outputs().size());
  for (size_t n = 0; n < length; ++n) {
    Values inputs;
    for (size_t i = 0; i < mapped; ++i) {
      const Datum& input = call.inputs[i];
      inputs.push_back(input.is_sequence() ? input.elements().at(n) : input);
    }
    Append(inputs, call.inputs.subspan(mapped));
    const Values outputs = call.run(*call.node.GetGraph("body"), inputs);
    for (size_t i = 0; i < results.size(); ++i) results[i].push_back(outputs.at(i));
  }
  Values sequences;
  for (Values& elements : results) sequences.push_back(Datum::Sequence(std::move(elements)));
  return sequences;
}

void RegisterSequenceMap(ir::OpRegistry& registry) {
  ir::OpDefinition op =
      WithSubgraphs("SequenceMap", 17, "The body for each element of a sequence.", {"body"});
  op.inputs = {Required("input_sequence", "S"), Variadic("additional_inputs", "")};
  op.outputs = {Variadic("out_sequence", "")};
  op.infer = [](InferContext& context) {
    const ir::Node& node = context.node();
    CheckSubgraph(node, "body", node.inputs().size(), node.outputs().size());
    for (size_t i = 0; i < node.outputs().size(); ++i) {
      const Type type = OutputType(node, "body", i);
      context.SetOutput(i, Type::Sequence(Type::TensorOfUnknownRank(type.dtype())));
    }
  };
  op.value_reference = RunSequenceMap;
  registry.Add(std::move(op));
}

}  // namespace

void RegisterControlFlow(ir::OpRegistry& registry) {
  RegisterIf(registry);
  RegisterLoop(registry);
  RegisterScan(registry);
  RegisterSequenceMap(registry);
}

}  // namespace ingot::ops
