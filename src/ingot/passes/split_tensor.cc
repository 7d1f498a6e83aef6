// From each product back to the products that its left side is made of.
#include "ingot/passes/split_tensor.h"

#include <cstring>
#include <map>
#include <set>
#include <utility>

#include "ingot/base/error.h"
#include "ingot/ir/builder.h"
#include "ingot/ops/axis_split.h"
#include "ingot/passes/rewrite.h"

namespace ingot::passes {

Shape TensorSlice::part() const {
  std::vector<int64_t> dims(whole.dims().begin(), whole.dims().end());
  dims[static_cast<size_t>(axis)] = extent();
  return Shape(dims);
}

namespace {

// Calls `copy(offset in the whole, offset in the part, bytes)` for each run of elements.
template <typename Copy>
void ForEachRun(const TensorSlice& slice, size_t item_size, Copy copy) {
  const ops::AxisSplit split(slice.whole.dims(), slice.axis);
  const size_t inner = static_cast<size_t>(split.inner) * item_size;
  const size_t row = static_cast<size_t>(split.extent) * inner;
  size_t part = 0;
  for (size_t o = 0; o < static_cast<size_t>(split.outer); ++o) {
    for (const TensorSlice::Range& range : slice.ranges) {
      const size_t bytes = static_cast<size_t>(range.end - range.begin) * inner;
      copy(o * row + static_cast<size_t>(range.begin) * inner, part, bytes);
      part += bytes;
    }
  }
}

}  // namespace

Tensor TensorSlice::Take(const Tensor& tensor) const {
  INGOT_ASSERT(tensor.shape() == whole, "a part of another shape is taken");
  Tensor result(tensor.dtype(), part());
  ForEachRun(*this, ItemSize(tensor.dtype()), [&](size_t from, size_t to, size_t bytes) {
    std::memcpy(result.raw() + to, tensor.raw() + from, bytes);
  });
  return result;
}

void TensorSlice::Put(const Tensor& part, Tensor& tensor) const {
  INGOT_ASSERT(tensor.shape() == whole, "a part of another shape is put");
  ForEachRun(*this, ItemSize(tensor.dtype()), [&](size_t to, size_t from, size_t bytes) {
    std::memcpy(tensor.raw() + to, part.raw() + from, bytes);
  });
}

namespace {

using ir::Node;
using ir::Value;

// A product with fewer weights than this is not worth an exchange of its own.
constexpr int64_t kWorthCutting = 4096;

bool IsUnary(const Node& node) {
  for (const char* name :
       {"Relu",     "Gelu",     "Tanh",        "Sigmoid",   "Elu",  "Selu",  "LeakyRelu",
        "Softplus", "Softsign", "HardSigmoid", "HardSwish", "Mish", "Swish", "Erf",
        "Identity", "Neg",      "Exp",         "Abs",       "Sqrt", "Celu",  "ThresholdedRelu"}) {
    if (Is(&node, name)) return true;
  }
  return false;
}

bool IsBinary(const Node& node) {
  return Is(&node, "Add") || Is(&node, "Sub") || Is(&node, "Mul") || Is(&node, "Div") ||
         Is(&node, "PRelu");
}

bool IsParameter(const Value* value) {
  return value != nullptr && value->producer() == nullptr && value->role() == ir::Role::kParameter;
}

int64_t LastExtent(const Value* value) {
  const ir::Type& type = value->type();
  const bool known =
      type.is_tensor() && type.has_rank() && type.rank() > 0 && type.dim(-1).is_static();
  return known ? type.dim(-1).value() : -1;
}

// x W + b, of a parameter that nobody else reads.
bool IsProduct(const Node* node) {
  if (!Is(node, "Gemm") || !IsParameter(node->input(1))) return false;
  return node->GetInt("transA", 0) == 0 && node->GetFloat("alpha") == 1 &&
         node->GetFloat("beta") == 1 && (node->input(2) == nullptr || IsParameter(node->input(2)));
}
bool IsOwnProduct(const Node* node) {
  return IsProduct(node) && node->GetInt("transB", 0) == 0 && OnlyUser(node->input(1)) == node &&
         (node->input(2) == nullptr || OnlyUser(node->input(2)) == node);
}

// Widths that are cut evenly each: [width] of a plain value, three of queries, keys and values.
using Segments = std::vector<int64_t>;

// What lies between a product that is cut by rows and those that are cut by columns.
struct Region {
  std::map<const Value*, Segments> values;  // whose last axis is cut
  std::set<const Node*> nodes;
  std::vector<Node*> products;                       // cut by columns
  std::vector<std::pair<Value*, Segments>> vectors;  // parameters [width]
};

class Splitter {
 public:
  Splitter(ir::Graph& graph, const ir::OpRegistry& registry, int place, int size)
      : graph_(graph), registry_(registry), place_(place), size_(size) {}

