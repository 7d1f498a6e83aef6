// Sequences of tensors, and optionals.
#include <string>

#include "ingot/base/error.h"
#include "ingot/ops/definition.h"
#include "ingot/ops/pieces.h"
#include "ingot/ops/shape_rule.h"

namespace ingot::ops {
namespace {

using ir::InferContext;
using ir::Type;
using ir::ValueCall;
using Kind = ir::Type::Kind;
using Values = std::vector<Datum>;

ir::OpDefinition ValueOp(std::string name, int since, std::string summary,
                         std::vector<ir::Port> inputs, std::string output) {
  ir::OpDefinition op;
  op.name = std::move(name);
  op.since_version = since;
  op.summary = std::move(summary);
  op.inputs = std::move(inputs);
  op.outputs = {Required(std::move(output), "")};
  return op;
}

// The element type of the sequence that input i is.
Type ElementType(const InferContext& context, size_t i) {
  const Type& type = context.input(i);
  if (type.kind() == Kind::kSequence) return type.element();
  throw Error(ErrorCode::kInvalidInput,
              "input " + std::to_string(i) + " is " + type.ToString() + ", expected a sequence");
}

const Values& Elements(const ValueCall& call, size_t i) {
  if (call.inputs[i].is_sequence()) return call.inputs[i].elements();
  throw Error(ErrorCode::kInvalidInput, "input " + std::to_string(i) + " is no sequence");
}

// A tensor type of which only what all elements of a sequence share is kept.
Type Loose(const Type& type) {
  return Type::TensorOfUnknownRank(type.dtype());
}

// A place of a sequence of this length, below `places`; negative ones count from the end.
size_t Place(const Tensor& position, size_t length, size_t places) {
  const int64_t given = ReadInts(position.view()).at(0);
  const auto count = static_cast<int64_t>(places);
  const int64_t place = given < 0 ? given + static_cast<int64_t>(length) : given;
  if (place >= 0 && place < count) return static_cast<size_t>(place);
  throw Error(ErrorCode::kInvalidInput, "position " + std::to_string(given) +
                                            " is outside of a sequence with " +
                                            std::to_string(count) + " places");
}

// ---- making and changing sequences ----

void RegisterConstruction(ir::OpRegistry& registry) {
  ir::OpDefinition empty =
      ValueOp("SequenceEmpty", 11, "A sequence without elements.", {}, "output");
  empty.attributes = {IntAttribute("dtype", static_cast<int64_t>(DType::kF32))};
  empty.infer = [](InferContext& context) {
    const auto dtype = static_cast<DType>(context.node().GetInt("dtype"));
    context.SetOutput(0, Type::Sequence(Type::TensorOfUnknownRank(dtype)));
  };
  empty.value_reference = [](const ValueCall&) { return Values{Datum::Sequence({})}; };
  registry.Add(std::move(empty));

  ir::OpDefinition construct = ValueOp("SequenceConstruct", 11, "A sequence of the inputs.",
                                       {Variadic("inputs")}, "output_sequence");
  construct.infer = [](InferContext& context) {
    Type element = context.input(0);
    for (size_t i = 1; i < context.node().inputs().size(); ++i) {
      element = CommonType(element, context.input(i));
    }
    context.SetOutput(0, Type::Sequence(element));
  };
  construct.value_reference = [](const ValueCall& call) {
    return Values{Datum::Sequence({call.inputs.begin(), call.inputs.end()})};
  };
  registry.Add(std::move(construct));

  ir::OpDefinition insert =
      ValueOp("SequenceInsert", 11, "A sequence with a tensor more, at a place or at the end.",
              {Required("input_sequence", "S"), Required("tensor"), Optional("position", "I")},
              "output_sequence");
  insert.infer = [](InferContext& context) {
    context.SetOutput(0,
                      Type::Sequence(CommonType(Loose(ElementType(context, 0)), context.input(1))));
  };
  insert.value_reference = [](const ValueCall& call) {
    Values elements = Elements(call, 0);
    const size_t place = call.has_input(2)
                             ? Place(call.inputs[2].tensor(), elements.size(), elements.size() + 1)
                             : elements.size();
    elements.insert(elements.begin() + static_cast<int64_t>(place), call.inputs[1]);
    return Values{Datum::Sequence(std::move(elements))};
  };
  registry.Add(std::move(insert));

  ir::OpDefinition erase =
      ValueOp("SequenceErase", 11, "A sequence without the tensor at a place, or the last one.",
              {Required("input_sequence", "S"), Optional("position", "I")}, "output_sequence");
  erase.infer = [](InferContext& context) {
    context.SetOutput(0, Type::Sequence(ElementType(context, 0)));
  };
  erase.value_reference = [](const ValueCall& call) {
    Values elements = Elements(call, 0);
    const Tensor last = Tensor::Scalar<int64_t>(-1);
    const size_t place =
        Place(call.has_input(1) ? call.inputs[1].tensor() : last, elements.size(), elements.size());
    elements.erase(elements.begin() + static_cast<int64_t>(place));
    return Values{Datum::Sequence(std::move(elements))};
  };
  registry.Add(std::move(erase));
}

// ---- reading sequences ----

void RegisterReading(ir::OpRegistry& registry) {
  ir::OpDefinition at =
      ValueOp("SequenceAt", 11, "The tensor at a place of a sequence.",
              {Required("input_sequence", "S"), Required("position", "I")}, "tensor");
  at.infer = [](InferContext& context) { context.SetOutput(0, ElementType(context, 0)); };
  at.value_reference = [](const ValueCall& call) {
    const Values& elements = Elements(call, 0);
    return Values{elements[Place(call.inputs[1].tensor(), elements.size(), elements.size())]};
  };
  registry.Add(std::move(at));

  ir::OpDefinition length = ValueOp("SequenceLength", 11, "The number of elements, as i64.",
                                    {Required("input_sequence", "S")}, "length");
  length.infer = [](InferContext& context) {
    ElementType(context, 0);
    context.SetOutput(0, Type::Tensor(DType::kI64, Shape{}));
  };
  length.value_reference = [](const ValueCall& call) {
    return Values{Tensor::Scalar(static_cast<int64_t>(Elements(call, 0).size()))};
  };
  registry.Add(std::move(length));

  ir::OpDefinition concat =
      ValueOp("ConcatFromSequence", 11, "The elements joined along an axis, or along a new one.",
              {Required("input_sequence", "S")}, "concat_result");
  concat.attributes = {RequiredAttribute("axis", ir::AttributeKind::kInt),
                       IntAttribute("new_axis", 0)};
  concat.infer = [](InferContext& context) {
    context.SetOutput(0, Loose(ElementType(context, 0)));
  };
  concat.value_reference = [](const ValueCall& call) {
    std::vector<Tensor> parts;
    for (const Datum& element : Elements(call, 0)) parts.push_back(element.tensor());
    const int64_t axis = call.node.GetInt("axis");
    return Values{call.node.GetInt("new_axis") != 0 ? Stacked(parts, axis)
                                                    : Concatenated(parts, axis)};
  };
  registry.Add(std::move(concat));
}

// ---- SplitToSequence ----

Values SplitToSequence(const ValueCall& call) {
  const Tensor& x = call.inputs[0].tensor();
  const int axis = NormalizeAxis(call.node.GetInt("axis"), x.shape().rank());
  const int64_t extent = x.shape()[axis];
  Values parts;
  if (!call.has_input(1) && call.node.GetInt("keepdims") == 0) {
    for (int64_t i = 0; i < extent; ++i) parts.emplace_back(SliceOf(x, axis, i));
    return {Datum::Sequence(std::move(parts))};
  }
  std::vector<int64_t> sizes;
  if (!call.has_input(1) || call.inputs[1].tensor().shape().rank() == 0) {
    const int64_t each = call.has_input(1) ? ReadInts(call.inputs[1].tensor().view()).at(0) : 1;
    if (each < 1) {
      throw Error(ErrorCode::kInvalidInput, "parts cannot have extent " + std::to_string(each));
    }
    for (int64_t at = 0; at < extent; at += each) sizes.push_back(std::min(each, extent - at));
  } else {
    sizes = ReadInts(call.inputs[1].tensor().view());
  }
  int64_t at = 0;
  for (const int64_t size : sizes) {
    if (size < 0 || size > extent - at) {
      throw Error(ErrorCode::kInvalidInput, "an axis of extent " + std::to_string(extent) +
                                                " has no parts " + Shape(sizes).ToString());
    }
    parts.emplace_back(PartOf(x, axis, at, size));
    at += size;
  }
  return {Datum::Sequence(std::move(parts))};
}

void RegisterSplitToSequence(ir::OpRegistry& registry) {
  ir::OpDefinition op = ValueOp("SplitToSequence", 24, "Parts along an axis, as a sequence.",
                                {Required("input"), Optional("split", "I")}, "output_sequence");
  op.attributes = {IntAttribute("axis", 0), IntAttribute("keepdims", 1)};
  op.infer = [](InferContext& context) {
    context.SetOutput(0, Type::Sequence(Loose(context.input(0))));
  };
  op.value_reference = SplitToSequence;
  registry.Add(std::move(op));
}

// ---- optionals ----

void RegisterOptionals(ir::OpRegistry& registry) {
  ir::OpDefinition optional =
      ValueOp("Optional", 28, "An optional that holds the input, or nothing of the type `type`.",
              {Optional("input", "V")}, "output");
  optional.attributes = {OptionalAttribute("type", ir::AttributeKind::kType)};
  optional.infer = [](InferContext& context) {
    if (context.HasInput(0)) {
      context.SetOutput(0, Type::Optional(context.input(0)));
      return;
    }
    const auto found = context.node().attributes().find("type");
    if (found == context.node().attributes().end()) {
      throw Error(ErrorCode::kInvalidInput, "without an input the attribute 'type' is needed");
    }
    context.SetOutput(0, Type::Optional(std::get<Type>(found->second)));
  };
  optional.value_reference = [](const ValueCall& call) {
    return Values{call.has_input(0) ? call.inputs[0] : Datum()};
  };
  registry.Add(std::move(optional));

  ir::OpDefinition has = ValueOp("OptionalHasElement", 28, "Whether an optional holds something.",
                                 {Optional("input", "V")}, "output");
  has.infer = [](InferContext& context) {
    context.SetOutput(0, Type::Tensor(DType::kBool, Shape{}));
  };
  has.value_reference = [](const ValueCall& call) {
    return Values{Tensor::Scalar<bool>(call.has_input(0))};
  };
  registry.Add(std::move(has));

  ir::OpDefinition get = ValueOp("OptionalGetElement", 28, "What an optional holds.",
                                 {Required("input", "V")}, "output");
  get.infer = [](InferContext& context) {
    const Type& type = context.input(0);
    context.SetOutput(0, type.kind() == Kind::kOptional ? type.element() : type);
  };
  get.value_reference = [](const ValueCall& call) {
    if (!call.has_input(0)) {
      throw Error(ErrorCode::kInvalidInput, "the optional holds nothing");
    }
    return Values{call.inputs[0]};
  };
  registry.Add(std::move(get));
}

}  // namespace

void RegisterSequences(ir::OpRegistry& registry) {
  RegisterConstruction(registry);
  RegisterReading(registry);
  RegisterSplitToSequence(registry);
  RegisterOptionals(registry);
}

}  // namespace ingot::ops
