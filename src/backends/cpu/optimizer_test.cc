// The updates of Adam and SGD against their formulas in double, on every instruction set.
#include "backends/cpu/optimizer.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "backends/cpu/buffer_test_util.h"
#include "backends/cpu/kernel_table.h"
#include "ingot/tensor/philox.h"

namespace ingot::cpu {
namespace {

std::vector<float> Random(size_t count, const std::string& name, float low, float high) {
  const RandomKey key(1, name);
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) {
    values[i] = low + (high - low) * static_cast<float>(key.Uniform(i));
  }
  return values;
}

AdamNumbers Numbers(double weight_decay, bool decoupled, int step) {
  const double rate = 0.01, beta1 = 0.9, beta2 = 0.999;
  AdamNumbers n;
  n.beta1 = static_cast<float>(beta1);
  n.beta2 = static_cast<float>(beta2);
  n.epsilon = 1e-8f;
  n.one_minus_beta1 = static_cast<float>(1 - beta1);
  n.one_minus_beta2 = static_cast<float>(1 - beta2);
  n.step_size = static_cast<float>(rate / (1 - std::pow(beta1, step)));
  n.inverse_root = static_cast<float>(1 / std::sqrt(1 - std::pow(beta2, step)));
  n.keep = decoupled ? static_cast<float>(1 - rate * weight_decay) : 1.0f;
  n.gradient_decay = decoupled ? 0.0f : static_cast<float>(weight_decay);
  return n;
}

// w, g, m, v and what comes of them.
struct AdamState {
  explicit AdamState(size_t count)
      : w(Random(count, "w", -1, 1)),
        g(Random(count, "g", -2, 2)),
        m(Random(count, "m", -1, 1)),
        v(Random(count, "v", 0, 1)) {}

  // Element i by the formula of ingot.Adam, in double.
  void Expect(const AdamNumbers& n, size_t i, double& new_w, double& new_m, double& new_v) const {
    const double gradient = g[i] + static_cast<double>(n.gradient_decay) * w[i];
    new_m = m[i] + n.one_minus_beta1 * (gradient - m[i]);
    new_v = static_cast<double>(n.beta2) * v[i] + n.one_minus_beta2 * gradient * gradient;
    const double root = std::sqrt(new_v) * n.inverse_root + n.epsilon;
    new_w = static_cast<double>(n.keep) * w[i] - n.step_size * new_m / root;
  }

  std::vector<float> w, g, m, v;
};

struct AdamResult {
  std::vector<float> w, m, v;
  bool finite = false;
  bool operator==(const AdamResult& other) const {
    const auto same = [](const std::vector<float>& a, const std::vector<float>& b) {
      return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
    };
    return same(w, other.w) && same(m, other.m) && same(v, other.v) && finite == other.finite;
  }
};

AdamResult RunAdam(const AdamState& s, const AdamNumbers& numbers) {
  ExactCopy w(s.w), g(s.g), m(s.m), v(s.v);
  const size_t bytes = s.w.size() * sizeof(float);
  GuardedBuffer new_w(bytes, 4), new_m(bytes, 4), new_v(bytes, 4);
  AdamRange range = {w.floats(),     g.floats(),     m.floats(),     v.floats(),
                     new_w.floats(), new_m.floats(), new_v.floats(), s.w.size()};
  AdamResult result;
  result.finite = AdamUpdate(range, numbers);
  EXPECT_TRUE(new_w.Intact() && new_m.Intact() && new_v.Intact()) << s.w.size() << " elements";
  result.w.assign(new_w.values().begin(), new_w.values().end());
  result.m.assign(new_m.values().begin(), new_m.values().end());
  result.v.assign(new_v.values().begin(), new_v.values().end());
  return result;
}

AdamResult RunAdamInPlace(AdamState s, const AdamNumbers& numbers, size_t cut) {
  AdamResult result;
  result.finite = true;
  for (const auto& [begin, end] : {std::pair{size_t{0}, cut}, std::pair{cut, s.w.size()}}) {
    const AdamRange range = {s.w.data() + begin, s.g.data() + begin, s.m.data() + begin,
                             s.v.data() + begin, s.w.data() + begin, s.m.data() + begin,
                             s.v.data() + begin, end - begin};
    result.finite = AdamUpdate(range, numbers) && result.finite;
  }
  result.w = s.w;
  result.m = s.m;
  result.v = s.v;
  return result;
}

class OptimizerTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { UseInstructionSet(GetParam()); }
  void TearDown() override { UseInstructionSet(""); }
};

