// The vector code of ingot.Nadam.
#include <cmath>

#include "ingot/ir/op.h"
#include "ingot/ops/nadam_momentum.h"

#ifndef HWY_TARGET_INCLUDE  // else its unit says it
#define HWY_TARGET_INCLUDE "backends/cpu/updates/nadam_update.cc"
#endif
#include "hwy/foreach_target.h"
// foreach_target.h must come first.
#include "backends/cpu/updates/update-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {

// Numbers: 1 - b1, b2, 1 - b2, epsilon, the rates of gradient and moment, 1 / sqrt(1 - b2^t).
struct NadamFormula {
  static constexpr int kStates = 2;
  template <class D, class V, class T>
  static HWY_INLINE void Step(D d, const T* n, V& w, V g, V& m, V& v, V& /*c*/) {
    m = MoveTowards(m, g, hn::Set(d, n[0]));
    v = hn::Mul(v, hn::Set(d, n[1]));
    v = hn::MulAdd(hn::Mul(hn::Set(d, n[2]), g), g, v);
    const V root = hn::MulAdd(hn::Sqrt(v), hn::Set(d, n[6]), hn::Set(d, n[3]));
    w = hn::NegMulAdd(hn::Set(d, n[4]), hn::Div(g, root), w);
    w = hn::NegMulAdd(hn::Set(d, n[5]), hn::Div(m, root), w);
  }
};

bool RunNadam(const UpdateRange& range, const double* numbers, int /*variant*/) {
  return RunFormula<NadamFormula>(range, numbers);
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {

HWY_EXPORT(RunNadam);

UpdateCode NadamUpdate(const ir::Node& node) {
  UpdateCode code;
  const double beta1 = node.GetFloat("beta1");
  const double beta2 = node.GetFloat("beta2");
  const double epsilon = node.GetFloat("epsilon");
  const double momentum_decay = node.GetFloat("momentum_decay");
  code.derive = [=](double rate, double step, double* n) {
    const ops::NadamMomentum momentum(beta1, momentum_decay, step);
    n[0] = 1 - beta1;
    n[1] = beta2;
    n[2] = 1 - beta2;
    n[3] = epsilon;
    n[4] = rate * (1 - momentum.now) / (1 - static_cast<double>(momentum.product));
    n[5] = rate * momentum.next / (1 - momentum.product * momentum.next);
    n[6] = 1 / std::sqrt(1 - std::pow(beta2, step));
  };
  code.run = [](const UpdateRange& range, const double* numbers, int variant) {
    return HWY_DYNAMIC_DISPATCH(RunNadam)(range, numbers, variant);
  };
  return code;
}

}  // namespace ingot::cpu
#endif
