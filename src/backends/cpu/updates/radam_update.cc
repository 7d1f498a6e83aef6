// The vector code of ingot.Radam.
#include <cmath>

#include "ingot/ir/op.h"

#ifndef HWY_TARGET_INCLUDE  // else its unit says it
#define HWY_TARGET_INCLUDE "backends/cpu/updates/radam_update.cc"
#endif
#include "hwy/foreach_target.h"
// foreach_target.h must come first.
#include "backends/cpu/updates/update-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {

// Numbers: 1 - b1, b2, 1 - b2, the rate, and the denominator's parts: sqrt(v) times n[4] plus n[5].
struct RadamFormula {
  static constexpr int kStates = 2;
  template <class D, class V, class T>
  static HWY_INLINE void Step(D d, const T* n, V& w, V g, V& m, V& v, V& /*c*/) {
    m = MoveTowards(m, g, hn::Set(d, n[0]));
    v = hn::Mul(v, hn::Set(d, n[1]));
    v = hn::MulAdd(hn::Mul(hn::Set(d, n[2]), g), g, v);
    const V root = hn::MulAdd(hn::Sqrt(v), hn::Set(d, n[4]), hn::Set(d, n[5]));
    w = hn::NegMulAdd(hn::Set(d, n[3]), hn::Div(m, root), w);
  }
};

bool RunRadam(const UpdateRange& range, const double* numbers, int /*variant*/) {
  return RunFormula<RadamFormula>(range, numbers);
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {

HWY_EXPORT(RunRadam);

UpdateCode RadamUpdate(const ir::Node& node) {
  UpdateCode code;
  const double beta1 = node.GetFloat("beta1");
  const double beta2 = node.GetFloat("beta2");
  const double epsilon = node.GetFloat("epsilon");
  code.derive = [=](double rate, double step, double* n) {
    const double correction = 1 - std::pow(beta2, step);
    const double longest = 2 / (1 - beta2) - 1;
    const double length = longest - 2 * step * std::pow(beta2, step) / correction;
    const bool adaptive = length > 5;
    const double rectifier =
        std::sqrt((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length));
    n[0] = 1 - beta1;
    n[1] = beta2;
    n[2] = 1 - beta2;
    n[3] = rate / (1 - std::pow(beta1, step)) * (adaptive ? rectifier * std::sqrt(correction) : 1);
    n[4] = adaptive ? 1 : 0;  // before that the denominator is 1
    n[5] = adaptive ? epsilon : 1;
  };
  code.run = [](const UpdateRange& range, const double* numbers, int variant) {
    return HWY_DYNAMIC_DISPATCH(RunRadam)(range, numbers, variant);
  };
  return code;
}

}  // namespace ingot::cpu
#endif
