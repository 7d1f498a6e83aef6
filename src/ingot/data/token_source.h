// TokenSource: windows of a long sequence of tokens, each with the tokens that follow.
//
// Fields: "x", `length` tokens, and "y", the same one token on; both of the type that the file
// stores (u8, u16, u32, or what a .npy file has), with `classes` the vocabulary. Record i begins at
// token i * stride. Files are mapped: nothing is copied, and what is left at the end and fills no
// window is not used.
#pragma once

#include <string>

#include "ingot/base/options.h"
#include "ingot/data/source.h"
#include "ingot/formats/bytes.h"
#include "ingot/formats/tokenizer.h"

namespace ingot::data {

// Tokens one after another, in a mapped file.
struct TokenFile {
  std::string path;
  DType dtype = DType::kU8;
  formats::Blob bytes;  // of the tokens alone
  int64_t count = 0;
};

// `type` is u8, u16, u32 or auto: by the name's ending (.u8, .u16, .u32, .npy). Throws Error:
// kInvalidInput for another ending, a size that is no multiple of a token, an array that is not one
// axis of whole numbers; what ReadNpy throws; kNotFound or kIo from the file.
TokenFile OpenTokenFile(const std::string& path, const std::string& type = "auto");

class TokenSource : public Source {
 public:
  // Tokens [first, first + count) of the file. vocabulary 0: one more than the largest token of the
  // file. Throws Error(kInvalidInput) where there is not one window, and for a token that is
  // negative or not below the vocabulary, naming file and position.
  TokenSource(TokenFile file, int64_t first, int64_t count, int64_t length, int64_t stride,
              int64_t vocabulary);

  int64_t size() const override { return windows_; }
  const std::vector<Field>& fields() const override { return fields_; }
  void Read(int64_t record, int field, void* out) const override;
  ContiguousField Contiguous(int field) const override;
  std::string Where(int64_t record) const override;

 private:
  TokenFile file_;
  int64_t first_ = 0;
  int64_t stride_ = 0;
  int64_t windows_ = 0;
  std::vector<Field> fields_;
};

// The name under which an OpenedSource stores its tokenizer (a tokenizer.json).
inline constexpr const char* kTokenizerEntry = "tokenizer";

// The tokens of a text file, in a mapped file: the text itself where tokens are bytes, else one in
// `cache` that is named by the SHA-256 of text and tokenizer and written where it is missing.
TokenFile TokenizeFile(const std::string& path, const formats::Tokenizer& tokenizer,
                       const std::string& cache);

}  // namespace ingot::data
