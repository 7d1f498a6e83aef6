// CachedDecoder: a causal language model one token at a time. Keys and values of the tokens before
// are kept, so that a token costs one place of the network and not the whole window.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "ingot/compiler/shard_body.h"
#include "ingot/infer/predictor.h"
#include "ingot/nn/network.h"
#include "ingot/ops/attention.h"
#include "ingot/runtime/kernel.h"

namespace ingot::infer {

// Not safe for use by several threads at once. The scores are those of the whole window but for the
// rounding of f32.
class CachedDecoder {
 public:
  // The decoder of a model that takes tokens [length] and gives scores [length, vocabulary]; null
  // where its layers mix places in another way than causal attention does, or it is not f32.
  static std::unique_ptr<CachedDecoder> Make(const Predictor& predictor);

  // The scores [vocabulary] of what follows `token` at position(), which goes up by one and must be
  // below the context. Valid until the next call.
  std::span<const float> Next(int64_t token);
  // Tokens since the begin.
  int64_t position() const { return position_; }
  // Forgets them.
  void Reset() { position_ = 0; }

 private:
  // Where an operand lies; `row` bytes further on for each position.
  struct Place {
    std::byte* base = nullptr;
    size_t row = 0;
  };
  struct Instruction {
    std::shared_ptr<const runtime::Kernel> kernel;  // null: attention over the cache
    std::vector<Place> operands;
    size_t cache = 0;
  };
  struct Cache {
    ops::AttentionSizes sizes;  // of the whole context
    std::vector<float> keys, values;
    size_t key_row = 0, value_row = 0;  // floats
  };

  CachedDecoder() = default;
  bool Build(const Predictor& predictor);
  bool ReplaceAngles(ir::Graph& graph, const ir::Graph& whole);
  bool PlaceParameters(const Predictor& predictor, const nn::Network& single);
  bool Emit(const ir::Node& node);
  Place PlaceOf(const ir::Value* value);
  void Attend(const Instruction& instruction);

  int64_t context_ = 0;
  int64_t position_ = 0;
  nn::Network whole_;  // its constants hold the angles of all places
  compiler::ShardBody body_;
  std::map<std::string, Tensor> tensors_;  // inputs of the graph that stay: weights, angles
  std::map<std::string, size_t> rows_;     // of those that are read row by row: bytes
  Tensor token_;
  std::vector<float> output_;
  std::vector<std::byte> arena_, scratch_;
  std::vector<Instruction> instructions_;
  std::vector<Cache> caches_;
};

}  // namespace ingot::infer
