// Elementwise ops of f32, one or a fused chain: the output is walked in blocks that stay in the
// first-level cache, each op of the chain in turn on the block.
#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <optional>

#include "backends/cpu/kernel_factories.h"
#include "backends/cpu/vector_ops.h"
#include "ingot/ir/op.h"
#include "ingot/runtime/team.h"
#include "ingot/tensor/tensor.h"

namespace ingot::cpu {
namespace {

constexpr size_t kBlock = 512;
constexpr size_t kMostSlots = 32;
constexpr size_t kWorthSharing = 1 << 16;  // elements times ops, for several threads

// How an input reaches the elements of the output.
struct Access {
  enum class Kind : uint8_t { kDense, kScalar, kRow, kGeneral, kAbsent };
  Kind kind = Kind::kDense;
  size_t period = 0;                 // kRow: the input repeats after so many elements
  std::vector<int64_t> output_dims;  // kGeneral
  std::vector<int64_t> strides;      // kGeneral: 0 along broadcast axes
};

struct Link {
  VectorOp op;
  float alpha;
  int a, b, out;  // slots of blocks: inputs first, then results
};

struct Chain {
  std::vector<Access> inputs;
  std::vector<float> constants;  // slots behind the inputs
  std::vector<Link> links;
  size_t count = 0;
  size_t slots = 0;
};

class ElementwiseKernel : public runtime::SharedKernel {
 public:
  ElementwiseKernel(Chain chain, std::string name)
      : chain_(std::move(chain)), name_(std::move(name)) {}

  void Run(std::span<void* const> operands, std::byte* scratch) const override {
    RunRange(operands, scratch, 0, chain_.count);
  }
  void RunShared(std::span<void* const> operands, std::byte* scratch, size_t scratch_stride,
                 runtime::Team& team) const override {
    if (team.threads() == 1 || chain_.count * chain_.links.size() < kWorthSharing) {
      return RunRange(operands, scratch, 0, chain_.count);
    }
    const size_t pieces = team.threads() * 4;
    const size_t piece = (chain_.count / pieces + kBlock) / kBlock * kBlock;
    team.ForEach((chain_.count + piece - 1) / piece, [&](size_t index, size_t thread) {
      RunRange(operands, scratch + thread * scratch_stride, index * piece,
               std::min(chain_.count, (index + 1) * piece));
    });
  }
  size_t scratch_bytes() const override { return chain_.slots * kBlock * sizeof(float); }
  std::string name() const override { return name_; }

 private:
  void RunRange(std::span<void* const> operands, std::byte* scratch, size_t begin,
                size_t end) const {
    std::array<const float*, kMostSlots> read{};
    auto* blocks = reinterpret_cast<float*>(scratch);
    auto* out = static_cast<float*>(operands[chain_.inputs.size()]);
    FillScalars(operands, blocks, read);
    for (size_t at = begin; at < end; at += kBlock) {
      const size_t here = std::min(kBlock, end - at);
      for (size_t i = 0; i < chain_.inputs.size(); ++i) {
        const auto* input = static_cast<const float*>(operands[i]);
        LoadBlock(chain_.inputs[i], input, at, here, blocks + i * kBlock, read[i]);
      }
      for (const Link& link : chain_.links) {
        const bool last = &link == &chain_.links.back();
        float* to = last ? out + at : blocks + static_cast<size_t>(link.out) * kBlock;
        ApplyVectorOp(link.op, link.alpha, read[static_cast<size_t>(link.a)],
                      read[static_cast<size_t>(link.b)], to, here);
        read[static_cast<size_t>(link.out)] = to;
      }
    }
  }
  // Blocks that are the same throughout: scalars and constants.
  void FillScalars(std::span<void* const> operands, float* blocks,
                   std::array<const float*, kMostSlots>& read) const {
    const size_t inputs = chain_.inputs.size();
    for (size_t i = 0; i < inputs + chain_.constants.size(); ++i) {
      float value = 0;
      if (i >= inputs) {
        value = chain_.constants[i - inputs];
      } else if (chain_.inputs[i].kind == Access::Kind::kScalar) {
        value = *static_cast<const float*>(operands[i]);
      } else {
        continue;
      }
      std::fill_n(blocks + i * kBlock, std::min(kBlock, chain_.count), value);
      read[i] = blocks + i * kBlock;
    }
  }

