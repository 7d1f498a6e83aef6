// The made-up samples: see synthetic_source.h.
#include "ingot/data/synthetic_source.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "ingot/base/error.h"
#include "ingot/data/source_kind.h"

namespace ingot::data {

namespace {

// More than anyone reads; sums of samples and steps stay within 64 bits.
constexpr double kMostSamples = 1e15;

}  // namespace

const OptionTable<SyntheticOptions>& SyntheticTable() {
  static const auto table =
      OptionTable<SyntheticOptions>("synthetic",
                                    "samples made up from a seed, for benchmarks and first tries")
          .Add("shape", &SyntheticOptions::shape, "of x, of one sample", AtLeast(1))
          .AddChoice("dtype", &SyntheticOptions::dtype,
                     "of x; bytes are divided by 255 unless transforms say otherwise",
                     {"f32", "f64", "u8", "i64"})
          .Add("vocabulary", &SyntheticOptions::vocabulary,
               "not 0: x holds tokens, numbers below this (of type i64)", Between(0, 1 << 30))
          .AddChoice("labels", &SyntheticOptions::labels,
                     "class: y is a class number; number: y are numbers; next_token: y is x, one "
                     "token on; same: y is x",
                     {"class", "number", "next_token", "same"})
          .Add("classes", &SyntheticOptions::classes, "for labels: class", Between(2, 1 << 30))
          .Add("outputs", &SyntheticOptions::outputs, "numbers of y, for labels: number",
               AtLeast(1))
          .Add("samples", &SyntheticOptions::samples, "training samples", Between(1, kMostSamples))
          .Add("test_samples", &SyntheticOptions::test_samples, "test samples",
               Between(0, kMostSamples))
          .Add("seed", &SyntheticOptions::seed, "other seeds, other samples", AtLeast(0));
  return table;
}

namespace {

// What a stream of numbers is for, folded into the key after the record.
enum Part : uint64_t { kElements, kLabel, kPattern, kWeights };

// Uniform with mean 0 and variance 1: (k + 1/2) / 2^23 - 1 over 24 bits, times sqrt(3).
float Unit(uint32_t word) {
  constexpr float kRoot3 = 1.7320508f;
  return (static_cast<float>(word >> 8) - 8388607.5f) * (kRoot3 / 8388608.0f);
}

// Calls f(i, word) for the first n words of a stream, four to a block.
template <typename F>
void ForEachWord(const RandomKey& key, int64_t n, F&& f) {
  for (int64_t i = 0; i < n; i += 4) {
    const PhiloxCounter block = key.Block(static_cast<uint64_t>(i / 4));
    const int64_t count = std::min<int64_t>(4, n - i);
    for (int64_t j = 0; j < count; ++j) f(i + j, block[static_cast<size_t>(j)]);
  }
}

// A number in [0, extent) from 32 random bits.
int64_t Scale(uint32_t word, int64_t extent) {
  return static_cast<int64_t>(static_cast<uint64_t>(word) * static_cast<uint64_t>(extent) >> 32);
}

template <typename T>
T Store(float value) {
  if constexpr (std::is_floating_point_v<T>) {
    return static_cast<T>(value);
  } else {
    return static_cast<T>(std::clamp(128.0f + 48.0f * value, 0.0f, 255.0f));
  }
}

void CheckOptions(const SyntheticOptions& options) {
  const auto fail = [](const std::string& message, const std::string& hint) {
    throw Error(ErrorCode::kInvalidInput, message, hint);
  };
  if (options.labels == "next_token" && (options.vocabulary == 0 || options.shape.size() != 1)) {
    fail("labels: next_token need a sequence of tokens",
         "set vocabulary, and shape to the length: [256]");
  }
  if (options.labels == "number" && options.vocabulary > 0) {
    fail("labels: number need an x of numbers, but vocabulary is set", "leave vocabulary out");
  }
  if (options.vocabulary == 1) fail("a vocabulary of one token", "give at least 2");
  int64_t elements = 1;
  for (const int64_t extent : options.shape) {
    if (extent > (int64_t{1} << 31) / elements) fail("a sample of more than 2^31 elements", "");
    elements *= extent;
  }
}

OpenedSource OpenSynthetic(const SyntheticOptions& options, const OpenContext&) {
  OpenedSource opened;
  opened.train = std::make_shared<SyntheticSource>(options, 0, options.samples);
  if (options.test_samples > 0) {
    opened.test = std::make_shared<SyntheticSource>(options, options.samples, options.test_samples);
  }
  return opened;
}

}  // namespace

SourceKind SyntheticSourceKind() {
  return DefineSource(SyntheticTable(), OpenSynthetic);
}

SyntheticSource::SyntheticSource(const SyntheticOptions& options, int64_t first, int64_t count,
                                 size_t memory_bytes)
    : options_(options),
      first_(first),
      count_(count),
      key_(static_cast<uint64_t>(options.seed), "synthetic") {
  CheckOptions(options);
  labels_ = options.labels == "class"        ? Labels::kClass
            : options.labels == "number"     ? Labels::kNumber
            : options.labels == "next_token" ? Labels::kNextToken
                                             : Labels::kSame;
  Field x{.name = "x", .dtype = ParseDType(options.dtype), .shape = Shape(options.shape)};
  if (options.vocabulary > 0) x.dtype = DType::kI64;
  x.classes = options.vocabulary;
  elements_ = x.shape.size();
  Field y = x;
  if (labels_ == Labels::kClass) {
    y = {.name = "y", .dtype = DType::kI64, .shape = Shape{}, .classes = options.classes};
  } else if (labels_ == Labels::kNumber) {
    y = {.name = "y", .dtype = DType::kF32, .shape = Shape{options.outputs}};
  }
  y.name = "y";
  fields_ = {x, y};
  const double bytes = static_cast<double>(count) * static_cast<double>(x.bytes() + y.bytes());
  if (bytes > static_cast<double>(memory_bytes)) return;
  for (int f = 0; f < 2; ++f) {
    const Field& field = fields_[static_cast<size_t>(f)];
    std::vector<int64_t> dims = field.shape.dims();
    dims.insert(dims.begin(), count);
    Tensor all(field.dtype, Shape(dims));
    for (int64_t i = 0; i < count; ++i) {
      Compute(i, f, all.raw() + static_cast<size_t>(i) * field.bytes());
    }
    memory_.push_back(std::move(all));
  }
}

int64_t SyntheticSource::ClassOf(int64_t record) const {
  return Scale(key_.Fold(static_cast<uint64_t>(first_ + record), kLabel).Uint32(0),
               options_.classes);
}

template <typename T>
void SyntheticSource::WriteNumbers(int64_t record, T* out) const {
  const RandomKey noise = key_.Fold(static_cast<uint64_t>(first_ + record), kElements);
  if (labels_ != Labels::kClass) {
    ForEachWord(noise, elements_,
                [out](int64_t i, uint32_t word) { out[i] = Store<T>(Unit(word)); });
    return;
  }
  const RandomKey pattern = key_.Fold(static_cast<uint64_t>(ClassOf(record)), kPattern);
  for (int64_t i = 0; i < elements_; i += 4) {
    const PhiloxCounter u = noise.Block(static_cast<uint64_t>(i / 4));
    const PhiloxCounter p = pattern.Block(static_cast<uint64_t>(i / 4));
    const auto count = static_cast<size_t>(std::min<int64_t>(4, elements_ - i));
    for (size_t j = 0; j < count; ++j) {
      out[static_cast<size_t>(i) + j] = Store<T>(Unit(u[j]) + 0.5f * Unit(p[j]));
    }
  }
}

template <typename T>
void SyntheticSource::WriteTokens(int64_t record, T* out) const {
  const RandomKey key = key_.Fold(static_cast<uint64_t>(first_ + record), kElements);
  const int64_t vocabulary = options_.vocabulary;
  const int64_t of_class = labels_ == Labels::kClass ? ClassOf(record) : 0;
  const int64_t classes = labels_ == Labels::kClass ? options_.classes : 1;
  const int64_t low = of_class * vocabulary / classes;
  const int64_t share = std::max<int64_t>((of_class + 1) * vocabulary / classes - low, 1);
  ForEachWord(key, elements_, [&](int64_t i, uint32_t word) {
    // The lowest bit decides between the class's share and the whole vocabulary.
    const int64_t token = (word & 1) != 0 ? low + Scale(word, share) : Scale(word, vocabulary);
    out[i] = static_cast<T>(std::min(token, vocabulary - 1));
  });
}

// Tokens [skip, skip + T) of the record's sequence of T + 1.
void SyntheticSource::WriteSequence(int64_t record, int64_t skip, int64_t* out) const {
  const RandomKey key = key_.Fold(static_cast<uint64_t>(first_ + record), kElements);
  const int64_t vocabulary = options_.vocabulary;
  int64_t token = 0;
  ForEachWord(key, elements_ + 1, [&](int64_t i, uint32_t word) {
    const bool is_random = i == 0 || (word & 3) == 0;
    token = is_random ? Scale(word, vocabulary) : (5 * token + 1) % vocabulary;
    if (i >= skip && i < skip + elements_) out[i - skip] = token;
  });
}

void SyntheticSource::WriteTargets(int64_t record, float* out) const {
  const RandomKey noise = key_.Fold(static_cast<uint64_t>(first_ + record), kElements);
  for (int64_t j = 0; j < options_.outputs; ++j) {
    const RandomKey weights = key_.Fold(static_cast<uint64_t>(j), kWeights);
    double sum = 0;
    for (int64_t i = 0; i < elements_; i += 4) {
      const PhiloxCounter u = noise.Block(static_cast<uint64_t>(i / 4));
      const PhiloxCounter w = weights.Block(static_cast<uint64_t>(i / 4));
      const auto count = static_cast<size_t>(std::min<int64_t>(4, elements_ - i));
      for (size_t k = 0; k < count; ++k) {
        sum += static_cast<double>(Unit(u[k])) * static_cast<double>(Unit(w[k]));
      }
    }
    out[j] = static_cast<float>(sum / std::sqrt(static_cast<double>(elements_)));
  }
}

void SyntheticSource::WriteX(int64_t record, void* out) const {
  if (labels_ == Labels::kNextToken) {
    WriteSequence(record, 0, static_cast<int64_t*>(out));
    return;
  }
  if (options_.vocabulary > 0) {
    WriteTokens(record, static_cast<int64_t*>(out));
    return;
  }
  switch (fields_[0].dtype) {
    case DType::kF32:
      return WriteNumbers(record, static_cast<float*>(out));
    case DType::kF64:
      return WriteNumbers(record, static_cast<double*>(out));
    case DType::kU8:
      return WriteNumbers(record, static_cast<uint8_t*>(out));
    default:
      return WriteNumbers(record, static_cast<int64_t*>(out));
  }
}

void SyntheticSource::Compute(int64_t record, int field, void* out) const {
  if (field == 0 || labels_ == Labels::kSame) return WriteX(record, out);
  if (labels_ == Labels::kNextToken) {
    WriteSequence(record, 1, static_cast<int64_t*>(out));
  } else if (labels_ == Labels::kNumber) {
    WriteTargets(record, static_cast<float*>(out));
  } else {
    const int64_t label = ClassOf(record);
    std::memcpy(out, &label, sizeof label);
  }
}

void SyntheticSource::Read(int64_t record, int field, void* out) const {
  const ContiguousField all = Contiguous(field);
  if (all.data == nullptr) return Compute(record, field, out);
  std::memcpy(out, all.data + static_cast<size_t>(record) * all.stride, all.stride);
}

ContiguousField SyntheticSource::Contiguous(int field) const {
  if (memory_.empty()) return {};
  const auto f = static_cast<size_t>(field);
  return {memory_[f].raw(), fields_[f].bytes()};
}

std::string SyntheticSource::Where(int64_t record) const {
  return "synthetic sample " + std::to_string(first_ + record);
}

}  // namespace ingot::data
