// Follows the samples' axis through the graph.
#include "ingot/compiler/batch_split.h"

#include <algorithm>
#include <array>
#include <set>
#include <string_view>

#include "ingot/ir/op.h"
#include "ingot/passes/rewrite.h"

namespace ingot::compiler {
namespace {

using ir::Node;
using ir::Value;

// What a part's layers write and read at once stays in the last-level cache.
constexpr int64_t kMostLiveBytes = int64_t{8} << 20;
// Below this a whole batch stays in the caches anyway.
constexpr int64_t kWorthSplitting = int64_t{4} << 20;

// Ops whose first axis is the samples' one, in the first input and the output, and whose other
// inputs are shared by all samples.
constexpr std::array<std::string_view, 17> kBySample = {
    "Conv",          "MaxPool",    "AveragePool",        "GlobalAveragePool",
    "GlobalMaxPool", "LRN",        "BatchNormalization", "InstanceNormalization",
    "Gemm",          "MatMul",     "QuantizeLinear",     "DequantizeLinear",
    "Softmax",       "LogSoftmax", "Transpose",          "Flatten",
    "ReduceMean"};

bool IsOneOf(const Node& node, std::string_view name) {
  return node.domain().empty() && node.op_type() == name;
}

int64_t BytesOf(const Value* value) {
  return value->type().shape().size() * static_cast<int64_t>(ItemSize(value->type().dtype()));
}

int64_t FirstExtent(const Value* value) {
  const Shape& shape = value->type().shape();
  return shape.rank() == 0 ? 1 : shape[0];
}

class SampleAxis {
 public:
  SampleAxis(const ir::Graph& graph, int64_t batch) : batch_(batch) {
    by_sample_.insert(graph.inputs().begin(), graph.inputs().end());
    for (const Value* input : graph.inputs()) known_ = known_ && HasAxis(input);
    for (const Node* node : graph.nodes()) {
      if (!known_) return;
      if (!passes::Is(node, "Constant")) Follow(*node);
    }
    for (const Value* output : graph.outputs()) known_ = known_ && IsBySample(output);
  }

  bool known() const { return known_; }
  bool IsBySample(const Value* value) const { return by_sample_.count(value) > 0; }

 private:
  bool HasAxis(const Value* value) const {
    return value->type().is_static() && value->type().shape().rank() > 0 &&
           FirstExtent(value) == batch_;
  }

  void Follow(const Node& node) {
    const auto inputs = node.inputs();
    const bool any = std::any_of(inputs.begin(), inputs.end(),
                                 [&](const Value* input) { return IsBySample(input); });
    for (const Value* output : node.outputs()) known_ = known_ && output->type().is_static();
    if (!any || !known_) return;
    known_ = Keeps(node);
    for (const Value* output : node.outputs()) {
      known_ = known_ && HasAxis(output);
      by_sample_.insert(output);
    }
  }

  // Whether a sample of the output is made of that sample of the inputs.
  bool Keeps(const Node& node) const {
    if (node.op().elementwise && !node.op().never_merged) return KeepsElementwise(node);
    if (IsOneOf(node, "Concat")) {
      const int64_t axis = node.GetInt("axis", 0);
      return axis > 0 && AllBySample(node);
    }
    if (passes::Is(&node, "ingot.QuantizedAdd")) {  // of one shape
      return IsBySample(node.input(0)) && IsBySample(node.input(1));
    }
    if (!IsBySample(node.input(0))) return false;
    for (size_t i = 1; i < node.inputs().size(); ++i) {
      if (node.input(i) != nullptr && IsBySample(node.input(i))) return false;
    }
    if (IsOneOf(node, "Identity") || IsOneOf(node, "Dropout")) return node.outputs().size() == 1;
    // Bytes as they are, under the same first axis.
    if (IsOneOf(node, "Reshape") || IsOneOf(node, "Squeeze") || IsOneOf(node, "Unsqueeze")) {
      return HasAxis(node.output());
    }
    if (passes::Is(&node, "ingot.QuantizedConv")) return true;
    if (passes::Is(&node, "ingot.QuantizedMatMul")) return KeepsRows(node);
    const bool known = std::any_of(kBySample.begin(), kBySample.end(),
                                   [&](std::string_view name) { return IsOneOf(node, name); });
    return known && KeepsByAttributes(node);
  }

