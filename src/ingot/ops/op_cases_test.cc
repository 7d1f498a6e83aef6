// Every case of every op: its reference, its shape rule, its precision and its gradient.
#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "ingot/base/error.h"
#include "ingot/ops/definition.h"
#include "ingot/ops/op_case_runner.h"
#include "ingot/ops/standard_ops.h"

namespace ingot::ops {
namespace {

std::vector<std::string> OpNames() {
  std::vector<std::string> names;
  const ir::OpRegistry registry = StandardOps();
  for (const ir::OpDefinition* op : registry.All()) names.push_back(op->FullName());
  return names;
}

const ir::OpDefinition& Find(const ir::OpRegistry& registry, const std::string& full_name) {
  const size_t dot = full_name.rfind('.');
  return dot == std::string::npos
             ? registry.Get(full_name)
             : registry.Get(full_name.substr(dot + 1), full_name.substr(0, dot));
}

// Ops on strings, sequences, optionals and subgraphs, which cases cannot hold, have tests of their
// own: control_flow_test.cc and strings_test.cc in families/.
bool HasTestsOfItsOwn(const ir::OpDefinition& op) {
  const std::set<std::string> strings = {"RegexFullMatch", "StringConcat", "StringNormalizer",
                                         "StringSplit"};
  return (op.value_reference && op.cases.empty()) || strings.count(op.FullName()) > 0;
}

class OpCasesTest : public testing::TestWithParam<std::string> {
 protected:
  const ir::OpRegistry registry_ = StandardOps();
};

TEST_P(OpCasesTest, Hold) {
  const ir::OpDefinition& op = Find(registry_, GetParam());
  ASSERT_TRUE(!op.cases.empty() || HasTestsOfItsOwn(op)) << "every op needs a case";
  for (const ir::OpCase& op_case : op.cases) {
    for (const std::string& fault : CheckCase(registry_, op, op_case)) {
      ADD_FAILURE() << op.FullName() << ", case " << op_case.name << ": " << fault;
    }
  }
}

TEST_P(OpCasesTest, AreToldApartByName) {
  const ir::OpDefinition& op = Find(registry_, GetParam());
  std::vector<std::string> names;
  for (const ir::OpCase& op_case : op.cases) names.push_back(op_case.name);
  std::sort(names.begin(), names.end());
  EXPECT_EQ(std::adjacent_find(names.begin(), names.end()), names.end());
}

TEST_P(OpCasesTest, SomethingIsKnownOfTheResult) {
  // Random inputs alone would compare the reference with itself.
  const ir::OpDefinition& op = Find(registry_, GetParam());
  if (HasTestsOfItsOwn(op)) return;
  EXPECT_TRUE(std::any_of(op.cases.begin(), op.cases.end(), [](const ir::OpCase& op_case) {
    const auto& expected = op_case.expected;
    return op_case.formula != nullptr ||
           std::any_of(expected.begin(), expected.end(),
                       [](const std::vector<double>& values) { return !values.empty(); });
  })) << op.FullName();
}

TEST_P(OpCasesTest, TheGradientIsCheckedWhereThereIsOne) {
  // Their gradient is 0 wherever it exists; RoundTo passes it through instead.
  const std::set<std::string> piecewise_constant = {"Ceil", "Floor", "Round", "Sign",
                                                    "ingot.RoundTo"};
  const ir::OpDefinition& op = Find(registry_, GetParam());
  if (!op.gradient || piecewise_constant.count(op.FullName()) > 0) return;
  EXPECT_TRUE(std::any_of(op.cases.begin(), op.cases.end(),
                          [](const ir::OpCase& op_case) { return op_case.gradient; }));
}

INSTANTIATE_TEST_SUITE_P(AllOps, OpCasesTest, testing::ValuesIn(OpNames()),
                         [](const testing::TestParamInfo<std::string>& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '.', '_');
                           return name;
                         });

// ---- the checks themselves find faults ----

// An op that squares, with a fault where asked for.
ir::OpDefinition Square(bool wrong_value, bool wrong_type, bool imprecise, bool wrong_gradient) {
  ir::OpDefinition op;
  op.name = "Square";
  op.inputs = {Required("X")};
  op.outputs = {Required("Y")};
  op.infer = [wrong_type](ir::InferContext& context) {
    const ir::Type& x = context.input(0);
    ir::Dimensions dims = x.dims();
    if (wrong_type && !dims[0].is_static()) dims[0] = ir::Dimension(7);
    context.SetOutput(0, x.WithDims(dims));
  };
  op.reference = [=](const ir::ReferenceCall& call) {
    DispatchFloat("Square", call.input(0).dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      for (int64_t i = 0; i < call.output().size(); ++i) {
        const double x = call.input(0).as<T>()[i];
        const double off = imprecise && sizeof(T) == 4 ? 1.00001 : 1;
        call.output().as<T>()[i] = static_cast<T>(x * x * off + (wrong_value && i == 0 ? 1e-6 : 0));
      }
    });
  };
  op.gradient = [wrong_gradient](ir::GradientContext& context) {
    ir::Builder& b = context.builder();
    ir::Value* twice = b.MulScalar(context.input(0), wrong_gradient ? 2.001 : 2);
    context.SetInputGradient(0, b.Mul(twice, context.output_gradient()));
  };
  op.cases = {ir::OpCase{
      .name = "three", .inputs = {Floats({3}, {0.5, 2, -3})}, .expected = {{0.25, 4, 9}}}};
  return op;
}

