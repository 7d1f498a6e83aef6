// The vector code of ingot.Adamax.
#include <cmath>

#include "ingot/ir/op.h"

#ifndef HWY_TARGET_INCLUDE  // else its unit says it
#define HWY_TARGET_INCLUDE "backends/cpu/updates/adamax_update.cc"
#endif
#include "hwy/foreach_target.h"
// foreach_target.h must come first.
#include "backends/cpu/updates/update-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {

// Numbers: 1 - b1, b2, epsilon, lr / (1 - b1^t).
struct AdamaxFormula {
  static constexpr int kStates = 2;
  template <class D, class V, class T>
  static HWY_INLINE void Step(D d, const T* n, V& w, V g, V& m, V& largest, V& /*c*/) {
    m = MoveTowards(m, g, hn::Set(d, n[0]));
    largest = hn::Max(hn::Mul(hn::Set(d, n[1]), largest), hn::Add(hn::Abs(g), hn::Set(d, n[2])));
    w = hn::NegMulAdd(hn::Set(d, n[3]), hn::Div(m, largest), w);
  }
};

bool RunAdamax(const UpdateRange& range, const double* numbers, int /*variant*/) {
  return RunFormula<AdamaxFormula>(range, numbers);
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {

HWY_EXPORT(RunAdamax);

UpdateCode AdamaxUpdate(const ir::Node& node) {
  UpdateCode code;
  const double beta1 = node.GetFloat("beta1");
  const double beta2 = node.GetFloat("beta2");
  const double epsilon = node.GetFloat("epsilon");
  code.derive = [=](double rate, double step, double* n) {
    n[0] = 1 - beta1;
    n[1] = beta2;
    n[2] = epsilon;
    n[3] = rate / (1 - std::pow(beta1, step));
  };
  code.run = [](const UpdateRange& range, const double* numbers, int variant) {
    return HWY_DYNAMIC_DISPATCH(RunAdamax)(range, numbers, variant);
  };
  return code;
}

}  // namespace ingot::cpu
#endif
