// Generator: a sequence of tokens continued by a trained model, one token after another.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

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

  // Appends `count` tokens to a text of one or more, each handed to `on_token` as soon as it is
  // drawn; false from there ends it. Of a text longer than the context the model sees the end. The
  // whole window is computed for each token. Throws Error(kInvalidInput) for an empty text or a
  // token outside of the vocabulary.
  void Continue(std::vector<int64_t>& tokens, int64_t count,
                const std::function<bool(int64_t token)>& on_token);

 private:
  Predictor& predictor_;
  Sampler sampler_;
  int64_t context_ = 0;
  int64_t vocabulary_ = 0;
};

}  // namespace ingot::infer