  static void LoadBlock(const Access& access, const float* input, size_t at, size_t count,
                        float* block, const float*& read) {
    switch (access.kind) {
      case Access::Kind::kScalar:
      case Access::Kind::kAbsent:
        return;
      case Access::Kind::kDense:
        read = input + at;
        return;
      case Access::Kind::kRow: {
        size_t from = at % access.period;
        for (size_t done = 0; done < count; from = 0) {
          const size_t run = std::min(access.period - from, count - done);
          std::memcpy(block + done, input + from, run * sizeof(float));
          done += run;
        }
        read = block;
        return;
      }
      case Access::Kind::kGeneral: {
        LoadGeneral(access, input, at, count, block);
        read = block;
        return;
      }
    }
  }

  // Along the last axis the input is dense or one value: run after run.
  static void LoadGeneral(const Access& access, const float* input, size_t at, size_t count,
                          float* block) {
    const size_t rank = access.output_dims.size();
    const auto last = static_cast<size_t>(access.output_dims[rank - 1]);
    const bool dense = access.strides[rank - 1] != 0;
    for (size_t done = 0; done < count;) {
      auto rest = static_cast<int64_t>((at + done) / last);
      const size_t inside = (at + done) % last;
      int64_t offset = 0;
      for (size_t axis = rank - 1; axis-- > 0; rest /= access.output_dims[axis]) {
        offset += rest % access.output_dims[axis] * access.strides[axis];
      }
      const size_t run = std::min(last - inside, count - done);
      if (dense) {
        std::memcpy(block + done, input + offset + inside, run * sizeof(float));
      } else {
        std::fill_n(block + done, run, input[offset]);
      }
      done += run;
    }
  }

