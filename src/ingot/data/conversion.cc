// The collapsed loops over a sample, and the exact path in double.
#include "ingot/data/conversion.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <type_traits>

#include "ingot/base/error.h"
#include "ingot/base/sanitizer.h"
#include "ingot/base/text.h"

// Compiled once for each instruction set and chosen when the program starts. Not under sanitizers,
// whose run time is not ready when the choice is made. GCC's -O2 does not vectorise loops of
// unknown length, hence the -O3.
#if INGOT_SANITIZED || defined(__clang__)
#define INGOT_CLONES
#elif defined(__x86_64__) && defined(__GLIBC__)
#define INGOT_CLONES __attribute__((optimize("O3"), target_clones("default", "avx2", "avx512f")))
#else
#define INGOT_CLONES __attribute__((optimize("O3")))
#endif

namespace ingot::data {

namespace {

// out[i] = in[i] * scale + shift, all in C and rounded to f32; no fused multiply-add (see
// cmake/compiler.cmake), so that every clone gives the same bits.
#define INGOT_AFFINE_KERNELS(T, C, NAME)                                                       \
  INGOT_CLONES void Uniform##NAME(const void* in_bytes, float* __restrict out, int64_t count,  \
                                  const void* scale, const void* shift) {                      \
    const T* __restrict in = static_cast<const T*>(in_bytes);                                  \
    const C a = *static_cast<const C*>(scale);                                                 \
    const C b = *static_cast<const C*>(shift);                                                 \
    for (int64_t i = 0; i < count; ++i) {                                                      \
      out[i] = static_cast<float>(static_cast<C>(in[i]) * a + b);                              \
    }                                                                                          \
  }                                                                                            \
  INGOT_CLONES void Elements##NAME(const void* in_bytes, float* __restrict out, int64_t count, \
                                   const void* scale, const void* shift) {                     \
    const T* __restrict in = static_cast<const T*>(in_bytes);                                  \
    const C* __restrict a = static_cast<const C*>(scale);                                      \
    const C* __restrict b = static_cast<const C*>(shift);                                      \
    for (int64_t i = 0; i < count; ++i) {                                                      \
      out[i] = static_cast<float>(static_cast<C>(in[i]) * a[i] + b[i]);                        \
    }                                                                                          \
  }

INGOT_AFFINE_KERNELS(uint8_t, float, U8)
INGOT_AFFINE_KERNELS(int8_t, float, I8)
INGOT_AFFINE_KERNELS(uint16_t, float, U16)
INGOT_AFFINE_KERNELS(int16_t, float, I16)
INGOT_AFFINE_KERNELS(float, float, F32)
INGOT_AFFINE_KERNELS(double, double, F64)
#undef INGOT_AFFINE_KERNELS

double TruncateTo(DType type, double value) {
  return DispatchAll("cast", type, [value](auto tag) {
    using T = typename decltype(tag)::type;
    if constexpr (std::is_same_v<T, bool>) {
      return value != 0 ? 1.0 : 0.0;
    } else if constexpr (std::is_integral_v<T>) {
      // Out of range (and NaN) would be undefined behaviour: clamp.
      const auto low = static_cast<double>(std::numeric_limits<T>::min());
      const auto high = static_cast<double>(std::numeric_limits<T>::max());
      if (!(value > low)) return low;
      if (value >= high) return high;
      return static_cast<double>(static_cast<T>(value));
    } else {
      return value;
    }
  });
}

double ReadElement(const void* in, DType type, int64_t i) {
  return DispatchAll("a data field", type, [in, i](auto tag) {
    using T = typename decltype(tag)::type;
    return static_cast<double>(static_cast<const T*>(in)[i]);
  });
}

void WriteElement(void* out, DType type, int64_t i, double value) {
  DispatchAll("a data field", type, [out, i, value](auto tag) {
    using T = typename decltype(tag)::type;
    if constexpr (std::is_same_v<T, Float16> || std::is_same_v<T, BFloat16>) {
      static_cast<T*>(out)[i] = T(static_cast<float>(value));
    } else if constexpr (std::is_same_v<T, int64_t> || std::is_same_v<T, uint64_t>) {
      // The largest double below 2^63 (2^64) converts; the limits themselves would overflow.
      const double limit =
          std::is_same_v<T, int64_t> ? 9223372036854774784.0 : 18446744073709549568.0;
      static_cast<T*>(out)[i] = static_cast<T>(std::min(value, limit));
    } else {
      static_cast<T*>(out)[i] = static_cast<T>(value);
    }
  });
}

int64_t ReadInteger(const void* in, DType type) {
  int64_t value = 0;
  ConvertElements(in, type, &value, DType::kI64, 1);
  return value;
}

}  // namespace

