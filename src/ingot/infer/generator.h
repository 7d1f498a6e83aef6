// Generator: a sequence of tokens continued by a trained model, one token after another.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "ingot/infer/cached_decoder.h"
#include "ingot/infer/predictor.h"
#include "ingot/infer/sampler.h"

namespace ingot::infer {

// The model takes token numbers i64 [n, T] and gives scores [n, T, V], position t from the tokens
// up to t alone (a causal model). Not safe for use by several threads at once.
class Generator {
 public:
  // `predictor` must outlive it. Throws Error(kInvalidInput) where the model is none of that kind.
  Generator(Predictor& predictor, const SamplingOptions& options);

  int64_t context() const { return context_; }        // T: the model sees so many tokens
  int64_t vocabulary() const { return vocabulary_; }  // V
  bool is_cached() const { return decoder_ != nullptr; }
  // Computes the whole window from now on, for comparisons.
  void DropCache() { decoder_.reset(); }

  // Appends `count` tokens to a text of one or more, each handed to `on_token` as soon as it is
  // drawn; false from there ends it. A model whose layers allow it (cached_decoder.h) computes one
  // place for each token; of a text longer than the context it sees the end, at least half a
  // context of it. For others the whole window is computed for each token. Throws
  // Error(kInvalidInput) for an empty text or a token outside of the vocabulary.
  void Continue(std::vector<int64_t>& tokens, int64_t count,
                const std::function<bool(int64_t token)>& on_token);

 private:
  // The scores of what follows `tokens`: by the whole window, or by the tokens since the last call.
  void ScoreWindow(const std::vector<int64_t>& tokens);
  void ScoreCached(const std::vector<int64_t>& tokens);

  Predictor& predictor_;
  Sampler sampler_;
  std::unique_ptr<CachedDecoder> decoder_;  // null: there is none for this model
  size_t seen_ = 0;                         // tokens of the text that went through the decoder
  std::vector<float> scores_;
  int64_t context_ = 0;
  int64_t vocabulary_ = 0;
};

}  // namespace ingot::infer