  Chain chain_;
  std::string name_;
};

struct Entry {
  VectorOp op;
  int inputs;
};

const Entry* FindVectorOp(const ir::Node& node) {
  static const std::map<std::string, Entry, std::less<>> table = {
      {"Add", {VectorOp::kAdd, 2}},
      {"Sub", {VectorOp::kSub, 2}},
      {"Mul", {VectorOp::kMul, 2}},
      {"Div", {VectorOp::kDiv, 2}},
      {"Max", {VectorOp::kMax, 2}},
      {"Min", {VectorOp::kMin, 2}},
      {"Neg", {VectorOp::kNeg, 1}},
      {"Abs", {VectorOp::kAbs, 1}},
      {"Exp", {VectorOp::kExp, 1}},
      {"Log", {VectorOp::kLog, 1}},
      {"Sqrt", {VectorOp::kSqrt, 1}},
      {"Reciprocal", {VectorOp::kReciprocal, 1}},
      {"Identity", {VectorOp::kIdentity, 1}},
      {"Relu", {VectorOp::kRelu, 1}},
      {"LeakyRelu", {VectorOp::kLeakyRelu, 1}},
      {"Elu", {VectorOp::kElu, 1}},
      {"Erf", {VectorOp::kErf, 1}},
      {"HardSwish", {VectorOp::kHardSwish, 1}},
      {"Sigmoid", {VectorOp::kSigmoid, 1}},
      {"Tanh", {VectorOp::kTanh, 1}},
      {"Gelu", {VectorOp::kGelu, 1}},
      {"ingot.RoundTo", {VectorOp::kRoundToBf16, 1}},
      {"ingot.ReluGradient", {VectorOp::kReluGradient, 2}},
      {"ingot.LeakyReluGradient", {VectorOp::kLeakyReluGradient, 2}},
      {"ingot.EluGradient", {VectorOp::kEluGradient, 2}},
      {"ingot.SigmoidGradient", {VectorOp::kSigmoidGradient, 2}},
      {"ingot.TanhGradient", {VectorOp::kTanhGradient, 2}},
      {"ingot.GeluGradient", {VectorOp::kGeluGradient, 2}},
  };
  const auto entry = table.find(node.op().FullName());
  if (entry == table.end()) return nullptr;
  if (static_cast<int>(node.inputs().size()) != entry->second.inputs) return nullptr;
  return &entry->second;
}

bool IsFloatTensor(const ir::Value* value) {
  return value != nullptr && value->type().is_static() && value->type().dtype() == DType::kF32;
}

// Neighbouring axes that are walked as one become one: runs get longer.
void MergeAxes(Access& access) {
  std::vector<int64_t> dims, strides;
  for (size_t i = 0; i < access.output_dims.size(); ++i) {
    const int64_t dim = access.output_dims[i], stride = access.strides[i];
    if (dim == 1) continue;
    if (!dims.empty() && strides.back() == stride * dim) {
      dims.back() *= dim;
      strides.back() = stride;
      continue;
    }
    dims.push_back(dim);
    strides.push_back(stride);
  }
  access.output_dims = std::move(dims);
  access.strides = std::move(strides);
}

Access AccessOf(const Shape& input, const Shape& output) {
  Access access;
  if (input.size() == output.size()) return access;
  if (input.size() == 1) {
    access.kind = Access::Kind::kScalar;
    return access;
  }
  // A suffix of the output's shape (after leading ones) repeats.
  size_t lead = 0;
  while (lead < input.dims().size() && input.dims()[lead] == 1) ++lead;
  const size_t kept = input.dims().size() - lead;
  if (std::equal(input.dims().begin() + static_cast<std::ptrdiff_t>(lead), input.dims().end(),
                 output.dims().end() - static_cast<std::ptrdiff_t>(kept))) {
    access.kind = Access::Kind::kRow;
    access.period = static_cast<size_t>(input.size());
    return access;
  }
  access.kind = Access::Kind::kGeneral;
  access.output_dims = output.dims();
  const std::vector<int64_t> strides = Strides(input.dims());
  const size_t skip = output.dims().size() - input.dims().size();
  access.strides.assign(output.dims().size(), 0);
  for (size_t i = 0; i < strides.size(); ++i) {
    if (input.dims()[i] != 1) access.strides[skip + i] = strides[i];
  }
  MergeAxes(access);
  return access;
}

// Builds the chain of one node or of a fused body; false where an op is not covered.
class ChainBuilder {
 public:
  explicit ChainBuilder(const Shape& output) : output_(output) {
    chain_.count = static_cast<size_t>(output.size());
  }

