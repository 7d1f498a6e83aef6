// The vector code of ingot.Adagrad.
#include <cmath>

#include "ingot/ir/op.h"

#ifndef HWY_TARGET_INCLUDE  // else its unit says it
#define HWY_TARGET_INCLUDE "backends/cpu/updates/adagrad_update.cc"
#endif
#include "hwy/foreach_target.h"
// foreach_target.h must come first.
#include "backends/cpu/updates/update-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {

// Numbers: the step's rate, epsilon.
struct AdagradFormula {
  static constexpr int kStates = 1;
  template <class D, class V, class T>
  static HWY_INLINE void Step(D d, const T* n, V& w, V g, V& sum, V& /*b*/, V& /*c*/) {
    sum = hn::MulAdd(g, g, sum);
    const V step = hn::Div(g, hn::Add(hn::Sqrt(sum), hn::Set(d, n[1])));
    w = hn::NegMulAdd(hn::Set(d, n[0]), step, w);
  }
};

bool RunAdagrad(const UpdateRange& range, const double* numbers, int /*variant*/) {
  return RunFormula<AdagradFormula>(range, numbers);
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {

HWY_EXPORT(RunAdagrad);

UpdateCode AdagradUpdate(const ir::Node& node) {
  UpdateCode code;
  const double epsilon = node.GetFloat("epsilon");
  const double rate_decay = node.GetFloat("rate_decay");
  code.derive = [=](double rate, double step, double* n) {
    n[0] = rate / (1 + (step - 1) * rate_decay);
    n[1] = epsilon;
  };
  code.run = [](const UpdateRange& range, const double* numbers, int variant) {
    return HWY_DYNAMIC_DISPATCH(RunAdagrad)(range, numbers, variant);
  };
  return code;
}

}  // namespace ingot::cpu
#endif