  TensorSplit Run() {
    for (Node* node : NodesOf("Gemm")) {
      if (IsOwnProduct(node) && cut_.count(node) == 0) CutByRows(node);
    }
    for (Node* node : NodesOf("Gather")) CutTable(node);
    for (Node* node : NodesOf("Gemm")) {
      if (IsOwnProduct(node) && cut_.count(node) == 0) CutAlone(node);
    }
    return std::move(split_);
  }

 private:
  // Cutting one of these removes it, and none of the others.
  std::vector<Node*> NodesOf(const char* op) const {
    std::vector<Node*> found;
    for (Node* node : graph_.nodes()) {
      if (Is(node, op)) found.push_back(node);
    }
    return found;
  }
  bool Divides(int64_t extent) const { return extent > 0 && extent % size_ == 0; }

  // ---- finding a region ----

  bool Trace(Value* value, const Segments& segments, Region& region) const {
    const auto known = region.values.find(value);
    if (known != region.values.end()) return known->second == segments;
    Node* node = value->producer();
    if (node == nullptr || value->is_graph_output()) return false;
    for (const int64_t extent : segments) {
      if (!Divides(extent)) return false;
    }
    region.values[value] = segments;
    if (cut_.count(node) > 0) return false;
    const bool is_new = region.nodes.insert(node).second;
    if (IsOwnProduct(node)) {
      if (is_new) region.products.push_back(node);
      return true;
    }
    if (IsUnary(*node)) return Trace(node->input(0), segments, region);
    if (Is(node, "Reshape")) return TraceReshape(*node, segments, region);
    if (IsBinary(*node)) return TraceBinary(*node, segments, region);
    if (Is(node, "Split")) return TraceSplit(*node, segments, region);
    if (Is(node, "RotaryEmbedding")) {
      return Divides(node->GetInt("num_heads", 0)) && Trace(node->input(0), segments, region);
    }
    if (Is(node, "Attention")) return TraceAttention(*node, value, segments, region);
    return false;
  }

  bool TraceReshape(Node& node, const Segments& segments, Region& region) const {
    const int64_t extent = LastExtent(node.output());
    const bool keeps =
        extent > 0 && LastExtent(node.input(0)) == extent && ConstantOf(node.input(1)) != nullptr;
    return keeps && Trace(node.input(0), segments, region);
  }

  bool TraceBinary(Node& node, const Segments& segments, Region& region) const {
    bool traced = false;
    for (Value* input : node.inputs()) {
      const Tensor* constant = ConstantOf(input);
      if (constant != nullptr && constant->size() == 1) continue;
      if (IsParameter(input)) {
        const ir::Type& type = input->type();
        if (type.rank() != 1 || LastExtent(input) != LastExtent(node.output())) return false;
        if (OnlyUser(input) != &node) return false;
        region.vectors.emplace_back(input, segments);
        continue;
      }
      if (LastExtent(input) != LastExtent(node.output())) return false;
      if (!Trace(input, segments, region)) return false;
      traced = true;
    }
    return traced;
  }

  // All outputs belong to the region, each cut for itself.
  bool TraceSplit(Node& node, const Segments& segments, Region& region) const {
    const Value* whole = node.input(0);
    if (!whole->type().has_rank() || ConstantOf(node.input(1)) == nullptr) return false;
    const int64_t axis = node.GetInt("axis", 0);
    if (axis != whole->type().rank() - 1 && axis != -1) return false;
    if (segments.size() != 1) return false;
    Segments together;
    for (Value* output : node.outputs()) {
      const int64_t extent = LastExtent(output);
      if (!Divides(extent)) return false;
      const auto known = region.values.find(output);
      if (known != region.values.end() && known->second != Segments{extent}) return false;
      region.values[output] = {extent};
      together.push_back(extent);
    }
    return Trace(node.input(0), together, region);
  }

  bool TraceAttention(Node& node, const Value* value, const Segments& segments,
                      Region& region) const {
    const bool plain = node.inputs().size() >= 3 && value == node.output(0) &&
                       segments.size() == 1 && Divides(node.GetInt("q_num_heads", 0)) &&
                       Divides(node.GetInt("kv_num_heads", 0));
    if (!plain) return false;
    for (size_t i = 0; i < node.inputs().size(); ++i) {
      if (node.input(i) == nullptr) continue;
      if (i > 2 || node.input(i)->type().rank() != 3) return false;
      if (!Trace(node.input(i), {LastExtent(node.input(i))}, region)) return false;
    }
    return true;
  }