Conversion::Conversion(Field input)
    : input_(std::move(input)), output_(input_), count_(input_.shape.size()) {
  Plan();
}

void Conversion::Cast(DType to) {
  if (!IsArithmetic(to)) ThrowUnsupportedDType("cast", to);
  // Widening a field of integers needs no step of its own: the final conversion does it.
  const bool widening =
      stages_.empty() && !IsFloat(input_.dtype) && ItemSize(to) >= ItemSize(output_.dtype);
  if (!IsFloat(to) && !widening) {
    stages_.push_back({.mean = {}, .std = {}, .truncate = to});
  }
  // Numbers among which there are categories keep them.
  if (IsFloat(to) && output_.categorical == 0) output_.classes = 0;
  output_.dtype = to;
  Plan();
}

void Conversion::Normalise(double divide, std::span<const double> mean, std::span<const double> std,
                           int64_t axis) {
  if (one_hot_ > 0) {
    throw Error(ErrorCode::kInvalidInput, "normalise after one_hot on field '" + input_.name + "'",
                "put one_hot last");
  }
  if (divide == 0) throw Error(ErrorCode::kInvalidInput, "normalise divides by 0");
  const size_t values = std::max(mean.size(), std.size());
  for (const double s : std) {
    if (s == 0) throw Error(ErrorCode::kInvalidInput, "normalise with a standard deviation of 0");
  }
  Stage stage{.divide = divide, .mean = {0.0}, .std = {1.0}};
  if (values <= 1) {
    if (!mean.empty()) stage.mean[0] = mean[0];
    if (!std.empty()) stage.std[0] = std[0];
  } else {
    const int at = output_.shape.rank() == 0 ? -1 : NormalizeAxis(axis, output_.shape.rank());
    const int64_t extent = at < 0 ? 1 : output_.shape[at];
    for (const std::span<const double>& list : {mean, std}) {
      if (list.size() <= 1 || static_cast<int64_t>(list.size()) == extent) continue;
      throw Error(ErrorCode::kInvalidInput, "normalise has " + std::to_string(list.size()) +
                                                " values for axis " + std::to_string(axis) +
                                                " of field " + output_.Describe() +
                                                ", which has extent " + std::to_string(extent));
    }
    int64_t inner = 1;
    for (int i = at + 1; i < output_.shape.rank(); ++i) inner *= output_.shape[i];
    const auto expand = [&](std::span<const double> list, double otherwise) {
      std::vector<double> all(static_cast<size_t>(count_), list.size() == 1 ? list[0] : otherwise);
      for (size_t i = 0; list.size() > 1 && i < all.size(); ++i) {
        all[i] = list[(i / static_cast<size_t>(inner)) % list.size()];
      }
      return all;
    };
    stage.mean = expand(mean, 0);
    stage.std = expand(std, 1);
  }
  if (output_.classes > 0) stage.keeps = output_.categorical;
  stages_.push_back(std::move(stage));
  if (!IsFloat(output_.dtype)) output_.dtype = DType::kF32;
  if (output_.categorical == 0) output_.classes = 0;
  Plan();
}

void Conversion::NormaliseElements(std::span<const double> mean, std::span<const double> std) {
  INGOT_ASSERT(static_cast<int64_t>(mean.size()) == count_ && mean.size() == std.size(),
               "one value for each element");
  const Shape shape = output_.shape;
  output_.shape = Shape{count_};
  Normalise(1, mean, std);
  output_.shape = shape;
}

void Conversion::Flatten() {
  output_.shape = Shape{output_.shape.size()};
  Plan();
}

void Conversion::OneHot(int64_t classes) {
  if (output_.shape.size() != 1 || !IsInteger(output_.dtype) || !stages_.empty()) {
    throw Error(
        ErrorCode::kInvalidInput,
        "one_hot needs one class number for each sample, but the field is " + output_.Describe());
  }
  if (classes < 2) {
    throw Error(ErrorCode::kInvalidInput, "one_hot with " + std::to_string(classes) + " classes",
                "give at least 2");
  }
  one_hot_ = classes;
  output_.dtype = DType::kF32;
  output_.shape = Shape{classes};
  output_.classes = 0;
  Plan();
}

