// The arithmetic is in double, rounded once.
#include "ingot/passes/fold_batch_norm.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <vector>

#include "ingot/passes/rewrite.h"

namespace ingot::passes {

namespace {

using ir::Node;
using ir::Value;

// y = x * scale + shift, one number of each for a channel.
struct Affine {
  std::vector<double> scale, shift;
};

std::optional<Affine> OfBatchNorm(const Node* node) {
  if (!Is(node, "BatchNormalization") || node->GetInt("training_mode") != 0) return std::nullopt;
  for (size_t i = 1; i < node->outputs().size(); ++i) {
    if (node->output(i)->is_used()) return std::nullopt;
  }
  std::vector<double> numbers[4];
  for (size_t i = 0; i < 4; ++i) {
    const Tensor* constant = ConstantOf(node->input(i + 1));
    if (constant == nullptr) return std::nullopt;
    numbers[i] = constant->ToDoubles();
  }
  Affine affine;
  for (size_t c = 0; c < numbers[0].size(); ++c) {
    const double scale = numbers[0][c] / std::sqrt(numbers[3][c] + node->GetFloat("epsilon"));
    affine.scale.push_back(scale);
    affine.shift.push_back(numbers[1][c] - numbers[2][c] * scale);
  }
  return affine;
}

// One number for each channel of `rank` axes, channels second: [C, 1, 1] or [1, C, 1, 1].
std::optional<std::vector<double>> PerChannel(const Value* value, int64_t channels, int rank) {
  const Tensor* constant = ConstantOf(value);
  if (constant == nullptr || constant->dtype() != DType::kF32) return std::nullopt;
  const Shape& shape = constant->shape();
  if (constant->size() == 1 && shape.rank() <= rank) {
    return std::vector<double>(static_cast<size_t>(channels), constant->ToDoubles()[0]);
  }
  const int axis = shape.rank() - (rank - 1);  // of the channels
  if (constant->size() != channels || axis < 0 || axis > 1 || shape[axis] != channels) {
    return std::nullopt;
  }
  return constant->ToDoubles();
}

std::optional<Affine> OfArithmetic(const Node* node, const Value* x, int64_t channels) {
  if (!Is(node, "Mul") && !Is(node, "Add") && !Is(node, "Sub") && !Is(node, "Div")) {
    return std::nullopt;
  }
  const bool commutes = Is(node, "Mul") || Is(node, "Add");
  const bool first = node->input(0) == x;
  if (!first && !commutes) return std::nullopt;
  const auto numbers = PerChannel(node->input(first ? 1 : 0), channels, x->type().rank());
  if (!numbers || !SurelySameShape(node->output()->type(), x->type())) return std::nullopt;
  Affine affine;
  for (const double number : *numbers) {
    const bool scales = Is(node, "Mul") || Is(node, "Div");
    affine.scale.push_back(Is(node, "Mul") ? number : (Is(node, "Div") ? 1 / number : 1));
    affine.shift.push_back(scales ? 0 : (Is(node, "Sub") ? -number : number));
  }
  return affine;
}

Tensor ScaledRows(const Tensor& w, const std::vector<double>& scale) {
  Tensor result(DType::kF32, w.shape());
  const int64_t row = w.size() / std::max<int64_t>(static_cast<int64_t>(scale.size()), 1);
  std::memcpy(result.raw(), w.raw(), w.bytes());  // which need not be aligned
  float* to = result.data<float>().data();
  for (const double factor : scale) {
    for (int64_t i = 0; i < row; ++i, ++to) *to = static_cast<float>(*to * factor);
  }
  return result;
}

bool FoldIntoConv(Node* conv, const ir::OpRegistry& registry) {
  const Value* y = conv->output();
  const Tensor* w = ConstantOf(conv->input(1));
  const Tensor* bias = conv->input(2) == nullptr ? nullptr : ConstantOf(conv->input(2));
  if (w == nullptr || w->dtype() != DType::kF32 || (conv->input(2) != nullptr && bias == nullptr)) {
    return false;
  }
  if (y->uses().size() != 1 || y->is_graph_output() || !y->type().has_rank()) return false;
  if (conv->GetInt("channels_last", 0) != 0) return false;
  Node* next = y->uses()[0].node;
  const int64_t channels = w->shape()[0];
  std::optional<Affine> affine = OfBatchNorm(next);
  if (affine && next->input(0) != y) return false;
  if (!affine) affine = OfArithmetic(next, y, channels);
  if (!affine || static_cast<int64_t>(affine->scale.size()) != channels) return false;
  Tensor shift(DType::kF32, Shape{channels});
  for (int64_t c = 0; c < channels; ++c) {
    const auto i = static_cast<size_t>(c);
    const double before = bias == nullptr ? 0 : static_cast<double>(bias->data<float>()[i]);
    shift.data<float>()[i] = static_cast<float>(before * affine->scale[i] + affine->shift[i]);
  }
  const bool scales = std::any_of(affine->scale.begin(), affine->scale.end(),
                                  [](double factor) { return factor != 1; });
  ir::Builder builder = BuilderBefore(conv, registry);
  Value* weights = conv->input(1);
  if (scales) {
    weights = builder.Constant(ScaledRows(*w, affine->scale));
    weights->set_name(conv->input(1)->name());
  }
  Value* shifts = builder.Constant(std::move(shift));
  Value* folded = builder.Op("Conv", {conv->input(0), weights, shifts}, conv->attributes());
  folded->producer()->set_name(conv->name());
  if (folded->name().empty()) folded->set_name(next->output()->name());
  next->graph()->ReplaceAllUses(next->output(), folded);
  next->graph()->RemoveNode(next);
  conv->graph()->RemoveNode(conv);
  return true;
}

// [1, C, 1, ...] or, for two axes, [1, C].
Value* Channels(ir::Builder& builder, const std::vector<double>& numbers, int rank) {
  std::vector<int64_t> dims(static_cast<size_t>(rank), 1);
  dims[1] = static_cast<int64_t>(numbers.size());
  Tensor tensor(DType::kF32, Shape(dims));
  for (size_t i = 0; i < numbers.size(); ++i) {
    tensor.data<float>()[i] = static_cast<float>(numbers[i]);
  }
  return builder.Constant(std::move(tensor));
}

void Spell(Node* node, const ir::OpRegistry& registry) {
  const std::optional<Affine> affine = OfBatchNorm(node);
  const ir::Type& x = node->input(0)->type();
  if (!affine || !x.has_rank() || x.rank() < 2 || x.dtype() != DType::kF32) return;
  if (node->GetInt("channels_last", 0) != 0) return;
  ir::Builder builder = BuilderBefore(node, registry);
  Value* scaled = builder.Mul(node->input(0), Channels(builder, affine->scale, x.rank()));
  Value* moved = builder.Add(scaled, Channels(builder, affine->shift, x.rank()));
  if (moved->name().empty()) moved->set_name(node->output()->name());
  node->graph()->ReplaceAllUses(node->output(), moved);
  node->graph()->RemoveNode(node);
}

}  // namespace

void FoldBatchNorm(ir::Graph& graph, const ir::OpRegistry& registry) {
  ForEachGraph(graph, [&registry](ir::Graph& each) {
    // A convolution may take several, one after the other; each makes a new node.
    for (bool changed = true; changed;) {
      changed = false;
      for (Node* node : each.nodes()) {
        if (Is(node, "Conv") && FoldIntoConv(node, registry)) {
          changed = true;
          break;
        }
      }
    }
    for (Node* node : each.nodes()) {
      if (Is(node, "BatchNormalization")) Spell(node, registry);
    }
  });
}

}  // namespace ingot::passes
