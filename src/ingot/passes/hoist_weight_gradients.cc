// Weight gradients move from the body of a ShardMap to ShardMatMul behind it.
#include "ingot/passes/hoist_weight_gradients.h"

#include <algorithm>
#include <map>
#include <optional>

#include "ingot/ops/shard_map.h"
#include "ingot/passes/eliminate_dead_code.h"
#include "ingot/passes/rewrite.h"

namespace ingot::passes {

namespace {

using ir::Node;
using ir::Value;

using ops::kPartialOutput;
using ops::kRowsOutput;

bool IsMatrixTranspose(const Node* node) {
  return Is(node, "Transpose") && node->input(0)->type().has_rank() &&
         node->input(0)->type().rank() == 2 && PermutationOf(*node) == std::vector<int64_t>{1, 0};
}

// The left factor before its transposition, where the product transposes it.
Value* TransposedFactor(const Node* product) {
  if (Is(product, "MatMul")) {
    const Node* transpose = product->input(0)->producer();
    return IsMatrixTranspose(transpose) ? transpose->input(0) : nullptr;
  }
  if (Is(product, "Gemm")) {
    const bool plain = product->GetInt("transA", 0) == 1 && product->GetInt("transB", 0) == 0 &&
                       product->GetFloat("alpha") == 1 && product->input(2) == nullptr;
    return plain ? product->input(0) : nullptr;
  }
  if (Is(product, "ingot.FusedMatMul")) {
    const bool plain = product->GetInt("trans_a", 0) == 1 && product->GetInt("trans_b", 0) == 0 &&
                       product->GetString("epilogue") == "none" && product->input(2) == nullptr &&
                       product->input(3) == nullptr;
    return plain ? product->input(0) : nullptr;
  }
  return nullptr;
}

// The symbol of the body's rows; "" where the sharded inputs do not agree on one.
std::string BatchSymbol(const ir::Graph& body, size_t sharded) {
  std::string symbol;
  for (size_t i = 0; i < std::min(sharded, body.inputs().size()); ++i) {
    const ir::Type& type = body.inputs()[i]->type();
    if (!type.is_tensor() || !type.has_rank() || type.rank() == 0) return "";
    const std::string& own = type.dim(0).symbol();
    if (own.empty() || (!symbol.empty() && own != symbol)) return "";
    symbol = own;
  }
  return symbol;
}

bool IsRowsMatrix(const Value* value, const std::string& batch) {
  const ir::Type& type = value->type();
  return type.is_tensor() && type.has_rank() && type.rank() == 2 && type.dim(0).symbol() == batch;
}

// Bytes of a sharded input that a factor is made from, and what they are multiplied by.
struct ScaledBytes {
  Value* bytes = nullptr;  // null: it is made otherwise
  double scale = 1;
};

ScaledBytes BytesBehind(Value* factor) {
  while (Is(factor->producer(), "Reshape") || Is(factor->producer(), "Flatten")) {
    factor = factor->producer()->input(0);
  }
  const Node* node = factor->producer();
  if (!Is(node, "DequantizeLinear") || node->input(2) != nullptr) return {};
  Value* bytes = node->input(0);
  const Tensor* scale = ConstantOf(node->input(1));
  const bool fits = bytes->type().dtype() == DType::kU8 && bytes->producer() == nullptr &&
                    scale != nullptr && scale->size() == 1 && scale->dtype() == DType::kF32 &&
                    factor->type().dtype() == DType::kF32;
  return fits ? ScaledBytes{bytes, double{scale->data<float>()[0]}} : ScaledBytes{};
}

class Hoister {
 public:
  Hoister(Node* map, const ir::OpRegistry& registry)
      : map_(map),
        registry_(registry),
        body_(map->GetGraph("body")->Clone()),  // others may share the original
        sharded_(static_cast<size_t>(map->GetInt("sharded"))),
        kinds_(map->GetInts("output_kinds")) {}

  void Run() {
    FindProducts();
    if (products_.empty()) return;
    for (size_t k = products_.size(); k-- > 0;) {
      const auto index = static_cast<std::ptrdiff_t>(products_[k].output);
      body_->RemoveOutput(products_[k].output);
      kinds_.erase(kinds_.begin() + index);
    }
    kept_ = kinds_.size();
    for (Product& product : products_) {
      product.x_rows = RowsOf(AsBytes(product));
      product.d_rows = RowsOf(product.d);
    }
    EliminateDeadCode(*body_);
    Rebuild();
  }

