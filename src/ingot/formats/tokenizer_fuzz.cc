// Fuzz target: a tokenizer.json of any bytes is read or throws Error, and what was read encodes any
// text to tokens that decode to it; training takes any text.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "ingot/base/error.h"
#include "ingot/formats/bpe_training.h"
#include "ingot/formats/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using ingot::formats::Tokenizer;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const Tokenizer trained = ingot::formats::TrainBpe(text, 300);
  if (trained.Decode(trained.Encode(text)) != text) __builtin_trap();
  try {
    const Tokenizer tokenizer = Tokenizer::ParseJson(text, "fuzz");
    tokenizer.Decode(tokenizer.Encode(text));
    if (Tokenizer::ParseJson(tokenizer.ToJson(), "again").vocabulary() != tokenizer.vocabulary()) {
      __builtin_trap();
    }
  } catch (const ingot::Error&) {
  }
  return 0;
}
