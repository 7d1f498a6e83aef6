// Training byte-pair encoding on a text (Sennrich et al. 2016).
#pragma once

#include <cstdint>
#include <string_view>

#include "ingot/formats/tokenizer.h"

namespace ingot::formats {

// What training may take, so that no text exhausts memory.
struct BpeLimits {
  size_t text_bytes = size_t{256} << 20;     // beyond these the text is not looked at
  size_t distinct_pieces = size_t{4} << 20;  // new pieces beyond these are not counted
};

// A tokenizer of at most `vocabulary` tokens: the 256 bytes in the order of their characters
// (pre_tokenizer.h), then one for each merge of the two neighbours that stand together most often
// within the pieces of `text`; among equally frequent pairs the one with the smaller numbers. Ends
// early where no pair occurs `minimum_count` times. The same text gives the same tokenizer, and the
// library `tokenizers` gives the same one with its byte-level alphabet. Throws Error(kInvalidInput)
// for a vocabulary below 256.
Tokenizer TrainBpe(std::string_view text, int64_t vocabulary, int64_t minimum_count = 2,
                   const BpeLimits& limits = {});

}  // namespace ingot::formats
