// What a matrix product or an elementwise chain does to a value before it is stored.
#pragma once

#include <cstdint>

namespace ingot::cpu {

struct Epilogue {
  enum class Kind : uint8_t {
    kNone,
    kRelu,
    kLeakyRelu,  // alpha: slope below zero
    kElu,        // alpha
    kSigmoid,
    kTanh,
    kGelu,  // exact, by erf
    kGeluTanh,
    kReluGradient,  // value where y > 0, else 0
    kClip,          // to [alpha, beta]
    kSilu,          // x * sigmoid(x)
    kHardSwish,     // x * clip(x / 6 + 1/2, 0, 1)
    kHardSigmoid,   // clip(alpha * x + beta, 0, 1)
  };
  Kind kind = Kind::kNone;
  float alpha = 0;
  float beta = 0;
};

}  // namespace ingot::cpu
