// What a matrix product or an elementwise chain does to a value before it is stored.
#pragma once

#include <cstdint>

namespace ingot::cpu {

struct Epilogue {
  enum class Kind : uint8_t {
    kNone,
    kRelu,
    kLeakyRelu,     // alpha: slope below zero
    kElu,           // alpha
    kSigmoid,
    kTanh,
    kGelu,          // exact, by erf
    kGeluTanh,
    kReluGradient,  // value where y > 0, else 0
  };
  Kind kind = Kind::kNone;
  float alpha = 0;
};

}  // namespace ingot::cpu