std::string FaultsOf(ir::OpDefinition op) {
  ir::OpRegistry registry = StandardOps();
  registry.Add(std::move(op));
  const ir::OpDefinition& square = registry.Get("Square");
  std::string all;
  for (const std::string& fault : CheckCase(registry, square, square.cases[0])) all += fault + "\n";
  return all;
}

TEST(CheckCaseTest, FindsNothingInARightOp) {
  EXPECT_EQ(FaultsOf(Square(false, false, false, false)), "");
}

TEST(CheckCaseTest, FindsAWrongValue) {
  EXPECT_NE(FaultsOf(Square(true, false, false, false)).find("output 0 [0] is 0.250001, expected"),
            std::string::npos);
}

TEST(CheckCaseTest, FindsAWrongType) {
  EXPECT_NE(
      FaultsOf(Square(false, true, false, false))
          .find("output 0 is f32[3], but with unknown extents its type is inferred as f32[7]"),
      std::string::npos);
}

TEST(CheckCaseTest, FindsLowPrecision) {
  EXPECT_NE(FaultsOf(Square(false, false, true, false)).find("in f32, against f64, output 0 [2]"),
            std::string::npos);
}

TEST(CheckCaseTest, FindsAWrongGradient) {
  EXPECT_NE(FaultsOf(Square(false, false, false, true)).find("the gradient for input 0 is"),
            std::string::npos);
}

TEST(CompareTest, SaysWhereAndByHowMuch) {
  const Tensor expected = Tensor::Of<double>({2, 2}, {1, 2, 3, 4});
  EXPECT_EQ(Compare(expected, expected, 0), "");
  const Tensor actual = Tensor::Of<double>({2, 2}, {1, 2, 3.5, 4});
  EXPECT_EQ(Compare(actual, expected, 0.01),
            "[1, 0] is 3.5, expected 3 (differs by 0.5, allowed 0.04)");
  EXPECT_EQ(Compare(actual, expected, 0.125), "");
  EXPECT_EQ(Compare(actual.Reshape({4}), expected, 1), "is f64[4], expected f64[2, 2]");
}

TEST(CompareTest, TreatsNanAndInfinityAsValues) {
  const Tensor special = Tensor::Of<double>({3}, {NAN, INFINITY, 1});
  EXPECT_EQ(Compare(special, special, 0), "");
  const Tensor finite = Tensor::Of<double>({3}, {NAN, 5, 1});
  EXPECT_NE(Compare(finite, special, 1e9), "");
  EXPECT_NE(Compare(special, finite, 1e9), "");
}

}  // namespace
}  // namespace ingot::ops
