// Generator: see generator.h.
#include "ingot/infer/generator.h"

#include <algorithm>

#include <fmt/format.h>

#include "ingot/base/error.h"

namespace ingot::infer {

Generator::Generator(Predictor& predictor, const SamplingOptions& options)
    : predictor_(predictor), sampler_(options) {
  const data::Field& input = predictor.input();
  const Shape output = predictor.output_shape();
  const bool fits = IsInteger(input.dtype) && input.shape.rank() == 1 && output.rank() == 2 &&
                    output[0] == input.shape[0];
  if (!fits) {
    throw Error(ErrorCode::kInvalidInput,
                fmt::format("the model takes {}{} a sample and gives {}: it cannot continue a text",
                            Name(input.dtype), input.shape.ToString(), output.ToString()),
                "a language model takes token numbers [T] and gives scores [T, vocabulary]");
  }
  context_ = output[0];
  vocabulary_ = output[1];
  decoder_ = CachedDecoder::Make(predictor);
}

void Generator::Continue(std::vector<int64_t>& tokens, int64_t count,
                         const std::function<bool(int64_t token)>& on_token) {
  if (tokens.empty()) {
    throw Error(ErrorCode::kInvalidInput, "there is no token to continue from");
  }
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] >= 0 && tokens[i] < vocabulary_) continue;
    throw Error(ErrorCode::kInvalidInput,
                fmt::format("token {} of the text is {}, outside of the model's vocabulary of {}",
                            i, tokens[i], vocabulary_));
  }
  scores_.resize(static_cast<size_t>(vocabulary_));
  if (decoder_ != nullptr) decoder_->Reset();
  seen_ = static_cast<size_t>(std::max<int64_t>(0, static_cast<int64_t>(tokens.size()) - context_));
  for (int64_t i = 0; i < count; ++i) {
    decoder_ != nullptr ? ScoreCached(tokens) : ScoreWindow(tokens);
    const int64_t token = sampler_.Draw(scores_, static_cast<int64_t>(tokens.size()));
    tokens.push_back(token);
    if (!on_token(token)) return;
  }
}

void Generator::ScoreWindow(const std::vector<int64_t>& tokens) {
  Tensor window(predictor_.input().dtype, Shape{1, context_});
  std::vector<int64_t> seen(static_cast<size_t>(context_), 0);  // what comes after does not matter
  const int64_t used = std::min(static_cast<int64_t>(tokens.size()), context_);
  std::copy(tokens.end() - used, tokens.end(), seen.begin());
  ConvertElements(seen.data(), DType::kI64, window.raw(), window.dtype(), context_);
  const Tensor output = predictor_.Predict(window);
  const size_t row = static_cast<size_t>((used - 1) * vocabulary_) * ItemSize(output.dtype());
  ConvertElements(output.raw() + row, output.dtype(), scores_.data(), DType::kF32, vocabulary_);
}

// A full cache is filled again with the last half of a context, whose places count anew.
void Generator::ScoreCached(const std::vector<int64_t>& tokens) {
  if (decoder_->position() == context_) {
    decoder_->Reset();
    seen_ = tokens.size() - static_cast<size_t>(std::max<int64_t>(1, context_ / 2));
  }
  std::span<const float> scores;
  for (; seen_ < tokens.size(); ++seen_) scores = decoder_->Next(tokens[seen_]);
  std::copy(scores.begin(), scores.end(), scores_.begin());
}

}  // namespace ingot::infer
