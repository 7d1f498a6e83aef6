// Quantised ops of ONNX Runtime (com.microsoft) whose meaning is that of a float op between
// DequantizeLinear and QuantizeLinear.
#include "ingot/base/error.h"
#include "ingot/onnx/node.h"

namespace ingot::onnx {
namespace {

ir::Value* Given(const ImportedNode& node, size_t i) {
  if (node.input(i) != nullptr) return node.input(i);
  throw Error(ErrorCode::kInvalidInput, "input " + std::to_string(i) + " is missing");
}

std::vector<ir::Value*> WithZeroPoint(ir::Value* x, ir::Value* scale, ir::Value* zero_point) {
  std::vector<ir::Value*> inputs = {x, scale};
  if (zero_point != nullptr) inputs.push_back(zero_point);
  return inputs;
}

// Inputs i, i + 1 and i + 2 are a quantised tensor, its scale and its zero point.
ir::Value* Dequantized(const ImportedNode& node, ir::Builder& builder, size_t i) {
  return builder.Op("DequantizeLinear",
                    WithZeroPoint(Given(node, i), Given(node, i + 1), node.input(i + 2)));
}

// As inputs i and i + 1, scale and zero point, say; without a zero point of `like`'s type.
std::vector<ir::Value*> Quantized(const ImportedNode& node, ir::Builder& builder, ir::Value* value,
                                  size_t i, const ir::Value* like) {
  const ir::Attributes type = {{"output_dtype", static_cast<int64_t>(like->type().dtype())}};
  return {builder.Op("QuantizeLinear", WithZeroPoint(value, Given(node, i), node.input(i + 1)),
                     node.input(i + 1) == nullptr ? type : ir::Attributes())};
}

template <const char* kOp>
Outputs Binary(ImportedNode& node, ir::Builder& builder) {
  ir::Value* result =
      builder.Op(kOp, {Dequantized(node, builder, 0), Dequantized(node, builder, 3)});
  return Quantized(node, builder, result, 6, node.inputs[0]);
}

template <const char* kOp>
Outputs Unary(ImportedNode& node, ir::Builder& builder) {
  ir::Attributes attributes = node.attributes;
  attributes.erase("opset");  // of QLinearSoftmax: which meaning of axis
  ir::Value* x = Dequantized(node, builder, 0);
  ir::Value* result = builder.Op(kOp, {x}, attributes);
  return Quantized(node, builder, result, 3, node.inputs[0]);
}

// Below opset 13 a softmax saw its input as a matrix.
Outputs Softmax(ImportedNode& node, ir::Builder& builder) {
  static constexpr char kSoftmax[] = "Softmax";
  const int64_t axis = node.Int("axis", -1);
  const ir::Type& x = Given(node, 0)->type();
  const bool is_last = x.has_rank() && (axis == -1 || axis == x.rank() - 1);
  if (node.Int("opset", 13) >= 13 || is_last) return Unary<kSoftmax>(node, builder);
  ir::Value* matrix = builder.Op("Flatten", {Dequantized(node, builder, 0)}, {{"axis", axis}});
  ir::Value* shape = builder.Op("Shape", {node.inputs[0]});
  ir::Value* result = builder.Op("Reshape", {builder.Op("Softmax", {matrix}), shape});
  return Quantized(node, builder, result, 3, node.inputs[0]);
}

Outputs Concat(ImportedNode& node, ir::Builder& builder) {
  std::vector<ir::Value*> parts;
  for (size_t i = 2; i < node.inputs.size(); i += 3) {
    parts.push_back(Dequantized(node, builder, i));
  }
  ir::Value* result = builder.Op("Concat", parts, node.attributes);
  return Quantized(node, builder, result, 0, Given(node, 2));
}

constexpr char kAdd[] = "Add";
constexpr char kMul[] = "Mul";
constexpr char kLeakyRelu[] = "LeakyRelu";
constexpr char kSigmoid[] = "Sigmoid";
constexpr char kGlobalAveragePool[] = "GlobalAveragePool";
constexpr char kAveragePool[] = "AveragePool";

// ONNX's own ops under the domain of ONNX Runtime, from before ONNX had them with these types.
Outputs ToOnnx(ImportedNode& node, ir::Builder&) {
  node.domain.clear();
  return std::nullopt;
}

}  // namespace

std::vector<VersionChange> QuantizationChanges() {
  constexpr std::string_view kDomain = "com.microsoft";
  return {{"QLinearAdd", kDomain, kEveryVersion, Binary<kAdd>},
          {"QLinearMul", kDomain, kEveryVersion, Binary<kMul>},
          {"QLinearLeakyRelu", kDomain, kEveryVersion, Unary<kLeakyRelu>},
          {"QLinearSigmoid", kDomain, kEveryVersion, Unary<kSigmoid>},
          {"QLinearGlobalAveragePool", kDomain, kEveryVersion, Unary<kGlobalAveragePool>},
          {"QLinearAveragePool", kDomain, kEveryVersion, Unary<kAveragePool>},
          {"QLinearSoftmax", kDomain, kEveryVersion, Softmax},
          {"QLinearConcat", kDomain, kEveryVersion, Concat},
          {"QuantizeLinear", kDomain, kEveryVersion, ToOnnx},
          {"DequantizeLinear", kDomain, kEveryVersion, ToOnnx},
          {"Gelu", kDomain, kEveryVersion, ToOnnx}};
}

}  // namespace ingot::onnx