 private:
  // Rows of the whole batch: output `index` of the new ShardMap, or input `index` of the old one.
  struct Rows {
    bool is_input = false;
    size_t index = 0;
  };
  struct Product {
    size_t output;
    Value* x;
    Value* d;
    std::string layer;
    double x_scale = 1;
    Rows x_rows = {};
    Rows d_rows = {};
  };

  void FindProducts() {
    const std::string batch = BatchSymbol(*body_, sharded_);
    if (batch.empty()) return;
    for (size_t i = 0; i < body_->outputs().size(); ++i) {
      const Value* output = body_->outputs()[i];
      const auto& outputs = body_->outputs();
      const bool alone =
          output->uses().empty() && std::count(outputs.begin(), outputs.end(), output) == 1;
      if (kinds_.at(i) != kPartialOutput || !alone)
        continue;  // who else uses it needs it in the shard
      Value* x = TransposedFactor(output->producer());
      if (x == nullptr) continue;
      Value* d = output->producer()->input(1);
      if (!IsRowsMatrix(x, batch) || !IsRowsMatrix(d, batch)) continue;
      products_.push_back({i, x, d, output->producer()->layer()});
    }
  }

  // What crosses from the shards to the tiles as bytes is a quarter of what it is as f32.
  Value* AsBytes(Product& product) {
    const ScaledBytes from = BytesBehind(product.x);
    const ir::Dimension columns = product.x->type().dim(1);
    if (from.bytes == nullptr || !columns.is_static()) return product.x;
    product.x_scale = from.scale;
    if (from.bytes->type().rank() == 2) return from.bytes;
    ir::Builder builder = BuilderBefore(body_->nodes().front(), registry_);
    return builder.Op("Reshape", {from.bytes, builder.Ints({0, columns.value()})});
  }

  Rows RowsOf(Value* value) {
    const auto& inputs = body_->inputs();
    const auto input = std::find(inputs.begin(), inputs.end(), value);
    if (input != inputs.end()) {
      const auto index = static_cast<size_t>(input - inputs.begin());
      if (index < sharded_) return {true, index};
    }
    for (size_t i = 0; i < kinds_.size(); ++i) {
      if (kinds_[i] == kRowsOutput && body_->outputs()[i] == value) return {false, i};
    }
    body_->AddOutput(value, "rows_" + std::to_string(value->id()));
    kinds_.push_back(kRowsOutput);
    return {false, kinds_.size() - 1};
  }

  void Rebuild() {
    ir::Builder builder = BuilderBefore(map_, registry_);
    std::vector<Value*> outputs;
    if (!kinds_.empty()) {
      ir::Attributes attributes = map_->attributes();
      attributes["body"] = std::shared_ptr<ir::Graph>(std::move(body_));
      attributes["output_kinds"] = kinds_;
      outputs = builder.Ops("ingot.ShardMap", {map_->inputs().begin(), map_->inputs().end()},
                            kinds_.size(), std::move(attributes));
      outputs[0]->producer()->set_name(map_->name());
    }
    const auto rows = [&](const Rows& from) {
      return from.is_input ? map_->input(from.index) : outputs[from.index];
    };
    std::vector<Value*> replacements(map_->outputs().size(), nullptr);
    for (const Product& product : products_) {
      builder.set_layer(product.layer);
      replacements[product.output] =
          builder.Op("ingot.ShardMatMul", {rows(product.x_rows), rows(product.d_rows)},
                     {{"shards", map_->GetInt("shards")}, {"x_scale", product.x_scale}});
    }
    size_t next = 0;
    for (size_t i = 0; i < replacements.size(); ++i) {
      if (replacements[i] == nullptr) replacements[i] = outputs[next++];
      replacements[i]->set_name(map_->output(i)->name());
      map_->graph()->ReplaceAllUses(map_->output(i), replacements[i]);
    }
    INGOT_ASSERT(next == kept_, "every output that stays has its place");
    map_->graph()->RemoveNode(map_);
  }

  Node* map_;
  const ir::OpRegistry& registry_;
  std::unique_ptr<ir::Graph> body_;
  size_t sharded_;
  std::vector<int64_t> kinds_;
  size_t kept_ = 0;  // outputs of the old ShardMap that stay
  std::vector<Product> products_;
};

}  // namespace

void HoistWeightGradients(ir::Graph& graph, const ir::OpRegistry& registry) {
  for (Node* node : graph.nodes()) {
    if (Is(node, "ingot.ShardMap")) Hoister(node, registry).Run();
  }
}

}  // namespace ingot::passes