INSTANTIATE_TEST_SUITE_P(EverySet, OptimizerTest, testing::ValuesIn(InstructionSets()),
                         [](const auto& info) { return info.param; });

TEST_P(OptimizerTest, AdamFollowsItsFormula) {
  for (const auto& [decay, decoupled] : {std::pair{0.0, false}, {0.1, false}, {0.1, true}}) {
    for (const int step : {1, 2, 1000}) {
      const AdamNumbers numbers = Numbers(decay, decoupled, step);
      for (size_t count = 0; count <= 70; ++count) {
        const AdamState state(count);
        const AdamResult result = RunAdam(state, numbers);
        ASSERT_TRUE(result.finite);
        for (size_t i = 0; i < count; ++i) {
          double w = 0, m = 0, v = 0;
          state.Expect(numbers, i, w, m, v);
          ASSERT_NEAR(result.m[i], m, 5e-7) << i << " of " << count;
          ASSERT_NEAR(result.v[i], v, 5e-7 * v) << i << " of " << count;
          ASSERT_NEAR(result.w[i], w, 3e-7 + 1e-6 * std::fabs(w - state.w[i]))
              << i << " of " << count;
        }
      }
    }
  }
}

// Tiles cut a parameter anywhere and overwrite it: neither changes a bit.
TEST_P(OptimizerTest, AdamDoesNotDependOnTheCut) {
  const AdamNumbers numbers = Numbers(0.1, true, 3);
  const AdamState state(67);
  const AdamResult whole = RunAdam(state, numbers);
  for (size_t cut = 0; cut <= 67; ++cut) {
    EXPECT_TRUE(RunAdamInPlace(state, numbers, cut) == whole) << "cut at " << cut;
  }
}

TEST_P(OptimizerTest, AdamOfNothingLeavesTheWeightsAlone) {
  AdamState state(19);
  for (auto* values : {&state.g, &state.m, &state.v}) std::fill(values->begin(), values->end(), 0);
  const AdamResult result = RunAdam(state, Numbers(0, false, 1));
  EXPECT_EQ(result.w, state.w);
  EXPECT_TRUE(result.finite);
}

constexpr float kNotFinite[] = {std::numeric_limits<float>::quiet_NaN(),
                                std::numeric_limits<float>::infinity(),
                                -std::numeric_limits<float>::infinity()};

TEST_P(OptimizerTest, AdamNoticesAGradientThatIsNotFiniteAnywhere) {
  const AdamNumbers numbers = Numbers(0.1, false, 1);
  for (size_t count = 1; count <= 40; ++count) {
    for (size_t at = 0; at < count; ++at) {
      for (const float value : kNotFinite) {
        AdamState state(count);
        state.g[at] = value;
        ASSERT_FALSE(RunAdam(state, numbers).finite) << value << " at " << at << " of " << count;
      }
    }
  }
}

TEST_P(OptimizerTest, AdamTakesHugeGradientsForFinite) {
  for (size_t count = 1; count <= 40; ++count) {
    AdamState state(count);
    std::fill(state.g.begin(), state.g.end(), -std::numeric_limits<float>::max());
    EXPECT_TRUE(RunAdam(state, Numbers(0.1, false, 1)).finite) << count;
  }
}

// A finite gradient may still leave a parameter that is not.
TEST_P(OptimizerTest, AdamNoticesAParameterThatIsNotFiniteAnywhere) {
  const AdamNumbers numbers = Numbers(0, false, 1);
  for (size_t count = 1; count <= 40; ++count) {
    for (size_t at = 0; at < count; ++at) {
      for (const float value : kNotFinite) {
        AdamState state(count);
        state.w[at] = value;
        ASSERT_FALSE(RunAdam(state, numbers).finite) << value << " at " << at << " of " << count;
      }
    }
  }
}

// ---- SGD ----

struct SgdResult {
  std::vector<float> w, momentum;
  bool finite = false;
};

SgdResult RunSgd(const std::vector<float>& w, const std::vector<float>& g,
                 const std::vector<float>& momentum, float factor, float decay, bool nesterov) {
  ExactCopy weights(w), gradients(g), buffer(momentum);
  GuardedBuffer new_w(w.size() * sizeof(float), 4), new_buffer(momentum.size() * sizeof(float), 4);
  SgdRange range;
  range.w = weights.floats();
  range.g = gradients.floats();
  range.new_w = new_w.floats();
  range.count = w.size();
  if (factor != 0) {
    range.momentum = buffer.floats();
    range.new_momentum = new_buffer.floats();
  }
  SgdResult result;
  result.finite = SgdUpdate(range, 0.05f, factor, decay, nesterov);
  EXPECT_TRUE(new_w.Intact() && new_buffer.Intact()) << w.size() << " elements";
  result.w.assign(new_w.values().begin(), new_w.values().end());
  result.momentum.assign(new_buffer.values().begin(), new_buffer.values().end());
  return result;
}

