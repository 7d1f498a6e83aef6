// Narrow types by their layouts: sign, exponent bits, mantissa bits, bias, and what the top codes
// mean.
#include "ingot/tensor/narrow.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace ingot {
namespace {

enum class Top {
  kIeee,    // exponent all ones: infinity and NaN
  kNan,     // all ones: NaN; no infinity
  kFnuz,    // the code of -0: NaN; no infinity
  kFinite,  // neither
};

struct Layout {
  int exponent_bits;
  int mantissa_bits;
  int bias;
  Top top;

  int sign_shift() const { return exponent_bits + mantissa_bits; }
  int mask() const { return (1 << sign_shift()) - 1; }
  // The code of the largest finite number.
  int largest() const {
    if (top == Top::kIeee) return (((1 << exponent_bits) - 1) << mantissa_bits) - 1;
    return top == Top::kNan ? mask() - 1 : mask();
  }
};

Layout LayoutOf(DType type) {
  switch (type) {
    case DType::kF8E4M3FN:
      return {4, 3, 7, Top::kNan};
    case DType::kF8E4M3FNUZ:
      return {4, 3, 8, Top::kFnuz};
    case DType::kF8E5M2:
      return {5, 2, 15, Top::kIeee};
    case DType::kF8E5M2FNUZ:
      return {5, 2, 16, Top::kFnuz};
    case DType::kF4E2M1:
      return {2, 1, 1, Top::kFinite};
    default:
      ThrowUnsupportedDType("narrow float", type);
  }
}

// The magnitude of a finite code without sign.
double Magnitude(const Layout& layout, int code) {
  const int mantissa = code & ((1 << layout.mantissa_bits) - 1);
  const int exponent = code >> layout.mantissa_bits;
  if (exponent == 0) return std::ldexp(mantissa, 1 - layout.bias - layout.mantissa_bits);
  return std::ldexp(mantissa + (1 << layout.mantissa_bits),
                    exponent - layout.bias - layout.mantissa_bits);
}

double DecodeFloat(const Layout& layout, int bits) {
  const int code = bits & layout.mask();
  const bool negative = (bits >> layout.sign_shift()) & 1;
  if (layout.top == Top::kFnuz && negative && code == 0) return NAN;
  if (code > layout.largest()) {
    const bool infinite = layout.top == Top::kIeee && code == layout.largest() + 1;
    if (!infinite) return NAN;
    return negative ? -INFINITY : INFINITY;
  }
  return negative ? -Magnitude(layout, code) : Magnitude(layout, code);
}

uint8_t EncodeFloat(const Layout& layout, double value, bool saturate) {
  const int sign = std::signbit(value) ? 1 << layout.sign_shift() : 0;
  const int negative_zero = 1 << layout.sign_shift();
  if (std::isnan(value)) {
    if (layout.top == Top::kFnuz) return static_cast<uint8_t>(negative_zero);
    // f4e2m1 has no NaN: -0, as ONNX's own conversion gives.
    if (layout.top == Top::kFinite) return static_cast<uint8_t>(negative_zero);
    return static_cast<uint8_t>(sign | layout.mask());
  }
  const double magnitude = std::fabs(value);
  // Codes are ordered as their magnitudes, so that the neighbours of a value are two codes.
  int low = 0, high = layout.largest() + 1;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    (Magnitude(layout, middle) <= magnitude ? low : high) = middle;
  }
  // `high` may be one above the largest: what that code would be without a limit.
  const double below = Magnitude(layout, low), above = Magnitude(layout, low + 1);
  const double middle = (below + above) / 2;
  const int code = low + (magnitude > middle || (magnitude == middle && (low & 1)) ? 1 : 0);
  if (code > layout.largest()) {
    if (saturate || layout.top == Top::kFinite)
      return static_cast<uint8_t>(sign | layout.largest());
    if (layout.top == Top::kFnuz) return static_cast<uint8_t>(negative_zero);
    return static_cast<uint8_t>(sign | (layout.largest() + 1));
  }
  if (layout.top == Top::kFnuz && code == 0) return 0;  // there is no -0
  return static_cast<uint8_t>(sign | code);
}

// f8e8m0: 2^(bits - 127), 255 is NaN; no sign, no zero.
uint8_t EncodePower(double value, bool saturate, PowerRounding rounding) {
  constexpr int kNan = 255;
  if (std::isnan(value)) return kNan;
  if (value <= 0x1p-127) {
    return value < 0 && !saturate ? kNan : 0;
  }
  if (std::isinf(value)) return saturate ? 254 : kNan;
  int exponent = 0;
  const double fraction = std::frexp(value, &exponent);  // in [0.5, 1)
  --exponent;
  const double rest = fraction * 2;  // in [1, 2)
  if (rounding == PowerRounding::kUp && rest > 1) ++exponent;
  if (rounding == PowerRounding::kNearest && rest >= 1.5) ++exponent;
  const int code = exponent + 127;
  if (code > 254) return saturate ? 254 : kNan;
  return static_cast<uint8_t>(std::max(code, 0));
}

// The low bits of a truncated value.
uint8_t EncodeInteger(double value, int bits) {
  if (!std::isfinite(value)) return 0;
  const double rest = std::fmod(std::trunc(value), 256.0);
  return static_cast<uint8_t>(static_cast<int>(rest) & ((1 << bits) - 1));
}

}  // namespace

bool IsNarrow(DType type) {
  switch (type) {
    case DType::kF8E4M3FN:
    case DType::kF8E4M3FNUZ:
    case DType::kF8E5M2:
    case DType::kF8E5M2FNUZ:
    case DType::kF8E8M0:
    case DType::kF4E2M1:
    case DType::kU4:
    case DType::kI4:
    case DType::kU2:
    case DType::kI2:
      return true;
    default:
      return false;
  }
}

double DecodeNarrow(DType type, uint8_t bits) {
  switch (type) {
    case DType::kU4:
      return bits & 15;
    case DType::kI4:
      return (bits & 15) - ((bits & 8) ? 16 : 0);
    case DType::kU2:
      return bits & 3;
    case DType::kI2:
      return (bits & 3) - ((bits & 2) ? 4 : 0);
    case DType::kF8E8M0:
      return bits == 255 ? NAN : std::ldexp(1.0, bits - 127);
    default:
      return DecodeFloat(LayoutOf(type), bits);
  }
}

uint8_t EncodeNarrow(DType type, double value, bool saturate, PowerRounding rounding) {
  switch (type) {
    case DType::kU4:
    case DType::kI4:
      return EncodeInteger(value, 4);
    case DType::kU2:
    case DType::kI2:
      return EncodeInteger(value, 2);
    case DType::kF8E8M0:
      return EncodePower(value, saturate, rounding);
    default:
      return EncodeFloat(LayoutOf(type), value, saturate);
  }
}

}  // namespace ingot
