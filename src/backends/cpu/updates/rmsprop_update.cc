// The vector code of ingot.RmsProp.
#include <cmath>

#include "ingot/ir/op.h"

#ifndef HWY_TARGET_INCLUDE  // else its unit says it
#define HWY_TARGET_INCLUDE "backends/cpu/updates/rmsprop_update.cc"
#endif
#include "hwy/foreach_target.h"
// foreach_target.h must come first.
#include "backends/cpu/updates/update-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {

// Numbers: learning rate, alpha, 1 - alpha, epsilon, momentum.
template <bool kCentered, bool kMomentum>
struct RmsPropFormula {
  static constexpr int kStates = 1 + (kCentered ? 1 : 0) + (kMomentum ? 1 : 0);
  template <class D, class V, class T>
  static HWY_INLINE void Step(D d, const T* n, V& w, V g, V& square, V& second, V& third) {
    square = hn::Mul(square, hn::Set(d, n[1]));
    square = hn::MulAdd(hn::Mul(hn::Set(d, n[2]), g), g, square);
    V variance = square;
    if constexpr (kCentered) {
      second = MoveTowards(second, g, hn::Set(d, n[2]));
      variance = hn::Max(hn::NegMulAdd(second, second, square), hn::Zero(d));
    }
    V step = hn::Div(g, hn::Add(hn::Sqrt(variance), hn::Set(d, n[3])));
    if constexpr (kMomentum) {
      V& momentum = kCentered ? third : second;
      momentum = hn::MulAdd(hn::Set(d, n[4]), momentum, step);
      step = momentum;
    }
    w = hn::NegMulAdd(hn::Set(d, n[0]), step, w);
  }
};

bool RunRmsProp(const UpdateRange& range, const double* numbers, int variant) {
  switch (variant) {
    case 0:
      return RunFormula<RmsPropFormula<false, false>>(range, numbers);
    case 1:
      return RunFormula<RmsPropFormula<true, false>>(range, numbers);
    case 2:
      return RunFormula<RmsPropFormula<false, true>>(range, numbers);
    default:
      return RunFormula<RmsPropFormula<true, true>>(range, numbers);
  }
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {

HWY_EXPORT(RunRmsProp);

UpdateCode RmsPropUpdate(const ir::Node& node) {
  UpdateCode code;
  const double alpha = node.GetFloat("alpha");
  const double epsilon = node.GetFloat("epsilon");
  const double momentum = node.GetFloat("momentum");
  code.variant = (node.GetInt("centered") != 0 ? 1 : 0) + (momentum != 0 ? 2 : 0);
  code.derive = [=](double rate, double /*step*/, double* n) {
    n[0] = rate;
    n[1] = alpha;
    n[2] = 1 - alpha;
    n[3] = epsilon;
    n[4] = momentum;
  };
  code.run = [](const UpdateRange& range, const double* numbers, int variant) {
    return HWY_DYNAMIC_DISPATCH(RunRmsProp)(range, numbers, variant);
  };
  return code;
}

}  // namespace ingot::cpu
#endif
