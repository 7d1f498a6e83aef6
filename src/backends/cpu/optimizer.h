// The updates of Adam and SGD on ranges of f32, vectorised.
#pragma once

#include <cstddef>

namespace ingot::cpu {

struct AdamRange {
  const float* w = nullptr;
  const float* g = nullptr;
  const float* m = nullptr;
  const float* v = nullptr;
  float* new_w = nullptr;
  float* new_m = nullptr;
  float* new_v = nullptr;
  size_t count = 0;
};

// Of one step: see ingot.Adam for the formula.
struct AdamNumbers {
  float beta1 = 0, beta2 = 0, epsilon = 0;
  float one_minus_beta1 = 0, one_minus_beta2 = 0;
  float step_size = 0;         // learning_rate / (1 - beta1^step)
  float inverse_root = 0;      // 1 / sqrt(1 - beta2^step)
  float keep = 1;              // 1 - learning_rate * weight_decay where decoupled
  float gradient_decay = 0;    // weight_decay where not
};

// Both return whether every gradient and every new parameter is finite.
bool AdamUpdate(const AdamRange& range, const AdamNumbers& numbers);

struct SgdRange {
  const float* w = nullptr;
  const float* g = nullptr;
  const float* momentum = nullptr;  // null: none
  float* new_w = nullptr;
  float* new_momentum = nullptr;
  size_t count = 0;
};

bool SgdUpdate(const SgdRange& range, float learning_rate, float momentum, float weight_decay,
               bool nesterov);

}  // namespace ingot::cpu
