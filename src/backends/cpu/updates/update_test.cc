// The loop that all updates share, on every instruction set: any cut, in place, numbers that are
// not finite. The formulas are checked with the ops' cases in kernel_cases_test.cc.
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "backends/cpu/buffer_test_util.h"
#include "backends/cpu/kernel_table.h"
#include "ingot/ir/builder.h"
#include "ingot/ops/nadam_momentum.h"
#include "ingot/ops/standard_ops.h"
#include "ingot/tensor/philox.h"

namespace ingot::cpu {
namespace {

using Floats = std::vector<float>;

Floats Random(size_t count, const std::string& name, float low, float high) {
  const RandomKey key(1, name);
  Floats values(count);
  for (size_t i = 0; i < count; ++i) {
    values[i] = low + (high - low) * static_cast<float>(key.Uniform(i));
  }
  return values;
}

struct Variant {
  std::string op;
  size_t states = 0;
  bool counts_steps = false;
  ir::Attributes attributes;
};

const std::vector<Variant>& Variants() {
  static const std::vector<Variant> variants = {
      {"ingot.Sgd", 0, false, {{"weight_decay", 0.1}}},
      {"ingot.Sgd", 1, false, {{"momentum", 0.9}, {"nesterov", int64_t{1}}}},
      {"ingot.Sgd", 2, false, {{"momentum", 0.9}, {"clip", 0.5}, {"average_decay", 0.9}}},
      {"ingot.Adam", 2, true, {{"weight_decay", 0.1}, {"decoupled", int64_t{1}}}},
      {"ingot.Adam", 4, true, {{"amsgrad", int64_t{1}}, {"average_decay", 0.9}}},
      {"ingot.RmsProp", 3, false, {{"centered", int64_t{1}}, {"momentum", 0.5}}},
      {"ingot.Adagrad", 1, true, {}},
      {"ingot.Adadelta", 2, false, {}},
      {"ingot.Adamax", 2, true, {}},
      {"ingot.Nadam", 2, true, {}},
      {"ingot.Radam", 2, true, {}},
      {"ingot.Lion", 1, false, {}},
  };
  return variants;
}

// One update of `count` floats: w, g and the state.
class Problem {
 public:
  Problem(const Variant& variant, size_t count) : variant_(variant), count_(count) {
    const auto size = static_cast<int64_t>(count);
    const auto input = [&](const std::string& name, DType dtype, Shape shape) {
      return graph_.AddInput(name, ir::Type::Tensor(dtype, shape));
    };
    std::vector<ir::Value*> inputs = {input("w", DType::kF32, {size}),
                                      input("g", DType::kF32, {size}),
                                      input("rate", DType::kF32, {})};
    if (variant.counts_steps) inputs.push_back(input("step", DType::kI64, {}));
    tensors_ = {Random(count, "w", -1, 1)};
    for (size_t s = 0; s < variant.states; ++s) {
      const std::string name = "state" + std::to_string(s);
      inputs.push_back(input(name, DType::kF32, {size}));
      tensors_.push_back(Random(count, name, 0.1f, 1));
    }
    g = Random(count, "g", -2, 2);
    ir::Builder builder(graph_, Ops());
    const auto outputs = builder.Ops(variant.op, inputs, 1 + variant.states, variant.attributes);
    kernel_ = MakeUpdateKernel(*outputs[0]->producer());
  }

  // From copies of the inputs into guarded buffers.
  bool Run(std::vector<Floats>& results) {
    std::vector<ExactCopy> in;
    std::vector<std::unique_ptr<GuardedBuffer>> out;
    ExactCopy gradient(g);
    for (const Floats& tensor : tensors_) {
      in.emplace_back(tensor);
      out.push_back(std::make_unique<GuardedBuffer>(count_ * sizeof(float), 4));
    }
    std::vector<void*> old_values, new_values;
    for (size_t t = 0; t < in.size(); ++t) {
      old_values.push_back(in[t].raw());
      new_values.push_back(out[t]->raw());
    }
    const bool finite = Call(old_values, gradient.raw(), new_values, count_);
    results.clear();
    for (const auto& buffer : out) {
      EXPECT_TRUE(buffer->Intact()) << variant_.op << " of " << count_;
      results.emplace_back(buffer->values().begin(), buffer->values().end());
    }
    return finite;
  }

  // Over the inputs, in two pieces.
  std::vector<Floats> RunInPlace(size_t cut) {
    std::vector<Floats> tensors = tensors_;
    for (const auto& [begin, end] : {std::pair{size_t{0}, cut}, std::pair{cut, count_}}) {
      std::vector<void*> at;
      for (Floats& tensor : tensors) at.push_back(tensor.data() + begin);
      EXPECT_TRUE(Call(at, g.data() + begin, at, end - begin));
    }
    return tensors;
  }