  // Whether nobody outside uses what is cut.
  static bool IsClosed(const Region& region, const Node* product) {
    for (const Node* node : region.nodes) {
      for (const Value* output : node->outputs()) {
        if (output->is_graph_output()) return false;
        for (const Value::Use& use : output->uses()) {
          if (region.nodes.count(use.node) == 0 && use.node != product) return false;
        }
      }
    }
    return true;
  }

  // ---- cutting ----

  TensorSlice SliceOf(const Value* parameter, int axis, const Segments& segments) const {
    TensorSlice slice;
    slice.axis = axis;
    slice.whole = parameter->type().shape();
    int64_t begin = 0;
    for (const int64_t extent : segments) {
      const int64_t share = extent / size_;
      slice.ranges.push_back({begin + place_ * share, begin + (place_ + 1) * share});
      begin += extent;
    }
    return slice;
  }

  void Cut(Value* parameter, int axis, const Segments& segments) {
    if (parameter == nullptr) return;
    const TensorSlice slice = SliceOf(parameter, axis, segments);
    parameter->set_type(ir::Type::Tensor(parameter->type().dtype(), slice.part()));
    split_.slices[parameter->name()] = slice;
  }

  void CutByRows(Node* product) {
    Value* left = product->input(0);
    Region region;
    const int64_t width = LastExtent(left);
    if (!Divides(width) || !Trace(left, {width}, region) || region.products.empty()) return;
    if (!IsClosed(region, product)) return;
    std::map<Value*, Value*> shares;
    for (Node* column : region.products) {
      const Segments segments = region.values.at(column->output());
      ShareInput(column, shares);
      Cut(column->input(1), 1, segments);
      Cut(column->input(2), 0, segments);
      cut_.insert(column);
      split_.layers.push_back(column->layer());
    }
    for (const auto& [vector, segments] : region.vectors) Cut(vector, 0, segments);
    for (Node* node : graph_.nodes()) {
      if (region.nodes.count(node) > 0) Narrow(*node, region);
    }
    Cut(product->input(1), 0, {width});
    SumBehind(product);
  }

  // A node of a region works on its part of the last axis.
  void Narrow(Node& node, const Region& region) {
    ir::Builder builder = BuilderBefore(&node, registry_);
    if (Is(&node, "Reshape")) {
      const Tensor* shape = ConstantOf(node.input(1));
      std::vector<int64_t> target(shape->data<int64_t>().begin(), shape->data<int64_t>().end());
      target.back() = LastExtent(node.input(0));
      node.SetInput(1, builder.Ints(target));
    } else if (Is(&node, "Split")) {
      std::vector<int64_t> sizes;
      for (const Value* output : node.outputs()) {
        sizes.push_back(region.values.at(output)[0] / size_);
      }
      node.SetInput(1, builder.Ints(sizes));
    } else if (Is(&node, "RotaryEmbedding")) {
      node.SetAttribute("num_heads", node.GetInt("num_heads") / size_);
    } else if (Is(&node, "Attention")) {
      node.SetAttribute("q_num_heads", node.GetInt("q_num_heads") / size_);
      node.SetAttribute("kv_num_heads", node.GetInt("kv_num_heads") / size_);
    }
    ir::InferNode(node);
  }

  // x of x W becomes a MeshShare of it: in front of the reshape that makes rows of a sequence,
  // since its gradient is summed as rows of the batch.
  void ShareInput(Node* product, std::map<Value*, Value*>& shares) {
    Value* x = product->input(0);
    Node* view = Is(x->producer(), "Reshape") ? x->producer() : nullptr;
    Value* source = view != nullptr ? view->input(0) : x;

    Value*& share = shares[source];
    if (share == nullptr) {
      ir::Builder builder = BuilderBefore(FirstUser(source), registry_);
      builder.set_layer(product->layer());
      share = builder.Op("ingot.MeshShare", {source});
    }
    if (view == nullptr) return product->SetInput(0, share);
    ir::Builder builder = BuilderBefore(product, registry_);
    product->SetInput(0, builder.Op("Reshape", {share, view->input(1)}));
  }

  Node* FirstUser(const Value* value) const {
    for (Node* node : graph_.nodes()) {
      for (const Value::Use& use : value->uses()) {
        if (use.node == node) return node;
      }
    }
    return nullptr;
  }

