// NumericFault: see numeric_fault.h.
#include "ingot/train/numeric_fault.h"

#include <cmath>
#include <numeric>
#include <span>
#include <utility>

#include "ingot/ir/op.h"
#include "ingot/ops/interpreter.h"

namespace ingot::train {
namespace {

double ValueAt(const Tensor& tensor, int64_t i) {
  return DispatchFloat("a finite check", tensor.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    return static_cast<double>(reinterpret_cast<const T*>(tensor.raw())[i]);
  });
}

std::string NameOf(double value) {
  if (std::isnan(value)) return "NaN";
  return value > 0 ? "infinity" : "-infinity";
}

// Rows of a tensor of `rows` rows that hold a value that is not finite, counted from `first`.
std::vector<int64_t> BadRows(const Tensor& tensor, int64_t rows, int64_t first) {
  std::vector<int64_t> bad;
  const int64_t row_size = tensor.size() / rows;
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t i = 0; i < row_size; ++i) {
      if (std::isfinite(ValueAt(tensor, row * row_size + i))) continue;
      bad.push_back(first + row);
      break;
    }
  }
  return bad;
}

bool HasRows(const Tensor& tensor, int64_t rows) {
  return rows > 0 && tensor.shape().rank() > 0 && tensor.shape()[0] == rows;
}

// Watches an interpretation; of several shards, the one whose fault is earliest in the body counts.
class Watch {
 public:
  explicit Watch(const ir::Graph& step) {
    // The place of every node in the order of execution, those of bodies before their owner.
    for (const ir::Node* node : step.nodes()) {
      if (node->HasAttribute("body")) {
        for (const ir::Node* inner : node->GetGraph("body")->nodes()) Number(inner);
      }
      Number(node);
    }
  }

  void OnShard(int64_t first_row, int64_t rows) {
    first_row_ = first_row;
    rows_ = rows;
    in_shard_ = true;
  }

  // Returns whether the interpretation should go on.
  bool OnNode(const ir::Node& node, std::span<const Tensor> outputs) {
    if (node.HasAttribute("body")) in_shard_ = false;  // the ShardMap itself: all shards are done
    const int64_t order = order_.at(&node);
    if (node.op_type() != "Constant" && (!fault_ || order < fault_order_)) {
      for (const Tensor& output : outputs) {
        if (Note(node, order, output)) break;
      }
    } else if (fault_ && order == fault_order_) {
      for (const Tensor& output : outputs) AddRows(output);
    }
    return in_shard_ || !fault_;
  }

  std::optional<NumericFault> Take() { return std::move(fault_); }

 private:
  void Number(const ir::Node* node) {
    const auto next = static_cast<int64_t>(order_.size());
    order_.emplace(node, next);
  }

  bool Note(const ir::Node& node, int64_t order, const Tensor& output) {
    const std::optional<int64_t> at = FirstNotFinite(output);
    if (!at) return false;
    fault_ = NumericFault{
        node.Describe(), node.op().FullName(), node.layer(), NameOf(ValueAt(output, *at)), {}};
    fault_order_ = order;
    AddRows(output);
    return true;
  }

  void AddRows(const Tensor& output) {
    if (!FirstNotFinite(output)) return;
    std::vector<int64_t>& rows = fault_->rows;
    if (!in_shard_) return;
    if (HasRows(output, rows_)) {
      const std::vector<int64_t> bad = BadRows(output, rows_, first_row_);
      rows.insert(rows.end(), bad.begin(), bad.end());
    } else {
      rows.resize(rows.size() + static_cast<size_t>(rows_));
      std::iota(rows.end() - rows_, rows.end(), first_row_);
    }
  }

  std::map<const ir::Node*, int64_t> order_;
  int64_t first_row_ = 0;
  int64_t rows_ = 0;
  bool in_shard_ = false;
  std::optional<NumericFault> fault_;
  int64_t fault_order_ = 0;
};

std::optional<NumericFault> FaultOfInput(const ir::Value& input, const Tensor& tensor) {
  const std::optional<int64_t> at = FirstNotFinite(tensor);
  if (!at) return std::nullopt;
  NumericFault fault;
  fault.value = NameOf(ValueAt(tensor, *at));
  const char* kind = "input";
  if (input.role() == ir::Role::kParameter) kind = "parameter";
  if (input.role() == ir::Role::kState) kind = "optimizer state";
  fault.place = std::string(kind) + " '" + input.name() + "'";
  if (input.role() == ir::Role::kData && tensor.shape().rank() > 0) {
    fault.rows = BadRows(tensor, tensor.shape()[0], 0);
  }
  return fault;
}

}  // namespace

std::optional<int64_t> FirstNotFinite(const Tensor& tensor) {
  if (tensor.empty() || !IsFloat(tensor.dtype())) return std::nullopt;
  for (int64_t i = 0; i < tensor.size(); ++i) {
    if (!std::isfinite(ValueAt(tensor, i))) return i;
  }
  return std::nullopt;
}

std::optional<NumericFault> FindNumericFault(const ir::Graph& step,
                                             const std::map<std::string, Tensor>& inputs) {
  for (const ir::Value* input : step.inputs()) {
    const auto found = inputs.find(input->name());
    if (found == inputs.end()) continue;
    if (auto fault = FaultOfInput(*input, found->second)) return fault;
  }
  Watch watch(step);
  ops::Interpret(
      step, inputs,
      [&](const ir::Node& node, std::span<const Tensor> outputs) {
        return watch.OnNode(node, outputs);
      },
      [&](int64_t, int64_t first_row, int64_t rows) { watch.OnShard(first_row, rows); });
  return watch.Take();
}

}  // namespace ingot::train
