// The vector code of ingot.Adadelta.
#include <cmath>

#include "ingot/ir/op.h"

#ifndef HWY_TARGET_INCLUDE  // else its unit says it
#define HWY_TARGET_INCLUDE "backends/cpu/updates/adadelta_update.cc"
#endif
#include "hwy/foreach_target.h"
// foreach_target.h must come first.
#include "backends/cpu/updates/update-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {

// Numbers: learning rate, rho, 1 - rho, epsilon.
struct AdadeltaFormula {
  static constexpr int kStates = 2;
  template <class D, class V, class T>
  static HWY_INLINE void Step(D d, const T* n, V& w, V g, V& square, V& moved, V& /*c*/) {
    const V epsilon = hn::Set(d, n[3]);
    square = hn::Mul(square, hn::Set(d, n[1]));
    square = hn::MulAdd(hn::Mul(hn::Set(d, n[2]), g), g, square);
    const V ratio = hn::Div(hn::Sqrt(hn::Add(moved, epsilon)), hn::Sqrt(hn::Add(square, epsilon)));
    const V step = hn::Mul(ratio, g);
    moved = hn::Mul(moved, hn::Set(d, n[1]));
    moved = hn::MulAdd(hn::Mul(hn::Set(d, n[2]), step), step, moved);
    w = hn::NegMulAdd(hn::Set(d, n[0]), step, w);
  }
};

bool RunAdadelta(const UpdateRange& range, const double* numbers, int /*variant*/) {
  return RunFormula<AdadeltaFormula>(range, numbers);
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {

HWY_EXPORT(RunAdadelta);

UpdateCode AdadeltaUpdate(const ir::Node& node) {
  UpdateCode code;
  const double rho = node.GetFloat("rho");
  const double epsilon = node.GetFloat("epsilon");
  code.derive = [=](double rate, double /*step*/, double* n) {
    n[0] = rate;
    n[1] = rho;
    n[2] = 1 - rho;
    n[3] = epsilon;
  };
  code.run = [](const UpdateRange& range, const double* numbers, int variant) {
    return HWY_DYNAMIC_DISPATCH(RunAdadelta)(range, numbers, variant);
  };
  return code;
}

}  // namespace ingot::cpu
#endif