  // x W + b, of which each place has its rows of W: b is added to the sum. The sum is one of rows
  // of the batch, behind the reshape that makes sequences of rows.
  void SumBehind(Node* product) {
    cut_.insert(product);
    split_.layers.push_back(product->layer());
    Value* bias = product->input(2);
    ir::Builder builder = BuilderBefore(product, registry_);
    ir::Attributes attributes;
    if (product->GetInt("transB", 0) == 1) attributes["transB"] = int64_t{1};
    Value* part = builder.Op("Gemm", {product->input(0), product->input(1)}, attributes);
    cut_.insert(part->producer());
    Node* last = product;
    Node* view = OnlyUser(product->output());
    if (Is(view, "Reshape") && LastExtent(view->output()) == LastExtent(part)) {
      last = view;
      builder.set_insertion_point(view);
      part = builder.Op("Reshape", {part, view->input(1)});
    }
    Value* sum = builder.Op("ingot.MeshSum", {part});
    if (bias != nullptr) sum = builder.Add(sum, bias);
    ReplaceNode(last, sum);
    if (last != product) graph_.RemoveNode(product);
  }

  // x W + b where x is whole: each place takes its columns of x, and rows of W.
  void CutAlone(Node* product) {
    const int64_t width = LastExtent(product->input(0));
    const int64_t weights = width * LastExtent(product->output());
    if (!Divides(width) || weights < kWorthCutting * size_) return;
    TakeColumns(product, width);
    Cut(product->input(1), 0, {width});
    SumBehind(product);
  }

  void TakeColumns(Node* product, int64_t width) {
    std::map<Value*, Value*> shares;
    if (product->input(0)->producer() != nullptr) ShareInput(product, shares);
    // Of sequences before they become rows: those alone can be carried from part to part.
    Value* x = product->input(0);
    const bool is_view =
        Is(x->producer(), "Reshape") && LastExtent(x->producer()->input(0)) == width;
    if (is_view) x = x->producer()->input(0);
    ir::Builder builder = BuilderBefore(product, registry_);
    const int64_t share = width / size_;
    Value* part = builder.Op(
        "Slice", {x, builder.Ints({place_ * share}), builder.Ints({(place_ + 1) * share}),
                  builder.Ints({x->type().rank() - 1})});
    if (is_view) part = builder.Op("Reshape", {part, builder.Ints({-1, share})});
    product->SetInput(0, part);
  }

  // A table [vocabulary, width]: each place has its columns, for a tied product too. What it looks
  // up is put among zeros, so that the sum over the places is exact.
  void CutTable(Node* gather) {
    Value* table = gather->input(0);
    if (!IsParameter(table) || table->type().rank() != 2 || gather->GetInt("axis", 0) != 0) return;
    const int64_t width = LastExtent(table);
    const int64_t weights = table->type().dim(0).value() * width;
    if (!Divides(width) || weights < kWorthCutting * size_) return;
    std::vector<Node*> tied;
    for (const Value::Use& use : table->uses()) {
      if (use.node == gather) continue;
      const bool fits = use.input == 1 && IsProduct(use.node) && use.node->GetInt("transB", 0) == 1;
      if (!fits) return;
      tied.push_back(use.node);
    }
    for (Node* product : tied) TakeColumns(product, width);
    Cut(table, 1, {width});
    for (Node* product : tied) SumBehind(product);
    ir::InferNode(*gather);
    split_.layers.push_back(gather->layer());
    ir::Builder builder(graph_, registry_, FirstUser(gather->output()));
    builder.set_layer(gather->layer());
    const int64_t share = width / size_;
    const int rank = gather->output()->type().rank();
    std::vector<int64_t> pads(static_cast<size_t>(2 * rank), 0);
    pads[static_cast<size_t>(rank - 1)] = place_ * share;
    pads[static_cast<size_t>(2 * rank - 1)] = width - (place_ + 1) * share;
    const std::vector<Value::Use> uses = gather->output()->uses();
    Value* padded = builder.Op("Pad", {gather->output(), builder.Ints(pads)});
    Value* sum = builder.Op("ingot.MeshSum", {padded});
    for (const Value::Use& use : uses) use.node->SetInput(static_cast<size_t>(use.input), sum);
  }

  ir::Graph& graph_;
  const ir::OpRegistry& registry_;
  const int place_;
  const int size_;
  std::set<const Node*> cut_;
  TensorSplit split_;
};

}  // namespace

TensorSplit SplitTensor(ir::Graph& graph, const ir::OpRegistry& registry, int place, int size) {
  if (size == 1) return {};
  return Splitter(graph, registry, place, size).Run();
}

}  // namespace ingot::passes
