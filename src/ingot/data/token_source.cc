// Mapped tokens, and the sources `tokens` and `text`.
#include "ingot/data/token_source.h"

#include <algorithm>
#include <cstring>

#include "ingot/base/environment.h"
#include "ingot/base/error.h"
#include "ingot/base/file.h"
#include "ingot/base/sha256.h"
#include "ingot/base/text.h"
#include "ingot/data/class_numbers.h"
#include "ingot/data/source_kind.h"
#include "ingot/formats/bpe_training.h"
#include "ingot/formats/npy.h"

namespace ingot::data {

namespace {

// The options that both sources have.
struct WindowOptions {
  std::string train;
  std::string test;
  double test_share = 0;
  int64_t length = 256;
  int64_t stride = 0;
  int64_t vocabulary = 0;
};

struct TokensOptions : WindowOptions {
  std::string dtype = "auto";
};

struct TextOptions : WindowOptions {
  std::string tokenizer = "bytes";
  std::string cache;
};

template <typename T>
OptionTable<T> WindowTable(const char* name, const char* summary, const char* vocabulary) {
  return OptionTable<T>(name, summary)
      .Add("train", &WindowOptions::train, "the file of the training data")
      .Required("train")
      .Add("test", &WindowOptions::test, "the file of the test data (default: none)")
      .Add("test_share", &WindowOptions::test_share,
           "share at the end of train that is for testing, where there is no test file",
           Between(0, 0.999999))
      .Add("length", &WindowOptions::length, "tokens of a sample", Between(1, 1 << 30))
      .Add("stride", &WindowOptions::stride, "tokens from one sample to the next (0: length)",
           AtLeast(0))
      .Add("vocabulary", &WindowOptions::vocabulary, vocabulary, Between(0, 1 << 24));
}

const OptionTable<TokensOptions>& TokensTable() {
  static const auto table =
      WindowTable<TokensOptions>("tokens", "windows of a file of tokens; y is x, one token on",
                                 "tokens are below this (0: as the training file says)")
          .AddChoice("dtype", &TokensOptions::dtype,
                     "of a raw file; auto: by the name's ending, .u8, .u16, .u32 or .npy",
                     {"auto", "u8", "u16", "u32"});
  return table;
}

const OptionTable<TextOptions>& TextTable() {
  static const auto table =
      WindowTable<TextOptions>("text", "windows of a text in tokens; y is x, one token on",
                               "tokens of a tokenizer that is trained (bpe); 0: 4096")
          .Add("tokenizer", &TextOptions::tokenizer,
               "bytes; bpe: trained on the training text; or a Hugging Face tokenizer.json")
          .Add("cache", &TextOptions::cache,
               "folder of tokenized texts (default: tokens in the user's cache)");
  return table;
}

template <typename T>
void CheckTokens(const TokenFile& file, int64_t* vocabulary) {
  const T* tokens = reinterpret_cast<const T*>(file.bytes.data.get());
  int64_t limit = *vocabulary;
  for (int64_t i = 0; i < file.count; ++i) {
    const auto token = static_cast<int64_t>(tokens[i]);
    if (*vocabulary == 0 && token >= limit) {
      limit = ClassesUpTo(token,
                          [&] { return file.path + ", token at position " + std::to_string(i); });
    }
    if (token >= 0 && token < limit) continue;
    throw Error(ErrorCode::kInvalidInput, file.path + ": token " + std::to_string(token) +
                                              " at position " + std::to_string(i) +
                                              " is not in [0, " + std::to_string(limit) + ")");
  }
  *vocabulary = limit;
}

OpenedSource OpenWindows(const WindowOptions& options, const TokenFile& train,
                         const TokenFile* test, int64_t vocabulary) {
  if (test != nullptr && options.test_share > 0) {
    throw Error(ErrorCode::kInvalidInput, "test and test_share are both given", "leave one out");
  }
  const int64_t stride = options.stride > 0 ? options.stride : options.length;
  const auto held_back =
      static_cast<int64_t>(static_cast<double>(train.count) * options.test_share);
  const int64_t used = train.count - held_back;
  OpenedSource opened;
  opened.train = std::make_shared<TokenSource>(train, 0, used, options.length, stride, vocabulary);
  vocabulary = opened.train->fields()[0].classes;
  if (test != nullptr) {
    opened.test =
        std::make_shared<TokenSource>(*test, 0, test->count, options.length, stride, vocabulary);
  } else if (held_back > 0) {
    opened.test =
        std::make_shared<TokenSource>(train, used, held_back, options.length, stride, vocabulary);
  }
  return opened;
}

OpenedSource OpenTokens(const TokensOptions& options, const OpenContext& context) {
  const TokenFile train = OpenTokenFile(context.Resolve(options.train), options.dtype);
  if (options.test.empty()) return OpenWindows(options, train, nullptr, options.vocabulary);
  const TokenFile test = OpenTokenFile(context.Resolve(options.test), options.dtype);
  return OpenWindows(options, train, &test, options.vocabulary);
}

formats::Tokenizer TokenizerOf(const TextOptions& options, const OpenContext& context,
                               const std::string& cache) {
  if (options.tokenizer == "bytes") return formats::Tokenizer::Bytes();
  if (options.tokenizer != "bpe") {
    return formats::Tokenizer::ReadJson(context.Resolve(options.tokenizer));
  }
  const int64_t vocabulary = options.vocabulary > 0 ? options.vocabulary : 4096;
  const MappedFile text(context.Resolve(options.train));
  const std::string path = cache + "/" + Sha256Hex(text.bytes()).substr(0, 32) + "-bpe-" +
                           std::to_string(vocabulary) + ".json";
  if (RealFileSystem().Exists(path)) return formats::Tokenizer::ReadJson(path);
  const formats::Tokenizer trained = formats::TrainBpe(text.text(), vocabulary);
  RealFileSystem().CreateDirectories(cache);
  WriteFileAtomically(RealFileSystem(), path, trained.ToJson());
  return trained;
}

OpenedSource OpenText(const TextOptions& options, const OpenContext& context) {
  std::string cache = context.Resolve(options.cache);
  if (cache.empty() && options.tokenizer != "bytes") cache = CacheFolder() + "/tokens";
  const formats::Tokenizer tokenizer = TokenizerOf(options, context, cache);
  const TokenFile train = TokenizeFile(context.Resolve(options.train), tokenizer, cache);
  TokenFile test;
  if (!options.test.empty()) {
    test = TokenizeFile(context.Resolve(options.test), tokenizer, cache);
  }
  OpenedSource opened =
      OpenWindows(options, train, options.test.empty() ? nullptr : &test, tokenizer.vocabulary());
  opened.stored[kTokenizerEntry] = tokenizer.ToJson();
  return opened;
}

template <typename T>
void AppendTokens(std::string& out, std::span<const uint32_t> tokens) {
  for (const uint32_t token : tokens) {
    const T value = static_cast<T>(token);
    out.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
}

}  // namespace

SourceKind TokensSourceKind() {
  return DefineSource(TokensTable(), OpenTokens);
}

SourceKind TextSourceKind() {
  return DefineSource(TextTable(), OpenText);
}

TokenFile OpenTokenFile(const std::string& path, const std::string& type) {
  const auto ends = [&](const std::string& ending) {
    return path.size() > ending.size() && path.ends_with(ending);
  };
  TokenFile file;
  file.path = path;
  if (type == "auto" && ends(".npy")) {
    const Tensor array = formats::ReadNpy(path);
    if (array.shape().rank() != 1 || !IsInteger(array.dtype())) {
      throw Error(ErrorCode::kInvalidInput,
                  path + " holds " + array.Describe() + ", expected one axis of whole numbers");
    }
    file.dtype = array.dtype();
    file.count = array.shape()[0];
    const auto owner = std::make_shared<Tensor>(array);
    file.bytes = {std::shared_ptr<std::byte>(owner, const_cast<std::byte*>(array.raw())),
                  array.bytes()};
    return file;
  }
  std::string name = type;
  for (const char* known : {"u8", "u16", "u32"}) {
    if (type == "auto" && ends(std::string(".") + known)) name = known;
  }
  if (name == "auto") {
    throw Error(ErrorCode::kInvalidInput,
                "the name of '" + path + "' does not say the type of its tokens",
                "set dtype to u8, u16 or u32, or name it so: tokens.u16");
  }
  file.dtype = ParseDType(name);
  file.bytes = formats::MapBlob(path);
  const size_t item = ItemSize(file.dtype);
  if (file.bytes.size % item != 0) {
    throw Error(ErrorCode::kInvalidInput, path + " has " + std::to_string(file.bytes.size) +
                                              " bytes, which is no multiple of " +
                                              std::to_string(item) + " (" + name + ")");
  }
  file.count = static_cast<int64_t>(file.bytes.size / item);
  return file;
}

TokenFile TokenizeFile(const std::string& path, const formats::Tokenizer& tokenizer,
                       const std::string& cache) {
  if (tokenizer.is_bytes()) return OpenTokenFile(path, "u8");
  const MappedFile text(path);
  const bool narrow = tokenizer.vocabulary() <= 65536;
  const std::string key = Sha256Hex(Sha256Hex(text.bytes()) + Sha256Hex(tokenizer.ToJson()));
  const std::string tokens = cache + "/" + key.substr(0, 32) + (narrow ? ".u16" : ".u32");
  if (!RealFileSystem().Exists(tokens)) {
    std::string bytes;
    tokenizer.Encode(text.text(), [&](std::span<const uint32_t> piece) {
      narrow ? AppendTokens<uint16_t>(bytes, piece) : AppendTokens<uint32_t>(bytes, piece);
    });
    RealFileSystem().CreateDirectories(cache);
    WriteFileAtomically(RealFileSystem(), tokens, bytes);
  }
  TokenFile file = OpenTokenFile(tokens);
  file.path = path;
  return file;
}

TokenSource::TokenSource(TokenFile file, int64_t first, int64_t count, int64_t length,
                         int64_t stride, int64_t vocabulary)
    : file_(std::move(file)), first_(first), stride_(stride) {
  if (count < length + 1) {
    throw Error(ErrorCode::kInvalidInput,
                file_.path + " has " + WithThousands(count) + " tokens here, but a sample needs " +
                    WithThousands(length + 1) + ": its length and the token that follows",
                "give a shorter length, or more data");
  }
  windows_ = (count - length - 1) / stride + 1;
  DispatchNumeric("tokens", file_.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if constexpr (std::is_integral_v<T>) CheckTokens<T>(file_, &vocabulary);
  });
  const Field x{.name = "x", .dtype = file_.dtype, .shape = Shape{length}, .classes = vocabulary};
  fields_ = {x, x};
  fields_[1].name = "y";
}

ContiguousField TokenSource::Contiguous(int field) const {
  const size_t item = ItemSize(file_.dtype);
  return {file_.bytes.data.get() + static_cast<size_t>(first_ + field) * item,
          static_cast<size_t>(stride_) * item};
}

void TokenSource::Read(int64_t record, int field, void* out) const {
  const ContiguousField all = Contiguous(field);
  std::memcpy(out, all.data + static_cast<size_t>(record) * all.stride,
              fields_[static_cast<size_t>(field)].bytes());
}

std::string TokenSource::Where(int64_t record) const {
  return file_.path + ", token " + std::to_string(first_ + record * stride_);
}

}  // namespace ingot::data
