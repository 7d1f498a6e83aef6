// Conversion: what happens to one field of a sample between the source and the network's input.
//
// Steps (normalise, cast, flatten, one_hot) are added one by one and collapse into one pass over
// the sample: the common chain u8 -> f32, divided by 255, normalised, flattened is the single loop
// out[i] = float(in[i]) * scale + shift, in f32, with scale and shift worked out in double. From
// f64 that is in double and rounded once, so that large numbers keep their differences.
// Into any other type the steps run one after another in double and are rounded once at the end, so
// that f64 inputs are exact (pixel / 255 is a division, as NumPy does it).
// Apply is thread-safe, does not allocate, and gives the same bits on every CPU.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ingot/data/source.h"

namespace ingot::data {

class Conversion {
 public:
  // The identity on `input`.
  explicit Conversion(Field input);

  // To another element type. Between the float types it only decides the type of the result; to an
  // integer it truncates. Throws Error(kUnsupported) for types not stored one after another.
  void Cast(DType to);
  // (x / divide - mean) / std. `mean` (empty: 0) and `std` (empty: 1) hold one value for all, or
  // one for each position along `axis` of the sample. Integers become f32. Numbers of categories
  // stay as they are.
  // Throws Error(kInvalidInput) for a zero divisor or deviation, or a wrong number of values.
  void Normalise(double divide, std::span<const double> mean, std::span<const double> std,
                 int64_t axis = -1);
  // One value of mean and std for each element of the sample.
  void NormaliseElements(std::span<const double> mean, std::span<const double> std);
  // [28, 28] -> [784].
  void Flatten();
  // A class number -> f32 [classes], 1 at its place. Throws Error(kInvalidInput) where the field
  // is not one integer.
  void OneHot(int64_t classes);

  const Field& input() const { return input_; }
  const Field& output() const { return output_; }
  // Whether it costs so little that threads of its own would not pay.
  bool cheap() const { return kernel_ != nullptr || stages_.empty() || one_hot_ > 0; }
  // The factor where f32 is made of bytes by one multiplication alone: out[i] = float(in[i]) *
  // scale.
  std::optional<float> ScaleOfBytes() const;
  // "u8[28, 28] -> f32[784]: x * 0.00392157".
  std::string Describe() const;

  // One sample: input().bytes() bytes to output().bytes() bytes, which must not overlap. Throws
  // Error(kInvalidInput) where one_hot meets a class number out of range.
  void Apply(const void* in, void* out) const;
  // The same elements in double before the final rounding; not for one_hot.
  void ToDoubles(const void* in, std::span<double> out) const;

 private:
  // v -> (v / divide - mean) / std, or a truncation to an integer type.
  struct Stage {
    double divide = 1;
    std::vector<double> mean;  // one, or one for each element
    std::vector<double> std;
    DType truncate = DType::kUndefined;  // not kUndefined: only this
    int64_t keeps = 0;                   // the last so many elements stay as they are
  };
  // Scale and shift are double for f64 inputs, else float.
  using Kernel = void (*)(const void* in, float* out, int64_t count, const void* scale,
                          const void* shift);

  void Plan();
  bool Keeps(const Stage& stage, size_t element) const;
  double Evaluate(double value, size_t element) const;

  Field input_;
  Field output_;
  std::vector<Stage> stages_;
  int64_t one_hot_ = 0;
  int64_t count_ = 0;  // elements of a sample of the input
  // The collapsed form, where there is one.
  Kernel kernel_ = nullptr;
  std::vector<double> scale_;  // one, or one for each element
  std::vector<double> shift_;
  std::vector<float> scale_f32_;  // the same, rounded
  std::vector<float> shift_f32_;
};

}  // namespace ingot::data