// Collapses the stages into one multiplication and addition where the result is f32.
void Conversion::Plan() {
  kernel_ = nullptr;
  if (output_.dtype != DType::kF32 || one_hot_ > 0) return;
  bool uniform = true;
  for (const Stage& stage : stages_) {
    if (stage.truncate != DType::kUndefined) return;
    uniform = uniform && stage.mean.size() == 1 && stage.std.size() == 1 && stage.keeps == 0;
  }
  switch (input_.dtype) {
    case DType::kU8:
      kernel_ = uniform ? UniformU8 : ElementsU8;
      break;
    case DType::kI8:
      kernel_ = uniform ? UniformI8 : ElementsI8;
      break;
    case DType::kU16:
      kernel_ = uniform ? UniformU16 : ElementsU16;
      break;
    case DType::kI16:
      kernel_ = uniform ? UniformI16 : ElementsI16;
      break;
    case DType::kF32:
      kernel_ = uniform ? UniformF32 : ElementsF32;
      break;
    case DType::kF64:
      kernel_ = uniform ? UniformF64 : ElementsF64;
      break;
    default:
      return;
  }
  const size_t n = uniform ? 1 : static_cast<size_t>(count_);
  scale_.assign(n, 0);
  shift_.assign(n, 0);
  for (size_t i = 0; i < n; ++i) {
    double scale = 1;
    double shift = 0;
    for (const Stage& stage : stages_) {
      if (Keeps(stage, i)) continue;
      const double mean = stage.mean[stage.mean.size() == 1 ? 0 : i];
      const double deviation = stage.std[stage.std.size() == 1 ? 0 : i];
      scale = scale / stage.divide / deviation;
      shift = (shift / stage.divide - mean) / deviation;
    }
    scale_[i] = scale;
    shift_[i] = shift;
  }
  scale_f32_.assign(scale_.begin(), scale_.end());
  shift_f32_.assign(shift_.begin(), shift_.end());
}

bool Conversion::Keeps(const Stage& stage, size_t element) const {
  return static_cast<int64_t>(element) >= count_ - stage.keeps;
}

std::optional<float> Conversion::ScaleOfBytes() const {
  const bool scaled = kernel_ == UniformU8 && shift_f32_[0] == 0;
  return scaled ? std::optional(scale_f32_[0]) : std::nullopt;
}

double Conversion::Evaluate(double value, size_t element) const {
  for (const Stage& stage : stages_) {
    if (stage.truncate != DType::kUndefined) {
      value = TruncateTo(stage.truncate, value);
      continue;
    }
    if (Keeps(stage, element)) continue;
    const double mean = stage.mean[stage.mean.size() == 1 ? 0 : element];
    const double deviation = stage.std[stage.std.size() == 1 ? 0 : element];
    value = (value / stage.divide - mean) / deviation;
  }
  return value;
}

void Conversion::ToDoubles(const void* in, std::span<double> out) const {
  for (int64_t i = 0; i < count_; ++i) {
    const auto element = static_cast<size_t>(i);
    out[element] = Evaluate(ReadElement(in, input_.dtype, i), element);
  }
}

void Conversion::Apply(const void* in, void* out) const {
  if (one_hot_ > 0) {
    const int64_t label = ReadInteger(in, input_.dtype);
    if (label < 0 || label >= one_hot_) {
      throw Error(ErrorCode::kInvalidInput, "label " + std::to_string(label) + " is not in [0, " +
                                                std::to_string(one_hot_) + ")");
    }
    std::memset(out, 0, output_.bytes());
    WriteElement(out, output_.dtype, label, 1.0);
    return;
  }
  if (stages_.empty() && input_.dtype == output_.dtype) {
    std::memcpy(out, in, input_.bytes());
    return;
  }
  if (kernel_ != nullptr) {
    const bool exact = input_.dtype == DType::kF64;
    const void* scale = exact ? static_cast<const void*>(scale_.data()) : scale_f32_.data();
    const void* shift = exact ? static_cast<const void*>(shift_.data()) : shift_f32_.data();
    kernel_(in, static_cast<float*>(out), count_, scale, shift);
    return;
  }
  if (stages_.empty()) {
    ConvertElements(in, input_.dtype, out, output_.dtype, count_);
    return;
  }
  for (int64_t i = 0; i < count_; ++i) {
    const double value = Evaluate(ReadElement(in, input_.dtype, i), static_cast<size_t>(i));
    WriteElement(out, output_.dtype, i, value);
  }
}

std::string Conversion::Describe() const {
  const auto type = [](const Field& field) {
    return std::string(Name(field.dtype)) + field.shape.ToString();
  };
  std::string text = type(input_) + " -> " + type(output_);
  if (one_hot_ > 0) return text + ": one-hot";
  if (kernel_ != nullptr && !stages_.empty()) {
    if (scale_.size() > 1) return text + ": x * scale[i] + shift[i]";
    text += ": x * " + FormatNumber(scale_f32_[0]);
    if (shift_f32_[0] != 0) text += " + " + FormatNumber(shift_f32_[0]);
  } else if (!stages_.empty()) {
    text += ": " + std::to_string(stages_.size()) + (stages_.size() == 1 ? " step" : " steps");
  }
  return text;
}

}  // namespace ingot::data