  Floats& w() { return tensors_[0]; }
  Floats g;

 private:
  static const ir::OpRegistry& Ops() {
    static const ir::OpRegistry registry = ops::StandardOps();
    return registry;
  }

  bool Call(const std::vector<void*>& from, void* gradient, const std::vector<void*>& to,
            size_t count) {
    float rate = 0.01f;
    int64_t step = 12;
    std::vector<void*> operands = {from[0], gradient, &rate};
    if (variant_.counts_steps) operands.push_back(&step);
    operands.insert(operands.end(), from.begin() + 1, from.end());
    operands.insert(operands.end(), to.begin(), to.end());
    std::vector<double> derived(kernel_->derived_count());
    kernel_->Derive(operands, derived.data());
    return kernel_->Run(operands, derived.data(), static_cast<int64_t>(count));
  }

  Variant variant_;
  size_t count_;
  ir::Graph graph_;
  std::vector<Floats> tensors_;
  std::shared_ptr<const runtime::UpdateKernel> kernel_;
};

bool SameBits(const std::vector<Floats>& a, const std::vector<Floats>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i].size() != b[i].size()) return false;
    if (std::memcmp(a[i].data(), b[i].data(), a[i].size() * sizeof(float)) != 0) return false;
  }
  return true;
}

class UpdateTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { UseInstructionSet(GetParam()); }
  void TearDown() override { UseInstructionSet(""); }
};

INSTANTIATE_TEST_SUITE_P(EverySet, UpdateTest, testing::ValuesIn(InstructionSets()),
                         [](const auto& info) { return info.param; });

// Tiles cut a parameter anywhere and overwrite it: neither changes a bit.
TEST_P(UpdateTest, DoesNotDependOnTheCut) {
  for (const Variant& variant : Variants()) {
    Problem problem(variant, 67);
    std::vector<Floats> whole;
    ASSERT_TRUE(problem.Run(whole));
    for (size_t cut = 0; cut <= 67; ++cut) {
      EXPECT_TRUE(SameBits(problem.RunInPlace(cut), whole)) << variant.op << " cut at " << cut;
    }
  }
}

TEST_P(UpdateTest, WritesItsRangeAlone) {
  for (const Variant& variant : Variants()) {
    for (size_t count = 0; count <= 40; ++count) {
      std::vector<Floats> results;
      EXPECT_TRUE(Problem(variant, count).Run(results));
    }
  }
}

constexpr float kNotFinite[] = {std::numeric_limits<float>::quiet_NaN(),
                                std::numeric_limits<float>::infinity(),
                                -std::numeric_limits<float>::infinity()};

// Also where clipping would hide it.
TEST_P(UpdateTest, NoticesAGradientOrParameterThatIsNotFiniteAnywhere) {
  std::vector<Floats> results;
  for (const Variant& variant : Variants()) {
    for (const size_t count : {size_t{1}, size_t{7}, size_t{19}}) {
      for (size_t at = 0; at < count; ++at) {
        for (const float value : kNotFinite) {
          Problem problem(variant, count);
          problem.g[at] = value;
          ASSERT_FALSE(problem.Run(results)) << variant.op << " g " << value << " at " << at;
          Problem other(variant, count);
          other.w()[at] = value;
          ASSERT_FALSE(other.Run(results)) << variant.op << " w " << value << " at " << at;
        }
      }
    }
  }
}

TEST_P(UpdateTest, TakesHugeGradientsForFinite) {
  Problem problem(Variants()[3], 23);
  problem.g.assign(23, -std::numeric_limits<float>::max());
  std::vector<Floats> results;
  EXPECT_TRUE(problem.Run(results));
}

// The product by its definition, and that it ends where it no longer matters.
TEST(NadamMomentumTest, IsTheProductOfAllMomenta) {
  for (const double decay : {0.0, 0.004, 1.0}) {
    double product = 1;
    for (int step = 1; step <= 60; ++step) {
      product *= ops::NadamMomentum::At(0.9, decay, step);
      const ops::NadamMomentum momentum(0.9, decay, step);
      EXPECT_NEAR(momentum.product, product, 1e-5 * product + 0x1p-60);
      EXPECT_EQ(momentum.next, ops::NadamMomentum::At(0.9, decay, step + 1));
    }
  }
  EXPECT_EQ(1 - static_cast<double>(ops::NadamMomentum(0.9, 0.004, 1e9).product), 1);
}

}  // namespace
}  // namespace ingot::cpu