  bool AddInput(const ir::Value* inside, const ir::Type& type) {
    if (!type.is_static() || type.dtype() != DType::kF32) return false;
    slot_of_[inside] = static_cast<int>(chain_.inputs.size());
    chain_.inputs.push_back(AccessOf(type.shape(), output_));
    return true;
  }
  void AddAbsentInput() {
    Access access;
    access.kind = Access::Kind::kAbsent;
    chain_.inputs.push_back(access);
  }
  bool AddConstant(const ir::Node& node) {
    const Tensor& value = node.GetTensor("value");
    if (value.size() != 1 || value.dtype() != DType::kF32) return false;
    slot_of_[node.output()] = static_cast<int>(chain_.inputs.size() + chain_.constants.size());
    chain_.constants.push_back(value.data<float>()[0]);
    return true;
  }
  // What AddNode will want of numbers, before any node is added.
  void Prepare(const ir::Node& node) {
    if (node.op_type() != "HardSigmoid") return;
    for (const double number : {node.GetFloat("alpha"), node.GetFloat("beta"), 0.0, 1.0}) {
      const auto value = static_cast<float>(number);
      if (!numbers_.emplace(value, First()).second) continue;
      chain_.constants.push_back(value);
    }
  }
  bool AddNode(const ir::Node& node) {
    if (node.op_type() == "HardSigmoid") return AddHardSigmoid(node);
    if (node.op_type() == "Swish") return AddSwish(node);
    if (node.op_type() == "Pow") return AddPower(node);
    if (node.op_type() == "Clip") return AddClip(node);
    if (node.op_type() == "ClipGradient") return AddClipGradient(node);
    const Entry* entry = FindVectorOp(node);
    if (entry == nullptr) return false;
    Link link{entry->op, 0, 0, 0, 0};
    if (node.op().FindAttribute("alpha") != nullptr) {
      link.alpha = static_cast<float>(node.GetFloat("alpha"));
    }
    if (node.op_type() == "Gelu" && node.GetString("approximate") == "tanh") {
      link.op = VectorOp::kGeluTanh;
    }
    if (node.op_type() == "GeluGradient" && node.GetString("approximate") == "tanh") {
      link.op = VectorOp::kGeluTanhGradient;
    }
    if (node.op_type() == "RoundTo" && static_cast<DType>(node.GetInt("to")) == DType::kF16) {
      link.op = VectorOp::kRoundToF16;
    }
    link.a = Slot(node.input(0));
    link.b = entry->inputs == 2 ? Slot(node.input(1)) : link.a;
    if (link.a < 0 || link.b < 0) return false;
    slot_of_[node.output()] = Push(link);
    return true;
  }
  bool Finish(const ir::Value* result) {
    if (chain_.links.empty() || Slot(result) != chain_.links.back().out) return false;
    chain_.slots = static_cast<size_t>(next_);
    return chain_.slots <= kMostSlots;
  }
  Chain Take() { return std::move(chain_); }

 private:
  // The slot of the result.
  int Push(Link link) {
    link.out = next_ < 0 ? First() : next_;
    next_ = link.out + 1;
    chain_.links.push_back(link);
    return link.out;
  }
  bool AddHardSigmoid(const ir::Node& node) {
    const int x = Slot(node.input(0));
    if (x < 0) return false;
    const auto number = [&](double value) { return numbers_.at(static_cast<float>(value)); };
    const int scaled = Push({VectorOp::kMul, 0, x, number(node.GetFloat("alpha")), 0});
    const int moved = Push({VectorOp::kAdd, 0, scaled, number(node.GetFloat("beta")), 0});
    const int above = Push({VectorOp::kAtLeast, 0, moved, number(0), 0});
    slot_of_[node.output()] = Push({VectorOp::kAtMost, 0, above, number(1), 0});
    return true;
  }
  bool AddSwish(const ir::Node& node) {
    const int x = Slot(node.input(0));
    if (x < 0 || node.GetFloat("alpha") != 1) return false;
    const int gate = Push({VectorOp::kSigmoid, 0, x, x, 0});
    slot_of_[node.output()] = Push({VectorOp::kMul, 0, x, gate, 0});
    return true;
  }
  // Squares, cubes and roots.
  bool AddPower(const ir::Node& node) {
    const std::optional<double> power = NumberOf(node.input(1));
    const int x = Slot(node.input(0));
    if (x < 0 || !power) return false;
    if (power == 2 || power == 3) {
      int result = Push({VectorOp::kMul, 0, x, x, 0});
      if (power == 3) result = Push({VectorOp::kMul, 0, result, x, 0});
      slot_of_[node.output()] = result;
      return true;
    }
    if (power != 0.5) return false;
    slot_of_[node.output()] = Push({VectorOp::kSqrt, 0, x, x, 0});
    return true;
  }
  // Clip(x, min, max); either bound may be absent.
  bool AddClip(const ir::Node& node) {
    int value = Slot(node.input(0));
    const VectorOp ops[] = {VectorOp::kAtLeast, VectorOp::kAtMost};
    for (size_t i = 0; i < 2; ++i) {
      if (node.input(1 + i) == nullptr) continue;
      const int bound = Slot(node.input(1 + i));
      if (value < 0 || bound < 0) return false;
      value = Push({ops[i], 0, value, bound, 0});
    }
    slot_of_[node.output()] = value;
    return value >= 0;
  }
  // ClipGradient(dy, x, min, max): dy where x is within the bounds.
  bool AddClipGradient(const ir::Node& node) {
    int value = Slot(node.input(0));
    const int x = Slot(node.input(1));
    const VectorOp ops[] = {VectorOp::kIsAtLeast, VectorOp::kIsAtMost};
    const VectorOp known_ops[] = {VectorOp::kKeepAtLeast, VectorOp::kKeepAtMost};
    for (size_t i = 0; i < 2; ++i) {
      if (node.input(2 + i) == nullptr) continue;
      const int bound = Slot(node.input(2 + i));
      if (value < 0 || x < 0 || bound < 0) return false;
      if (const std::optional<double> known = NumberOf(node.input(2 + i))) {
        value = Push({known_ops[i], static_cast<float>(*known), value, x, 0});
        continue;
      }
      const int within = Push({ops[i], 0, x, bound, 0});
      value = Push({VectorOp::kKeepWhere, 0, value, within, 0});
    }
    slot_of_[node.output()] = value;
    return value >= 0;
  }
  // Of a constant of one number.
  static std::optional<double> NumberOf(const ir::Value* value) {
    const ir::Node* producer = value->producer();
    if (producer == nullptr || producer->op().FullName() != "Constant") return std::nullopt;
    const Tensor& tensor = producer->GetTensor("value");
    if (tensor.size() != 1) return std::nullopt;
    return tensor.ToDoubles()[0];
  }
  int First() const { return static_cast<int>(chain_.inputs.size() + chain_.constants.size()); }
  int Slot(const ir::Value* value) const {
    const auto entry = slot_of_.find(value);
    return entry == slot_of_.end() ? -1 : entry->second;
  }