  bool AllBySample(const Node& node) const {
    const auto inputs = node.inputs();
    return std::all_of(inputs.begin(), inputs.end(),
                       [&](const Value* input) { return IsBySample(input); });
  }

  bool KeepsElementwise(const Node& node) const {
    if (node.outputs().size() != 1 || !node.output()->type().is_static()) return false;
    const int rank = node.output()->type().shape().rank();
    for (const Value* input : node.inputs()) {
      if (input == nullptr) continue;
      if (!input->type().is_static()) return false;
      const int own = input->type().shape().rank();
      if (IsBySample(input) ? own != rank : own == rank && FirstExtent(input) != 1) return false;
    }
    return true;
  }

  static bool KeepsRows(const Node& product) {
    return product.input(0)->type().shape().rank() > 1 && product.input(1)->type().is_static() &&
           product.input(1)->type().shape().rank() == 2;
  }

  bool KeepsByAttributes(const Node& node) const {
    const int rank = node.input(0)->type().shape().rank();
    const auto past_first = [&](int64_t axis) { return axis > 0 || (axis < 0 && axis + rank > 0); };
    if (IsOneOf(node, "Gemm")) {
      const Value* added = node.input(2);
      return node.GetInt("transA", 0) == 0 &&
             (added == nullptr || added->type().shape().rank() < 2 || FirstExtent(added) == 1);
    }
    if (IsOneOf(node, "MatMul")) return KeepsRows(node);
    if (IsOneOf(node, "BatchNormalization") && node.GetInt("training_mode", 0) != 0) return false;
    if (IsOneOf(node, "QuantizeLinear") || IsOneOf(node, "DequantizeLinear")) {
      return node.input(1)->type().shape().size() == 1 || past_first(node.GetInt("axis", 1));
    }
    if (IsOneOf(node, "Softmax") || IsOneOf(node, "LogSoftmax")) {
      return past_first(node.GetInt("axis", -1));
    }
    if (IsOneOf(node, "Transpose")) return passes::PermutationOf(node)[0] == 0;
    if (IsOneOf(node, "Flatten")) return node.GetInt("axis", 1) == 1;
    if (IsOneOf(node, "ReduceMean")) {
      const Tensor* given = passes::ConstantOf(node.input(1));
      std::vector<int64_t> axes;
      if (given != nullptr && given->dtype() == DType::kI64) {
        axes.assign(given->data<int64_t>().begin(), given->data<int64_t>().end());
      } else if (const std::vector<int64_t>* listed = node.FindInts("axes")) {
        axes = *listed;
      }
      return !axes.empty() && std::all_of(axes.begin(), axes.end(), past_first);
    }
    return node.outputs().size() == 1;
  }

  int64_t batch_;
  bool known_ = true;
  std::set<const Value*> by_sample_;
};

}  // namespace

bool IsBySample(const ir::Graph& graph, int64_t batch) {
  return SampleAxis(graph, batch).known();
}

int64_t SamplesAtOnce(const ir::Graph& graph, int64_t batch) {
  if (batch < 2) return batch;
  const SampleAxis axis(graph, batch);
  if (!axis.known()) return batch;
  int64_t weights = 0, written = 0, live = 0;  // bytes; the latter two of a sample
  for (const Node* node : graph.nodes()) {
    const bool fuses = node->op().elementwise;  // as a rule, into the node before it
    int64_t at_once = 0;
    for (const Value* input : node->inputs()) {
      if (input == nullptr) continue;
      if (axis.IsBySample(input)) {
        at_once += BytesOf(input) / batch;
      } else if (input->type().is_static()) {
        weights += BytesOf(input);
      }
    }
    for (const Value* output : node->outputs()) {
      if (!axis.IsBySample(output)) continue;
      const int64_t bytes = BytesOf(output) / batch;
      at_once += bytes;
      if (!fuses) written += bytes;
    }
    if (!fuses) live = std::max(live, at_once);
  }
  if (written * batch < kWorthSplitting) return batch;
  // At most as many weights are read again as there are bytes that stay in the caches instead.
  for (int64_t samples = 1; samples <= batch / 2; ++samples) {
    if (batch % samples != 0 || weights > samples * written) continue;
    return samples * live <= kMostLiveBytes ? samples : batch;
  }
  return batch;
}

}  // namespace ingot::compiler