TEST_P(OptimizerTest, SgdFollowsItsFormula) {
  struct Variant {
    float momentum, decay;
    bool nesterov;
  };
  for (const Variant& variant : {Variant{0, 0, false}, Variant{0, 0.1f, false},
                                 Variant{0.9f, 0, false}, Variant{0.9f, 0.1f, true}}) {
    for (size_t count = 0; count <= 70; ++count) {
      const std::vector<float> w = Random(count, "w", -1, 1);
      const std::vector<float> g = Random(count, "g", -2, 2);
      const std::vector<float> buffer = Random(variant.momentum == 0 ? 0 : count, "b", -1, 1);
      const SgdResult result =
          RunSgd(w, g, buffer, variant.momentum, variant.decay, variant.nesterov);
      ASSERT_TRUE(result.finite);
      for (size_t i = 0; i < count; ++i) {
        double step = g[i] + static_cast<double>(variant.decay) * w[i];
        if (variant.momentum != 0) {
          const double kept = static_cast<double>(variant.momentum) * buffer[i] + step;
          ASSERT_NEAR(result.momentum[i], kept, 5e-7) << i << " of " << count;
          step = variant.nesterov ? step + variant.momentum * kept : kept;
        }
        ASSERT_NEAR(result.w[i], w[i] - 0.05f * step, 3e-7) << i << " of " << count;
      }
    }
  }
}

TEST_P(OptimizerTest, SgdDoesNotDependOnTheCut) {
  const std::vector<float> w = Random(67, "w", -1, 1);
  const std::vector<float> g = Random(67, "g", -2, 2);
  const std::vector<float> buffer = Random(67, "b", -1, 1);
  const SgdResult whole = RunSgd(w, g, buffer, 0.9f, 0.1f, true);
  for (size_t cut = 0; cut <= 67; ++cut) {
    std::vector<float> new_w = w, new_buffer = buffer;
    for (const auto& [begin, end] : {std::pair{size_t{0}, cut}, std::pair{cut, size_t{67}}}) {
      const SgdRange range = {new_w.data() + begin,      g.data() + begin,
                              new_buffer.data() + begin, new_w.data() + begin,
                              new_buffer.data() + begin, end - begin};
      EXPECT_TRUE(SgdUpdate(range, 0.05f, 0.9f, 0.1f, true));
    }
    EXPECT_EQ(new_w, whole.w) << "cut at " << cut;
    EXPECT_EQ(new_buffer, whole.momentum) << "cut at " << cut;
  }
}

TEST_P(OptimizerTest, SgdNoticesAGradientThatIsNotFiniteAnywhere) {
  for (size_t count = 1; count <= 40; ++count) {
    for (size_t at = 0; at < count; ++at) {
      for (const float value : kNotFinite) {
        std::vector<float> g(count, std::numeric_limits<float>::max());
        const std::vector<float> w(count, 1), buffer(count, 1);
        ASSERT_TRUE(RunSgd(w, g, {}, 0, 0, false).finite);
        g[at] = value;
        ASSERT_FALSE(RunSgd(w, g, {}, 0, 0, false).finite) << value << " at " << at;
        ASSERT_FALSE(RunSgd(w, g, buffer, 0.9f, 0, true).finite) << value << " at " << at;
      }
    }
  }
}

// The step of a finite gradient can be too long for a float.
TEST_P(OptimizerTest, SgdNoticesAParameterThatOverflowsAnywhere) {
  for (size_t count = 1; count <= 40; ++count) {
    for (size_t at = 0; at < count; ++at) {
      std::vector<float> g(count, 1);
      std::vector<float> w(count, 1);
      g[at] = std::numeric_limits<float>::max();
      ASSERT_TRUE(RunSgd(w, g, {}, 0, 0, false).finite);
      w[at] = -std::numeric_limits<float>::max();
      ASSERT_FALSE(RunSgd(w, g, {}, 0, 0, false).finite) << at << " of " << count;
    }
  }
}

}  // namespace
}  // namespace ingot::cpu
