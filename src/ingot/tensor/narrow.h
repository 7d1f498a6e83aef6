// Conversions of the narrow types, which are storage alone: 8- and 4-bit floats (OCP's formats and
// the FNUZ variants) and integers of 4 and 2 bits, each in a byte of its own (the low bits).
#pragma once

#include <cstdint>

#include "ingot/tensor/dtype.h"

namespace ingot {

// f8*, f4e2m1 and integers of 4 and 2 bits: converted and moved; nothing is computed in them.
bool IsNarrow(DType type);

// How f8e8m0, a power of two, rounds what lies between two of them.
enum class PowerRounding { kUp, kDown, kNearest };

// The exact value; NaN and infinity where the format has them.
double DecodeNarrow(DType type, uint8_t bits);

// Floats are rounded to nearest even. What is beyond the largest finite number (infinity too)
// becomes that number where `saturate`, else infinity or, in formats without one, NaN; f4e2m1 has
// neither and always saturates. Integers are truncated towards zero and wrap around.
uint8_t EncodeNarrow(DType type, double value, bool saturate = true,
                     PowerRounding rounding = PowerRounding::kUp);

}  // namespace ingot
