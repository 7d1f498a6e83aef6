// Follows short lists of extents, numbers or symbols, through the ops that exporters compute shapes
// with.
#include "ingot/onnx/symbolic_shapes.h"

#include <algorithm>
#include <map>
#include <optional>

#include "ingot/ir/builder.h"
#include "ingot/ops/definition.h"

namespace ingot::onnx {
namespace {

using Extents = std::optional<ir::Dimensions>;

constexpr int64_t kMostElements = 64;

bool Is(const ir::Node& node, std::initializer_list<const char*> ops) {
  return node.domain().empty() &&
         std::any_of(ops.begin(), ops.end(), [&](const char* op) { return node.op_type() == op; });
}

class ShapeValues {
 public:
  // The elements of an integer tensor of rank 0 or 1; nothing where they do not follow from types.
  Extents Of(const ir::Value* value) {
    if (value == nullptr || value->producer() == nullptr) return std::nullopt;
    const auto known = known_.find(value);
    if (known != known_.end()) return known->second;
    return known_[value] = Compute(*value->producer());
  }

 private:
  Extents Compute(const ir::Node& node) {
    if (Is(node, {"Constant"})) return OfConstant(ops::ConstantValue(node.output()));
    if (Is(node, {"Shape"})) return OfShape(node);
    if (Is(node, {"Cast", "Identity", "Unsqueeze", "Squeeze", "Reshape"})) return Of(node.input(0));
    if (Is(node, {"Gather"})) return OfGather(node);
    if (Is(node, {"Concat"})) return OfConcat(node);
    if (Is(node, {"Slice"})) return OfSlice(node);
    if (Is(node, {"Add", "Sub", "Mul", "Div"})) return OfArithmetic(node);
    return std::nullopt;
  }

  static Extents OfConstant(const Tensor* tensor) {
    if (tensor == nullptr || !IsInteger(tensor->dtype()) || !IsArithmetic(tensor->dtype()) ||
        tensor->shape().rank() > 1 || tensor->size() > kMostElements) {
      return std::nullopt;
    }
    ir::Dimensions extents;
    for (const int64_t value : tensor->ToInts()) {
      // A -1 (of a Reshape) is one that is not known.
      extents.push_back(value < 0 ? ir::Dimension() : ir::Dimension(value));
    }
    return extents;
  }

  static Extents OfShape(const ir::Node& node) {
    const ir::Type& type = node.input(0)->type();
    if (!type.is_tensor() || !type.has_rank() || node.HasAttribute("end")) return std::nullopt;
    const int64_t start = node.GetInt("start", 0);
    if (start < 0 || start > type.rank()) return std::nullopt;
    return ir::Dimensions(type.dims().begin() + start, type.dims().end());
  }

  Extents OfGather(const ir::Node& node) {
    const Extents from = Of(node.input(0));
    const Tensor* indices = ops::ConstantValue(node.input(1));
    if (!from || indices == nullptr || indices->shape().rank() > 1) return std::nullopt;
    ir::Dimensions extents;
    const auto count = static_cast<int64_t>(from->size());
    for (const int64_t index : indices->ToInts()) {
      const int64_t place = index < 0 ? index + count : index;
      if (place < 0 || place >= count) return std::nullopt;
      extents.push_back((*from)[static_cast<size_t>(place)]);
    }
    return extents;
  }

  Extents OfConcat(const ir::Node& node) {
    ir::Dimensions extents;
    for (const ir::Value* input : node.inputs()) {
      const Extents part = Of(input);
      if (!part) return std::nullopt;
      extents.insert(extents.end(), part->begin(), part->end());
    }
    return extents;
  }

  Extents OfSlice(const ir::Node& node) {
    const Extents from = Of(node.input(0));
    const Tensor* start = ops::ConstantValue(node.input(1));
    const Tensor* end = ops::ConstantValue(node.input(2));
    const bool simple = start != nullptr && end != nullptr && start->size() == 1 &&
                        end->size() == 1 && node.input(4) == nullptr;
    if (!from || !simple) return std::nullopt;
    const auto count = static_cast<int64_t>(from->size());
    const auto place = [&](int64_t at) {
      return std::clamp<int64_t>(at < 0 ? at + count : at, 0, count);
    };
    const int64_t first = place(start->ToInts()[0]), last = place(end->ToInts()[0]);
    if (first >= last) return ir::Dimensions();
    return ir::Dimensions(from->begin() + first, from->begin() + last);
  }

  Extents OfArithmetic(const ir::Node& node) {
    const Extents a = Of(node.input(0)), b = Of(node.input(1));
    if (!a || !b || a->size() != 1 || b->size() != 1) return std::nullopt;
    const ir::Dimension &x = (*a)[0], &y = (*b)[0];
    if (!x.is_static() || !y.is_static()) return ir::Dimensions(1);
    int64_t result = 0;
    bool fails = false;
    if (Is(node, {"Add"})) fails = __builtin_add_overflow(x.value(), y.value(), &result);
    if (Is(node, {"Sub"})) result = x.value() - y.value();
    if (Is(node, {"Mul"})) fails = __builtin_mul_overflow(x.value(), y.value(), &result);
    if (Is(node, {"Div"})) {
      fails = y.value() == 0;
      result = fails ? 0 : x.value() / y.value();
    }
    if (fails || result < 0) return std::nullopt;
    return ir::Dimensions{result};
  }

  std::map<const ir::Value*, Extents> known_;
};

// What a Reshape is told: numbers, 0 where the extent is the input's at that place, one -1.
std::optional<std::vector<int64_t>> ReshapeTarget(const ir::Type& x, const ir::Dimensions& wanted) {
  std::vector<int64_t> target;
  for (size_t i = 0; i < wanted.size(); ++i) {
    const bool copied = x.has_rank() && i < x.dims().size() && wanted[i].is_symbolic() &&
                        wanted[i].SurelyEquals(x.dims()[i]);
    target.push_back(wanted[i].is_static() ? wanted[i].value() : copied ? 0 : -1);
    // A static 0 would copy.
    if (wanted[i].is_static() && wanted[i].value() == 0) return std::nullopt;
  }
  if (std::count(target.begin(), target.end(), -1) > 1) return std::nullopt;
  return target;
}

}  // namespace

void ResolveShapes(ir::Graph& graph, const ir::OpRegistry& registry) {
  ShapeValues values;
  for (ir::Node* node : graph.nodes()) {
    const bool reshapes = Is(*node, {"Reshape"}) && node->GetInt("allowzero", 0) == 0;
    if ((reshapes || Is(*node, {"Expand"})) && ops::ConstantValue(node->input(1)) == nullptr) {
      const Extents wanted = values.Of(node->input(1));
      ir::Builder builder(graph, registry, node);
      if (wanted && reshapes) {
        if (const auto target = ReshapeTarget(node->input(0)->type(), *wanted)) {
          node->SetInput(1, builder.Ints(*target));
        }
      } else if (wanted && std::all_of(wanted->begin(), wanted->end(),
                                       [](const auto& dim) { return dim.is_static(); })) {
        std::vector<int64_t> target;
        for (const ir::Dimension& dim : *wanted) target.push_back(dim.value());
        node->SetInput(1, builder.Ints(target));
      }
    }
    ir::InferNode(*node);
  }
}

}  // namespace ingot::onnx
