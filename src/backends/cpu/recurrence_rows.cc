// Gates of LSTM and GRU, for every instruction set.
#include "backends/cpu/recurrence_rows.h"

#ifndef HWY_TARGET_INCLUDE  // else its unit says it
#define HWY_TARGET_INCLUDE "backends/cpu/recurrence_rows.cc"
#endif
#include "hwy/foreach_target.h"
// foreach_target.h must come first.
#include "hwy/highway.h"

#include "backends/cpu/activation-inl.h"
#include "backends/cpu/row_parts-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {

void LstmGatesImpl(const GateRow& row) {
  const size_t n = row.hidden;
  ForEachPart(n, [&](auto d, size_t j) HWY_ATTR {
    const auto sum = [&](size_t gate) HWY_ATTR {
      return hn::Add(hn::LoadU(d, row.input + gate * n + j), hn::LoadU(d, row.bias + gate * n + j));
    };
    const auto i = SigmoidOf(d, sum(0));
    const auto o = SigmoidOf(d, sum(1));
    const auto f = SigmoidOf(d, sum(2));
    const auto g = TanhOf(d, sum(3));
    const auto c = hn::MulAdd(f, hn::LoadU(d, row.old_c + j), hn::Mul(i, g));
    hn::StoreU(i, d, row.kept + j);
    hn::StoreU(o, d, row.kept + n + j);
    hn::StoreU(f, d, row.kept + 2 * n + j);
    hn::StoreU(g, d, row.kept + 3 * n + j);
    hn::StoreU(c, d, row.kept + 4 * n + j);
    hn::StoreU(hn::Mul(o, TanhOf(d, c)), d, row.h + j);
  });
}

void GruGatesImpl(const GateRow& row) {
  const size_t n = row.hidden;
  ForEachPart(n, [&](auto d, size_t j) HWY_ATTR {
    const auto input = [&](size_t gate) HWY_ATTR {
      return hn::Add(hn::LoadU(d, row.input + gate * n + j), hn::LoadU(d, row.bias + gate * n + j));
    };
    const auto recurrent = [&](size_t gate) HWY_ATTR {
      return hn::Add(hn::LoadU(d, row.recurrent + gate * n + j),
                     hn::LoadU(d, row.bias_h + gate * n + j));
    };
    const auto z = SigmoidOf(d, hn::Add(input(0), recurrent(0)));
    const auto r = SigmoidOf(d, hn::Add(input(1), recurrent(1)));
    const auto q = recurrent(2);
    const auto candidate = TanhOf(d, hn::MulAdd(r, q, input(2)));
    const auto old_h = hn::LoadU(d, row.old_h + j);
    hn::StoreU(z, d, row.kept + j);
    hn::StoreU(r, d, row.kept + n + j);
    hn::StoreU(candidate, d, row.kept + 2 * n + j);
    hn::StoreU(q, d, row.kept + 3 * n + j);
    hn::StoreU(hn::MulAdd(z, hn::Sub(old_h, candidate), candidate), d, row.h + j);
  });
}

void LstmGateGradientsImpl(const GateGradientRow& row) {
  const size_t n = row.hidden;
  ForEachPart(n, [&](auto d, size_t j) HWY_ATTR {
    const auto one = hn::Set(d, 1.0f);
    const auto kept = [&](size_t which) HWY_ATTR { return hn::LoadU(d, row.kept + which * n + j); };
    const auto i = kept(0), o = kept(1), f = kept(2), g = kept(3);
    const auto t = TanhOf(d, kept(4));
    auto dh = hn::LoadU(d, row.dh + j);
    if (row.dy != nullptr) dh = hn::Add(dh, hn::LoadU(d, row.dy + j));
    const auto dc = hn::MulAdd(hn::Mul(dh, o), hn::NegMulAdd(t, t, one), hn::LoadU(d, row.dc + j));
    const auto slope = [&](auto gate) HWY_ATTR { return hn::NegMulAdd(gate, gate, gate); };
    hn::StoreU(hn::Mul(hn::Mul(dc, g), slope(i)), d, row.d_input + j);
    hn::StoreU(hn::Mul(hn::Mul(dh, t), slope(o)), d, row.d_input + n + j);
    hn::StoreU(hn::Mul(hn::Mul(dc, hn::LoadU(d, row.old_c + j)), slope(f)), d,
               row.d_input + 2 * n + j);
    hn::StoreU(hn::Mul(hn::Mul(dc, i), hn::NegMulAdd(g, g, one)), d, row.d_input + 3 * n + j);
    hn::StoreU(hn::Mul(dc, f), d, row.dc + j);
  });
}

void GruGateGradientsImpl(const GateGradientRow& row) {
  const size_t n = row.hidden;
  ForEachPart(n, [&](auto d, size_t j) HWY_ATTR {
    const auto one = hn::Set(d, 1.0f);
    const auto kept = [&](size_t which) HWY_ATTR { return hn::LoadU(d, row.kept + which * n + j); };
    const auto z = kept(0), r = kept(1), candidate = kept(2), q = kept(3);
    auto dh = hn::LoadU(d, row.dh + j);
    if (row.dy != nullptr) dh = hn::Add(dh, hn::LoadU(d, row.dy + j));
    const auto slope = [&](auto gate) HWY_ATTR { return hn::NegMulAdd(gate, gate, gate); };
    const auto change = hn::Sub(hn::LoadU(d, row.old_h + j), candidate);
    const auto dz = hn::Mul(hn::Mul(dh, change), slope(z));
    const auto dn = hn::Mul(hn::Mul(dh, hn::Sub(one, z)), hn::NegMulAdd(candidate, candidate, one));
    const auto dr = hn::Mul(hn::Mul(dn, q), slope(r));
    hn::StoreU(dz, d, row.d_input + j);
    hn::StoreU(dr, d, row.d_input + n + j);
    hn::StoreU(dn, d, row.d_input + 2 * n + j);
    hn::StoreU(dz, d, row.d_recurrent + j);
    hn::StoreU(dr, d, row.d_recurrent + n + j);
    hn::StoreU(hn::Mul(dn, r), d, row.d_recurrent + 2 * n + j);
    hn::StoreU(hn::Mul(dh, z), d, row.dh + j);
  });
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {

HWY_EXPORT(LstmGatesImpl);
HWY_EXPORT(GruGatesImpl);
HWY_EXPORT(LstmGateGradientsImpl);
HWY_EXPORT(GruGateGradientsImpl);

void LstmGates(const GateRow& row) {
  HWY_DYNAMIC_DISPATCH(LstmGatesImpl)(row);
}

void GruGates(const GateRow& row) {
  HWY_DYNAMIC_DISPATCH(GruGatesImpl)(row);
}

void LstmGateGradients(const GateGradientRow& row) {
  HWY_DYNAMIC_DISPATCH(LstmGateGradientsImpl)(row);
}

void GruGateGradients(const GateGradientRow& row) {
  HWY_DYNAMIC_DISPATCH(GruGateGradientsImpl)(row);
}

}  // namespace ingot::cpu
#endif
