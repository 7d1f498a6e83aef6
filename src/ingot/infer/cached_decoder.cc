// The network is built for a single place; attention alone looks at others, in its cache.
#include "ingot/infer/cached_decoder.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "backends/cpu/attention.h"
#include "backends/cpu/kernel_table.h"
#include "ingot/base/error.h"
#include "ingot/ir/op.h"

namespace ingot::infer {
namespace {

constexpr size_t kLine = 64;

std::byte* Aligned(std::vector<std::byte>& bytes) {
  const auto address = reinterpret_cast<uintptr_t>(bytes.data());
  return bytes.data() + (kLine - address % kLine) % kLine;
}

bool IsOp(const ir::Node& node, const char* name) {
  return node.op().FullName() == name;
}

// Whether the op computes each place from that place alone.
bool StaysInPlace(const ir::Node& node) {
  static constexpr std::array kOps = {"Gather",
                                      "MatMul",
                                      "Gemm",
                                      "ingot.FusedMatMul",
                                      "ingot.FusedElementwise",
                                      "LayerNormalization",
                                      "RMSNormalization",
                                      "Split",
                                      "Concat",
                                      "Transpose",
                                      "Reshape",
                                      "Squeeze",
                                      "Unsqueeze",
                                      "Flatten",
                                      "RotaryEmbedding"};
  if (node.op().elementwise) return true;
  for (const char* op : kOps) {
    if (IsOp(node, op)) return true;
  }
  const bool softmax = IsOp(node, "Softmax") || IsOp(node, "LogSoftmax");
  const int rank = node.input(0)->type().rank();
  return softmax && NormalizeAxis(node.GetInt("axis"), rank) == rank - 1;
}

bool IsCausalAttention(const ir::Node& node) {
  return IsOp(node, "Attention") && node.GetInt("is_causal") != 0 && node.inputs().size() == 3 &&
         node.input(0)->type().rank() == 3 &&
         (node.outputs().size() == 1 || !node.output(1)->is_used());
}

}  // namespace

std::unique_ptr<CachedDecoder> CachedDecoder::Make(const Predictor& predictor) {
  std::unique_ptr<CachedDecoder> decoder(new CachedDecoder);
  return decoder->Build(predictor) ? std::move(decoder) : nullptr;
}

bool CachedDecoder::Build(const Predictor& predictor) {
  const data::Field& input = predictor.input();
  if (train::PrecisionOf(predictor.job()) != DType::kF32 || input.shape.rank() != 1) return false;
  context_ = input.shape[0];
  token_ = Tensor(input.dtype, Shape{1, 1});
  nn::Network single;
  try {
    whole_ = predictor.NetworkFor(input.shape);
    single = predictor.NetworkFor(Shape{1});
  } catch (const Error&) {
    return false;  // layers that need a certain length
  }
  ir::Graph& graph = *single.graph;
  for (size_t i = graph.outputs().size(); i-- > 0;) {
    if (graph.output_names()[i] != "output") graph.RemoveOutput(i);
  }
  if (!ReplaceAngles(graph, *whole_.graph) || !PlaceParameters(predictor, single)) return false;
  passes::PassRunner runner;
  body_ = compiler::MakeShardBody(graph, 1, predictor.registry(), runner);
  arena_.resize(body_.plan.arena_bytes + kLine);
  const Shape output = body_.graph->outputs()[0]->type().shape();
  output_.resize(static_cast<size_t>(output.size()));
  size_t scratch = 0;
  for (const ir::Node* node : body_.graph->nodes()) {
    if (node->op_type() == "Constant" || body_.plan.IsView(*node)) continue;
    if (!Emit(*node)) return false;
    const Instruction& last = instructions_.back();
    scratch = std::max(
        scratch, last.kernel != nullptr
                     ? last.kernel->scratch_bytes()
                     : cpu::AttentionScratchFloats(caches_[last.cache].sizes) * sizeof(float));
  }
  scratch_.resize(scratch + kLine);
  return true;
}

// The angles of rotary positions are constants of all places: they become inputs that are read at
// the position.
bool CachedDecoder::ReplaceAngles(ir::Graph& graph, const ir::Graph& whole) {
  const std::vector<ir::Node*> nodes = graph.nodes();
  const std::vector<ir::Node*> others = whole.nodes();
  if (nodes.size() != others.size()) return false;
  for (size_t n = 0; n < nodes.size(); ++n) {
    if (nodes[n]->op_type() != others[n]->op_type()) return false;
    if (!IsOp(*nodes[n], "RotaryEmbedding")) continue;
    for (const size_t i : {size_t{1}, size_t{2}}) {
      const ir::Node* table = others[n]->input(i)->producer();
      if (table == nullptr || table->op_type() != "Constant") return false;
      const std::string name = "angles." + std::to_string(n) + "." + std::to_string(i);
      const Tensor angles = table->GetTensor("value");
      tensors_[name] = angles;
      rows_[name] = angles.bytes() / static_cast<size_t>(angles.shape()[0]);
      nodes[n]->SetInput(
          i, graph.AddInput(name, ir::Type::Tensor(angles.dtype(), Shape{1, angles.shape()[1]}),
                            ir::Role::kParameter));
    }
  }
  return true;
}

// Weights are the same for every place, but for tables with a row for each.
bool CachedDecoder::PlaceParameters(const Predictor& predictor, const nn::Network& single) {
  for (const nn::ParameterSpec& spec : single.parameters) {
    const auto found =
        std::find_if(predictor.parameters().begin(), predictor.parameters().end(),
                     [&](const formats::NamedTensor& tensor) { return tensor.name == spec.name; });
    if (found == predictor.parameters().end()) return false;
    const Tensor& tensor = found->tensor;
    tensors_[spec.name] = tensor;
    if (tensor.shape() == spec.shape) continue;
    const bool rows = tensor.shape().rank() == 2 && spec.shape.rank() == 2 && spec.shape[0] == 1 &&
                      tensor.shape()[0] == context_ && tensor.shape()[1] == spec.shape[1];
    if (!rows) return false;
    rows_[spec.name] = tensor.bytes() / static_cast<size_t>(context_);
  }
  return true;
}

CachedDecoder::Place CachedDecoder::PlaceOf(const ir::Value* value) {
  if (value == nullptr) return {};
  const passes::Placement& placement = body_.plan.at(value);
  if (placement.in_arena) return {Aligned(arena_) + placement.offset};
  const ir::Value* storage = placement.storage == nullptr ? value : placement.storage;
  if (storage == body_.graph->outputs()[0]) {
    return {reinterpret_cast<std::byte*>(output_.data())};
  }
  if (storage->producer() != nullptr) {
    return {const_cast<std::byte*>(storage->producer()->GetTensor("value").raw())};
  }
  if (storage == body_.graph->inputs()[0]) return {token_.raw()};
  Place place{const_cast<std::byte*>(tensors_.at(storage->name()).raw())};
  const auto row = rows_.find(storage->name());
  if (row != rows_.end()) place.row = row->second;
  return place;
}

bool CachedDecoder::Emit(const ir::Node& node) {
  Instruction instruction;
  for (const ir::Value* value : node.inputs()) instruction.operands.push_back(PlaceOf(value));
  if (IsCausalAttention(node)) {
    Cache cache;
    const auto dims = [&](size_t i, int64_t length) {
      std::vector<int64_t> extents = node.input(i)->type().shape().dims();
      extents[1] = length;
      return extents;
    };
    cache.sizes = ops::SizesOfAttention(node, dims(0, 1), dims(1, context_), dims(2, context_), {});
    cache.sizes.causal = false;
    cache.key_row = static_cast<size_t>(dims(1, 1)[2]);
    cache.value_row = static_cast<size_t>(dims(2, 1)[2]);
    cache.keys.resize(cache.key_row * static_cast<size_t>(context_));
    cache.values.resize(cache.value_row * static_cast<size_t>(context_));
    instruction.cache = caches_.size();
    caches_.push_back(std::move(cache));
    instruction.operands.push_back(PlaceOf(node.output()));
  } else {
    if (!StaysInPlace(node)) return false;
    instruction.kernel = cpu::MakeKernel(node);
    for (const ir::Value* value : node.outputs()) instruction.operands.push_back(PlaceOf(value));
  }
  instructions_.push_back(std::move(instruction));
  return true;
}

void CachedDecoder::Attend(const Instruction& instruction) {
  Cache& cache = caches_[instruction.cache];
  const auto operand = [&](size_t i) {
    return reinterpret_cast<float*>(instruction.operands[i].base);
  };
  const auto at = static_cast<size_t>(position_);
  std::copy_n(operand(1), cache.key_row, cache.keys.data() + at * cache.key_row);
  std::copy_n(operand(2), cache.value_row, cache.values.data() + at * cache.value_row);
  ops::AttentionSizes sizes = cache.sizes;
  sizes.key_length = position_ + 1;
  cpu::Attention(sizes, operand(0), cache.keys.data(), cache.values.data(), {}, operand(3), nullptr,
                 reinterpret_cast<float*>(Aligned(scratch_)));
}

std::span<const float> CachedDecoder::Next(int64_t token) {
  INGOT_ASSERT(position_ < context_, "the context is full");
  ConvertElements(&token, DType::kI64, token_.raw(), token_.dtype(), 1);
  std::array<void*, 32> operands{};
  for (const Instruction& instruction : instructions_) {
    if (instruction.kernel == nullptr) {
      Attend(instruction);
      continue;
    }
    const size_t count = instruction.operands.size();
    INGOT_ASSERT(count <= operands.size(), "too many operands");
    for (size_t i = 0; i < count; ++i) {
      const Place& place = instruction.operands[i];
      operands[i] =
          place.base == nullptr ? nullptr : place.base + place.row * static_cast<size_t>(position_);
    }
    instruction.kernel->Run({operands.data(), count}, Aligned(scratch_));
  }
  ++position_;
  return output_;
}

}  // namespace ingot::infer
