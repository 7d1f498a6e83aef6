// SyntheticSource: samples made up from a seed, of any shape and type, for benchmarks, tests and
// first tries of a network.
//
// Every number is a function of (seed, record, element): small data are kept in memory, larger ones
// computed when they are read, with the same bits. What is to be learned can be learned:
//   class       y i64 [], uniform in [0, classes). Numbers: x[i] = u + p[y][i] / 2, where u is
//               uniform with mean 0 and variance 1 and p[y] is a pattern of its class, drawn alike.
//               Tokens: half of them lie in the class's share of the vocabulary, the others
//               anywhere.
//   number      y f32 [outputs], y[j] = sum of x[i] w[j][i] / sqrt(n) with fixed w of variance 1
//   next_token  x i64 [T], y i64 [T], y[t] = x[t + 1]; three of four tokens are a fixed function
//               (5 t + 1 modulo the vocabulary) of the one before, the others uniform
//   same        y = x, for networks that give back what they see
#pragma once

#include <string>
#include <vector>

#include "ingot/base/options.h"
#include "ingot/data/source.h"
#include "ingot/tensor/philox.h"

namespace ingot::data {

// The options of `source: {synthetic: {...}}`.
struct SyntheticOptions {
  std::vector<int64_t> shape = {28, 28};  // of x, of one sample
  std::string dtype = "f32";              // of x: f32, f64, u8, i64
  int64_t vocabulary = 0;                 // not 0: x holds tokens in [0, vocabulary)
  std::string labels = "class";           // class, number, next_token, same
  int64_t classes = 10;
  int64_t outputs = 1;
  int64_t samples = 1024;
  int64_t test_samples = 0;
  int64_t seed = 0;
};

const OptionTable<SyntheticOptions>& SyntheticTable();

class SyntheticSource : public Source {
 public:
  // Records [first, first + count) of the endless sequence that the options describe, those of up
  // to `memory_bytes` in memory. Throws Error(kInvalidInput) for options that do not go together:
  // next_token without a vocabulary or with a shape that is not one axis, number of tokens, and
  // types that x cannot have.
  SyntheticSource(const SyntheticOptions& options, int64_t first, int64_t count,
                  size_t memory_bytes = size_t{32} << 20);

  int64_t size() const override { return count_; }
  const std::vector<Field>& fields() const override { return fields_; }
  void Read(int64_t record, int field, void* out) const override;
  ContiguousField Contiguous(int field) const override;
  std::string Where(int64_t record) const override;

 private:
  enum class Labels { kClass, kNumber, kNextToken, kSame };

  void Compute(int64_t record, int field, void* out) const;
  int64_t ClassOf(int64_t record) const;
  void WriteX(int64_t record, void* out) const;
  template <typename T>
  void WriteNumbers(int64_t record, T* out) const;
  template <typename T>
  void WriteTokens(int64_t record, T* out) const;
  void WriteSequence(int64_t record, int64_t skip, int64_t* out) const;
  void WriteTargets(int64_t record, float* out) const;

  SyntheticOptions options_;
  Labels labels_ = Labels::kClass;
  int64_t first_ = 0;
  int64_t count_ = 0;
  int64_t elements_ = 0;  // of x
  RandomKey key_;
  std::vector<Field> fields_;
  std::vector<Tensor> memory_;  // one for each field, or none
};

}  // namespace ingot::data
