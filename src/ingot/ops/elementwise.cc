// Types and shape rules of elementwise ops.
#include "ingot/ops/elementwise.h"

#include "ingot/base/error.h"

namespace ingot::ops {
namespace {

// "input 1 (B)".
std::string InputName(const ir::InferContext& context, size_t input) {
  const std::vector<ir::Port>& ports = context.node().op().inputs;
  std::string name = "input " + std::to_string(input);
  if (input < ports.size()) name += " (" + ports[input].name + ")";
  return name;
}

}  // namespace

bool Holds(Types types, DType dtype) {
  switch (types) {
    case Types::kFloat:
      return IsFloat(dtype);
    case Types::kSigned:
      return IsFloat(dtype) || dtype == DType::kI8 || dtype == DType::kI16 ||
             dtype == DType::kI32 || dtype == DType::kI64;
    case Types::kNumeric:
      return IsFloat(dtype) || (IsInteger(dtype) && BitWidth(dtype) >= 8);
    case Types::kAll:
      return dtype == DType::kBool || Holds(Types::kNumeric, dtype);
    case Types::kBool:
      return dtype == DType::kBool;
  }
  return false;
}

std::string_view Describe(Types types) {
  switch (types) {
    case Types::kFloat:
      return "a float type (f16, bf16, f32 or f64)";
    case Types::kSigned:
      return "a float or signed integer type";
    case Types::kNumeric:
      return "a float or integer type";
    case Types::kAll:
      return "a float, integer or bool type";
    case Types::kBool:
      return "bool";
  }
  return "";
}

void RequireType(const ir::InferContext& context, size_t input, Types types) {
  const ir::Type& type = context.input(input);
  if (type.is_tensor() && Holds(types, type.dtype())) return;
  throw Error(ErrorCode::kInvalidInput,
              InputName(context, input) + " is " + type.ToString() + ", expected a tensor of " +
                  std::string(Describe(types)),
              types == Types::kBool ? "compare it with Equal, Greater or Less first"
                                    : "convert it with Cast first");
}

ir::Type BroadcastInputs(const ir::InferContext& context, size_t first) {
  const ir::Type& head = context.input(first);
  ir::Dimensions dims;
  for (size_t i = first; i < context.node().inputs().size(); ++i) {
    if (!context.HasInput(i)) continue;
    const ir::Type& type = context.input(i);
    if (!type.has_rank()) return ir::Type::TensorOfUnknownRank(head.dtype());
    dims = ir::BroadcastDimensions(dims, type.dims());
  }
  return ir::Type::Tensor(head.dtype(), std::move(dims));
}

std::function<void(ir::InferContext&)> ElementwiseRule(Types types, DType output) {
  return [types, output](ir::InferContext& context) {
    for (size_t i = 0; i < context.node().inputs().size(); ++i) {
      if (!context.HasInput(i)) continue;
      RequireType(context, i, types);
    }
    const ir::Type type = BroadcastInputs(context);
    context.SetOutput(0, output == DType::kUndefined ? type : type.WithDType(output));
  };
}

}  // namespace ingot::ops