  const Shape output_;
  Chain chain_;
  std::map<const ir::Value*, int> slot_of_;
  std::map<float, int> numbers_;  // constants that ops want of themselves
  int next_ = -1;
};

}  // namespace

KernelPointer MakeElementwiseKernel(const ir::Node& node) {
  if (node.outputs().size() != 1 || !IsFloatTensor(node.output())) return nullptr;
  ChainBuilder builder(node.output()->type().shape());
  if (node.op_type() == "FusedElementwise") {
    const ir::Graph& body = *node.GetGraph("body");
    for (size_t i = 0; i < body.inputs().size(); ++i) {
      if (!IsFloatTensor(node.input(i)) ||
          !builder.AddInput(body.inputs()[i], node.input(i)->type())) {
        return nullptr;
      }
    }
    for (const ir::Node* inner : body.nodes()) {
      if (inner->op_type() != "Constant") {
        builder.Prepare(*inner);
      } else {
        builder.AddConstant(*inner);  // one of another type may still be an exponent
      }
    }
    for (const ir::Node* inner : body.nodes()) {
      if (inner->op_type() != "Constant" && !builder.AddNode(*inner)) return nullptr;
    }
    if (!builder.Finish(body.outputs()[0])) return nullptr;
    return std::make_shared<ElementwiseKernel>(builder.Take(), "elementwise_chain_f32");
  }
  std::map<const ir::Value*, bool> seen;
  for (const ir::Value* input : node.inputs()) {
    // A value that is there twice is read from its first place.
    const bool exponent = node.op_type() == "Pow" && input == node.input(1);
    if (input == nullptr || seen[input] || exponent) {
      builder.AddAbsentInput();
      continue;
    }
    if (!IsFloatTensor(input) || !builder.AddInput(input, input->type())) return nullptr;
    seen[input] = true;
  }
  builder.Prepare(node);
  if (!builder.AddNode(node) || !builder.Finish(node.output())) return nullptr;
  return std::make_shared<ElementwiseKernel>(builder.Take(), "elementwise_f32");
}

}  // namespace ingot::cpu
