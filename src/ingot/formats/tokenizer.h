// Tokenizer: text to token numbers and back by byte-level byte-pair encoding, as GPT-2 uses it.
//
// Text is cut into pieces (pre_tokenizer.h); each piece begins as its bytes, and the neighbours
// that were merged first in training are merged again and again until none is left (Sennrich et al.
// 2016, "Neural machine translation of rare words with subword units"). Added tokens
// ("<|endoftext|>") are found in the text before that. A tokenizer without merges is plain bytes.
// Token numbers are those that the Hugging Face library `tokenizers` gives for the same file.
// Immutable, cheap to copy, safe from any number of threads.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ingot::formats {

struct AddedToken {
  uint32_t id = 0;
  std::string content;
  bool special = true;
};

// What a tokenizer is made of.
struct TokenizerParts {
  std::vector<std::string> tokens;  // their bytes by number; "" for a number without a token
  // In the order of training: numbers of two tokens and of what they become.
  struct Merge {
    uint32_t left = 0;
    uint32_t right = 0;
    uint32_t result = 0;
  };
  std::vector<Merge> merges;
  std::vector<AddedToken> added;
  bool split = true;              // cut by GPT-2's rule; else a text is one piece
  bool add_prefix_space = false;  // put a space before text that does not begin with one
  bool ignore_merges = false;     // a piece that is a token is that token, whatever the merges say
};

class Tokenizer {
 public:
  // Throws Error(kInvalidInput) where a merge or an added token names a number without a token.
  explicit Tokenizer(TokenizerParts parts);
  // 256 tokens, the bytes by value.
  static Tokenizer Bytes();
  // Hugging Face's tokenizer.json with a BPE model over a byte-level alphabet. Throws Error:
  // kCorrupt for damage, kUnsupported naming the part for other models, normalizers and
  // pre-tokenizers; kNotFound or kIo from the file.
  static Tokenizer ReadJson(const std::string& path);
  // The same from text; `name` is what messages call it.
  static Tokenizer ParseJson(std::string_view json, const std::string& name);
  // A tokenizer.json that ParseJson and the library `tokenizers` read back as the same tokenizer.
  std::string ToJson() const;

  // Token numbers are below this.
  int64_t vocabulary() const;
  const TokenizerParts& parts() const;
  // Whether token numbers are bytes.
  bool is_bytes() const;

  // Throws Error(kInvalidInput) for a byte that the vocabulary lacks.
  std::vector<uint32_t> Encode(std::string_view text) const;
  // The same for long text, in pieces, which are handed to `sink` one after another.
  void Encode(std::string_view text,
              const std::function<void(std::span<const uint32_t>)>& sink) const;

  // The bytes of the tokens, one after another: a token may end inside a character. Special tokens
  // are left out where `skip_special`. Throws Error(kInvalidInput) for a number without a token.
  std::string Decode(std::span<const uint32_t> tokens, bool skip_special = false) const;

 private:
  struct State;
  class Encoder;
  std::shared_ptr<const State> state_;
};

}  // namespace ingot::formats
