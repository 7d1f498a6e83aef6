// The vector code of ingot.Lion.
#include <cmath>

#include "ingot/ir/op.h"

#ifndef HWY_TARGET_INCLUDE  // else its unit says it
#define HWY_TARGET_INCLUDE "backends/cpu/updates/lion_update.cc"
#endif
#include "hwy/foreach_target.h"
// foreach_target.h must come first.
#include "backends/cpu/updates/update-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {

// Numbers: learning rate, 1 - b1, 1 - b2.
struct LionFormula {
  static constexpr int kStates = 1;
  template <class D, class V, class T>
  static HWY_INLINE void Step(D d, const T* n, V& w, V g, V& m, V& /*b*/, V& /*c*/) {
    const V direction = MoveTowards(m, g, hn::Set(d, n[1]));
    const V length = hn::IfThenElseZero(hn::Ne(direction, hn::Zero(d)), hn::Set(d, n[0]));
    w = hn::Sub(w, hn::CopySign(length, direction));
    m = MoveTowards(m, g, hn::Set(d, n[2]));
  }
};

bool RunLion(const UpdateRange& range, const double* numbers, int /*variant*/) {
  return RunFormula<LionFormula>(range, numbers);
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {

HWY_EXPORT(RunLion);

UpdateCode LionUpdate(const ir::Node& node) {
  UpdateCode code;
  const double beta1 = node.GetFloat("beta1");
  const double beta2 = node.GetFloat("beta2");
  code.derive = [=](double rate, double /*step*/, double* n) {
    n[0] = rate;
    n[1] = 1 - beta1;
    n[2] = 1 - beta2;
  };
  code.run = [](const UpdateRange& range, const double* numbers, int variant) {
    return HWY_DYNAMIC_DISPATCH(RunLion)(range, numbers, variant);
  };
  return code;
}

}  // namespace ingot::cpu
#endif
