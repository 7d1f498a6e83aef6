// The vector code of ingot.Adam.
#include <cmath>

#include "ingot/ir/op.h"

#ifndef HWY_TARGET_INCLUDE  // else its unit says it
#define HWY_TARGET_INCLUDE "backends/cpu/updates/adam_update.cc"
#endif
#include "hwy/foreach_target.h"
// foreach_target.h must come first.
#include "backends/cpu/updates/update-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {

// Numbers: 1 - b1, b2, 1 - b2, epsilon, lr / (1 - b1^t), 1 / sqrt(1 - b2^t).
template <bool kAmsgrad>
struct AdamFormula {
  static constexpr int kStates = kAmsgrad ? 3 : 2;
  template <class D, class V, class T>
  static HWY_INLINE void Step(D d, const T* n, V& w, V g, V& m, V& v, V& largest) {
    m = MoveTowards(m, g, hn::Set(d, n[0]));
    v = hn::Mul(v, hn::Set(d, n[1]));
    v = hn::MulAdd(hn::Mul(hn::Set(d, n[2]), g), g, v);
    if constexpr (kAmsgrad) largest = hn::Max(largest, v);
    const V square = kAmsgrad ? largest : v;
    const V root = hn::MulAdd(hn::Sqrt(square), hn::Set(d, n[5]), hn::Set(d, n[3]));
    w = hn::NegMulAdd(hn::Set(d, n[4]), hn::Div(m, root), w);
  }
};

bool RunAdam(const UpdateRange& range, const double* numbers, int variant) {
  return variant != 0 ? RunFormula<AdamFormula<true>>(range, numbers)
                      : RunFormula<AdamFormula<false>>(range, numbers);
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {

HWY_EXPORT(RunAdam);

UpdateCode AdamUpdate(const ir::Node& node) {
  UpdateCode code;
  const double beta1 = node.GetFloat("beta1");
  const double beta2 = node.GetFloat("beta2");
  const double epsilon = node.GetFloat("epsilon");
  code.variant = node.GetInt("amsgrad") != 0 ? 1 : 0;
  code.derive = [=](double rate, double step, double* n) {
    n[0] = 1 - beta1;
    n[1] = beta2;
    n[2] = 1 - beta2;
    n[3] = epsilon;
    n[4] = rate / (1 - std::pow(beta1, step));
    n[5] = 1 / std::sqrt(1 - std::pow(beta2, step));
  };
  code.run = [](const UpdateRange& range, const double* numbers, int variant) {
    return HWY_DYNAMIC_DISPATCH(RunAdam)(range, numbers, variant);
  };
  return code;
}

}  // namespace ingot::cpu
#endif
