// See fuse_quantized.h.
#include "ingot/passes/fuse_quantized.h"

#include <cmath>
#include <optional>

#include "ingot/passes/activation_epilogue.h"
#include "ingot/passes/quantized_values.h"
#include "ingot/passes/rewrite.h"

namespace ingot::passes {

namespace {

using ir::Node;
using ir::Value;

// What is known of a quantised product until it is built.
struct Product {
  Node* node = nullptr;
  Node* last = nullptr;  // what is replaced
  bool is_conv = false, trans_b = false;
  Quantized x, w;
  int64_t channels = 0;
  std::optional<Tensor> bias;                // i32 [channels]
  std::optional<std::vector<float>> offset;  // in units of the result of a float product
  std::optional<ActivationEpilogue> activation;
  bool quantizes = false;
  float y_scale = 1;
  int64_t y_zero = 0;
  DType y_type = DType::kF32;
};

bool FindWeights(Product& p) {
  const Tensor* w = ConstantOf(p.w.bytes);
  if (w == nullptr || w->shape().rank() < 2 || (!p.is_conv && w->shape().rank() != 2)) return false;
  if (p.x.scales.size() != 1) return false;
  p.channels = w->shape()[p.is_conv || p.trans_b ? 0 : 1];
  const auto scales = static_cast<int64_t>(p.w.scales.size());
  return scales == 1 || scales == p.channels;
}

// A bias of f32 or of i32 behind a DequantizeLinear, as what is added to the float product.
bool TakeBias(Product& p, const Value* value) {
  if (value == nullptr) return true;
  const Tensor* constant = ConstantOf(value);
  if (constant != nullptr && constant->dtype() == DType::kF32) {
    if (constant->size() != p.channels) return false;
    p.offset = std::vector<float>(constant->data<float>().begin(), constant->data<float>().end());
    return true;
  }
  const Node* node = value->producer();
  if (!Is(node, "DequantizeLinear")) return false;
  const Tensor* numbers = ConstantOf(node->input(0));
  const Tensor* scales = ConstantOf(node->input(1));
  if (numbers == nullptr || scales == nullptr || numbers->dtype() != DType::kI32 ||
      scales->dtype() != DType::kF32 || numbers->size() != p.channels) {
    return false;
  }
  if (node->input(2) != nullptr && !IsFilledWith(node->input(2), 0)) return false;
  // With the scale of the products it is one more of them.
  bool same = scales->size() == 1 || scales->size() == p.channels;
  for (int64_t i = 0; same && i < p.channels; ++i) {
    const float product =
        p.x.scales[0] * p.w.scales[p.w.scales.size() == 1 ? 0 : static_cast<size_t>(i)];
    const float given = scales->data<float>()[scales->size() == 1 ? 0 : static_cast<size_t>(i)];
    same = std::abs(product - given) <= 1e-5F * std::abs(product);
  }
  if (!same) return false;
  p.bias = numbers->Reshape(Shape{p.channels});
  return true;
}

// Activations that commute with a positive factor stay in front of the rounding.
bool Scales(const ActivationEpilogue& activation) {
  return activation.name == "relu" || activation.name == "leaky_relu" || activation.name == "clip";
}

// What follows a float product: bias, activation, QuantizeLinear.
void TakeFollowers(Product& p) {
  Node* next = OnlyUser(p.last->output());
  if (!p.is_conv && !p.bias && !p.offset && Is(next, "Add")) {
    const bool first = next->input(0) == p.last->output();
    const Value* other = next->input(first ? 1 : 0);
    const Tensor* constant = ConstantOf(other);
    const bool row = constant != nullptr && constant->shape().rank() == 1;
    if ((row || Is(other->producer(), "DequantizeLinear")) && TakeBias(p, other)) {
      p.last = next;
      next = OnlyUser(p.last->output());
    }
  }
  const auto activation = EpilogueOf(next, p.last->output());
  if (activation && Scales(*activation)) {
    p.activation = activation;
    p.last = next;
    next = OnlyUser(p.last->output());
  }
  if (!Is(next, "QuantizeLinear") || next->input(0) != p.last->output()) return;
  const auto quantizer = QuantizerOf(next);
  if (!quantizer) return;
  p.quantizes = true;
  p.y_scale = quantizer->scale;
  p.y_zero = quantizer->zero;
  p.y_type = quantizer->type;
  p.last = next;
}

std::optional<Product> MatchFloat(Node* node) {
  Product p;
  p.node = p.last = node;
  p.is_conv = Is(node, "Conv");
  if (!p.is_conv && !Is(node, "MatMul") && !Is(node, "Gemm")) return std::nullopt;
  if (Is(node, "Gemm")) {
    p.trans_b = node->GetInt("transB") != 0;
    if (node->GetInt("transA") != 0 || node->GetFloat("alpha") != 1) return std::nullopt;
    if (node->input(2) != nullptr && node->GetFloat("beta") != 1) return std::nullopt;
  }
  const auto x = DequantizedFrom(node->input(0), -1);
  const auto w = DequantizedFrom(node->input(1), p.is_conv || p.trans_b ? 0 : 1);
  if (!x || !w) return std::nullopt;
  p.x = *x;
  p.w = *w;
  if (!FindWeights(p) || !TakeBias(p, node->input(2))) return std::nullopt;
  TakeFollowers(p);
  return p;
}

// x, x_scale, x_zero, w, w_scale, w_zero at 0; y_scale and y_zero at `y`.
std::optional<Product> MatchQLinear(Node* node) {
  Product p;
  p.node = p.last = node;
  p.is_conv = Is(node, "QLinearConv");
  const bool gemm = Is(node, "com.microsoft.QGemm");
  if (!p.is_conv && !gemm && !Is(node, "QLinearMatMul")) return std::nullopt;
  if (gemm) {
    p.trans_b = node->GetInt("transB") != 0;
    if (node->GetInt("transA") != 0 || node->GetFloat("alpha") != 1) return std::nullopt;
  }
  const auto x = QuantizedOf(node->input(0), node->input(1), node->input(2));
  const auto w = QuantizedOf(node->input(3), node->input(4), node->input(5));
  if (!x || !w) return std::nullopt;
  p.x = *x;
  p.w = *w;
  if (!FindWeights(p)) return std::nullopt;
  const Value* bias = p.is_conv ? node->input(8) : (gemm ? node->input(6) : nullptr);
  if (bias != nullptr) {
    const Tensor* constant = ConstantOf(bias);
    if (constant == nullptr || constant->dtype() != DType::kI32 || constant->size() != p.channels) {
      return std::nullopt;
    }
    p.bias = constant->Reshape(Shape{p.channels});
  }
  const size_t y = gemm ? 7 : 6;
  if (node->input(y) == nullptr) return p;
  const Tensor* scale = ConstantOf(node->input(y));
  const Tensor* zero = node->input(y + 1) == nullptr ? nullptr : ConstantOf(node->input(y + 1));
  if (scale == nullptr || scale->size() != 1 || scale->dtype() != DType::kF32) return std::nullopt;
  if (zero == nullptr || zero->size() != 1 || !IsBytes(zero->dtype())) return std::nullopt;
  p.quantizes = true;
  p.y_scale = scale->data<float>()[0];
  p.y_zero = zero->ToInts()[0];
  p.y_type = zero->dtype();
  return p;
}

void Build(const Product& p, const ir::OpRegistry& registry) {
  ir::Builder builder = BuilderBefore(p.last, registry);
  builder.set_layer(p.node->layer());
  Tensor scale(DType::kF32, Shape{p.channels});
  Tensor offset(DType::kF32, Shape{p.channels});
  for (int64_t i = 0; i < p.channels; ++i) {
    const auto at = static_cast<size_t>(i);
    const float w_scale = p.w.scales[p.w.scales.size() == 1 ? 0 : at];
    scale.data<float>()[at] = p.x.scales[0] * w_scale / p.y_scale;
    if (p.offset) offset.data<float>()[at] = (*p.offset)[at] / p.y_scale;
  }
  ir::Attributes attributes;
  if (p.is_conv) {
    for (const char* name : {"auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"}) {
      const auto found = p.node->attributes().find(name);
      if (found != p.node->attributes().end()) attributes.insert(*found);
    }
  } else {
    attributes["trans_b"] = int64_t{p.trans_b ? 1 : 0};
  }
  attributes["x_zero"] = p.x.zero;
  attributes["w_zero"] = p.w.zero;
  attributes["y_zero"] = p.y_zero;
  attributes["y_type"] = static_cast<int64_t>(p.y_type);
  if (p.activation) {
    const bool clips = p.activation->name == "clip";
    const double factor = clips ? 1 / static_cast<double>(p.y_scale) : 1;
    attributes["epilogue"] = p.activation->name;
    attributes["alpha"] = p.activation->alpha * factor;
    attributes["beta"] = p.activation->beta * factor;
  }
  std::vector<Value*> inputs = {p.x.bytes, p.w.bytes, builder.Constant(std::move(scale))};
  if (p.bias || p.offset) inputs.push_back(p.bias ? builder.Constant(*p.bias) : nullptr);
  if (p.offset) inputs.push_back(builder.Constant(std::move(offset)));
  Value* y = builder.Op(p.is_conv ? "ingot.QuantizedConv" : "ingot.QuantizedMatMul",
                        std::move(inputs), std::move(attributes));
  y->producer()->set_name(p.node->name());
  ReplaceNode(p.last, y);
}

}  // namespace

void FuseQuantized(ir::Graph& graph, const ir::OpRegistry& registry) {
  ForEachGraph(graph, [&registry](ir::Graph& each) {
    std::vector<Node*> nodes;  // what is replaced besides these is none of them
    for (Node* node : each.nodes()) {
      for (const char* name :
           {"Conv", "MatMul", "Gemm", "QLinearConv", "QLinearMatMul", "com.microsoft.QGemm"}) {
        if (Is(node, name)) nodes.push_back(node);
      }
    }
    for (Node* node : nodes) {
      std::optional<Product> product = MatchQLinear(node);
      if (!product) product = MatchFloat(node);
      if (product) Build(*product, registry);
    }
  });
}

}  // namespace ingot::passes
