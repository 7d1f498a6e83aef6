// NadamMomentum: NAdam's momentum of a step and the product of those up to it, which PyTorch keeps
// as state in f32; here a function of the step's number, so that there is nothing to store.
#pragma once

#include <algorithm>
#include <cmath>

namespace ingot::ops {

struct NadamMomentum {
  // `step` from 1. The product is right while 1 - product differs from 1.
  NadamMomentum(double beta1, double decay, double step)
      : now(At(beta1, decay, step)), next(At(beta1, decay, step + 1)) {
    // Below this, 1 - product is 1 in f64: the loop is short whatever the step.
    constexpr double kNegligible = 0x1p-60;
    constexpr double kConstantPower = 1e-17;  // and then the momentum is beta1 itself
    for (double t = 1; t <= step && product > kNegligible; ++t) {
      if (std::pow(0.96, t * decay) < kConstantPower) {
        product *= static_cast<float>(std::pow(beta1, step - t + 1));
        break;
      }
      product *= static_cast<float>(At(beta1, decay, t));
    }
  }

  static double At(double beta1, double decay, double step) {
    return beta1 * (1 - 0.5 * std::pow(0.96, step * decay));
  }

  double now;         // mu(step)
  double next;        // mu(step + 1)
  float product = 1;  // mu(1) ... mu(step)
};

}  // namespace ingot::ops
