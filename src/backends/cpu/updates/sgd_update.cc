// The vector code of ingot.Sgd.
#include <cmath>

#include "ingot/ir/op.h"

#ifndef HWY_TARGET_INCLUDE  // else its unit says it
#define HWY_TARGET_INCLUDE "backends/cpu/updates/sgd_update.cc"
#endif
#include "hwy/foreach_target.h"
// foreach_target.h must come first.
#include "backends/cpu/updates/update-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {

// Numbers: learning rate, momentum.
template <bool kMomentum, bool kNesterov>
struct SgdFormula {
  static constexpr int kStates = kMomentum ? 1 : 0;
  template <class D, class V, class T>
  static HWY_INLINE void Step(D d, const T* n, V& w, V g, V& momentum, V& /*b*/, V& /*c*/) {
    if constexpr (kMomentum) {
      momentum = hn::MulAdd(hn::Set(d, n[1]), momentum, g);
      g = kNesterov ? hn::MulAdd(hn::Set(d, n[1]), momentum, g) : momentum;
    }
    w = hn::NegMulAdd(hn::Set(d, n[0]), g, w);
  }
};

bool RunSgd(const UpdateRange& range, const double* numbers, int variant) {
  switch (variant) {
    case 0:
      return RunFormula<SgdFormula<false, false>>(range, numbers);
    case 1:
      return RunFormula<SgdFormula<true, false>>(range, numbers);
    default:
      return RunFormula<SgdFormula<true, true>>(range, numbers);
  }
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {

HWY_EXPORT(RunSgd);

UpdateCode SgdUpdate(const ir::Node& node) {
  UpdateCode code;
  const double momentum = node.GetFloat("momentum");
  code.variant = momentum == 0 ? 0 : node.GetInt("nesterov") == 0 ? 1 : 2;
  code.derive = [momentum](double rate, double /*step*/, double* n) {
    n[0] = rate;
    n[1] = momentum;
  };
  code.run = [](const UpdateRange& range, const double* numbers, int variant) {
    return HWY_DYNAMIC_DISPATCH(RunSgd)(range, numbers, variant);
  };
  return code;
}

}  // namespace ingot::cpu
#endif
