// LSTM, GRU and RNN over sequences of different lengths (input sequence_lens, as PyTorch writes
// packed sequences): the op itself goes over all steps, and beside it stands what makes that the
// same. Beyond its end a sequence gives zeros, and its last state is that of its last step. A
// reversed direction is one that goes forwards over sequences that were reversed, each within its
// length.
#include <string>
#include <utility>
#include <vector>

#include "ingot/onnx/node.h"

namespace ingot::onnx {
namespace {

using ir::Builder;
using ir::Value;

// Layout 0: X [T, B, C], lengths [B]; Y [T, 1, B, H] of one direction, states [1, B, H].
class OwnLengths {
 public:
  OwnLengths(const ImportedNode& node, Builder& builder) : node_(node), b_(builder) {
    lengths_ = b_.Op("Cast", {node.input(4)}, {{"to", static_cast<int64_t>(DType::kI64)}});
    Value* steps = b_.Op(
        "Squeeze", {b_.Op("Shape", {node.input(0)}, {{"start", int64_t{0}}, {"end", int64_t{1}}})});
    const auto scalar = [&](int64_t value) {
      return b_.Constant(Tensor::Of<int64_t>({}, {value}));
    };
    Value* step = b_.Op("Range", {scalar(0), steps, scalar(1)});
    Value* is_there = b_.Op("Less", {Unsqueeze(step, {1}), Unsqueeze(lengths_, {0})});
    is_there_ = Unsqueeze(is_there, {1, 3});
    zero_ = b_.ScalarLike(node.input(0), 0);
    Value* last = b_.Op("Max", {b_.Sub(lengths_, scalar(1)), scalar(0)});
    last_ = Unsqueeze(last, {0, 1, 3});
    is_empty_ = Unsqueeze(b_.Op("Equal", {lengths_, scalar(0)}), {0, 2});
  }

  // Y and the last states, as many as the node has outputs.
  std::vector<Value*> Run() {
    const std::string direction = node_.String("direction", "forward");
    if (direction != "bidirectional") return RunOne(-1, direction == "reverse");
    const std::vector<Value*> forwards = RunOne(0, false), backwards = RunOne(1, true);
    std::vector<Value*> outputs;
    for (size_t i = 0; i < forwards.size(); ++i) {
      outputs.push_back(
          b_.Op("Concat", {forwards[i], backwards[i]}, {{"axis", int64_t{i == 0 ? 1 : 0}}}));
    }
    return outputs;
  }

 private:
  Value* Unsqueeze(Value* value, const std::vector<int64_t>& axes) {
    return b_.Op("Unsqueeze", {value, b_.Ints(axes)});
  }

  // The part of an input that belongs to a direction; -1: there is but one.
  Value* PartOf(size_t input, int64_t direction) {
    Value* all = node_.input(input);
    if (all == nullptr || direction < 0) return all;
    return b_.Op("Slice", {all, b_.Ints({direction}), b_.Ints({direction + 1}), b_.Ints({0})});
  }

  // [T, B, ...]: each sequence from its end to its beginning.
  Value* Reversed(Value* sequences) {
    return b_.Op("ReverseSequence", {sequences, lengths_},
                 {{"batch_axis", int64_t{1}}, {"time_axis", int64_t{0}}});
  }

  std::vector<Value*> RunOne(int64_t direction, bool is_reversed) {
    const bool is_lstm = node_.op == "LSTM";
    std::vector<Value*> inputs = {is_reversed ? Reversed(node_.input(0)) : node_.input(0)};
    for (const size_t i : {1, 2, 3}) inputs.push_back(PartOf(i, direction));
    inputs.push_back(nullptr);
    Value* states[2] = {PartOf(5, direction), is_lstm ? PartOf(6, direction) : nullptr};
    inputs.push_back(states[0]);
    if (is_lstm) inputs.push_back(states[1]);
    ir::Attributes attributes = node_.attributes;
    attributes["direction"] = std::string("forward");
    // The cells of all steps are in what an LSTM keeps for a gradient, behind its four gates.
    const bool wants_cells = is_lstm && node_.outputs > 2;
    const std::vector<Value*> all =
        b_.Ops(node_.op, std::move(inputs), wants_cells ? 4 : 1, std::move(attributes));
    std::vector<Value*> outputs = {all[0]};
    if (is_reversed) {
      Value* y = b_.Op("Squeeze", {all[0], b_.Ints({1})});
      outputs[0] = Unsqueeze(Reversed(y), {1});
    }
    outputs[0] = b_.Op("Where", {is_there_, outputs[0], zero_});
    if (node_.outputs > 1) outputs.push_back(LastOf(all[0], states[0]));
    if (wants_cells) {
      const std::vector<Value*> kept =
          b_.Ops("Split", {all[3]}, 5, {{"axis", int64_t{3}}, {"num_outputs", int64_t{5}}});
      outputs.push_back(LastOf(kept[4], states[1]));
    }
    return outputs;
  }

  // Of [T, 1, B, H] the last step of each sequence; of an empty one its first state.
  Value* LastOf(Value* steps, Value* first) {
    Value* shape = b_.Op("Shape", {steps}, {{"start", int64_t{1}}});
    Value* places =
        b_.Op("Expand", {last_, b_.Op("Concat", {b_.Ints({1}), shape}, {{"axis", int64_t{0}}})});
    Value* last = b_.Op("GatherElements", {steps, places}, {{"axis", int64_t{0}}});
    last = b_.Op("Squeeze", {last, b_.Ints({0})});
    return b_.Op("Where", {is_empty_, first == nullptr ? zero_ : first, last});
  }

  const ImportedNode& node_;
  Builder& b_;
  Value* lengths_;   // i64 [B]
  Value* is_there_;  // [T, 1, B, 1]
  Value* last_;      // i64 [1, 1, B, 1]: the last step
  Value* is_empty_;  // [1, B, 1]
  Value* zero_;
};

Outputs WithLengths(ImportedNode& node, Builder& builder) {
  if (node.input(4) == nullptr || node.input(0) == nullptr || node.Int("layout", 0) != 0) {
    return std::nullopt;
  }
  return OwnLengths(node, builder).Run();
}

}  // namespace

std::vector<VersionChange> SequenceLengthChanges() {
  return {{"LSTM", "", kEveryVersion, WithLengths},
          {"GRU", "", kEveryVersion, WithLengths},
          {"RNN", "", kEveryVersion, WithLengths}};
}

}  // namespace ingot::onnx
