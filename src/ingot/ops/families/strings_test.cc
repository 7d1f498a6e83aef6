// Ops on strings, in the interpreter.
#include <cmath>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "ingot/ir/builder.h"
#include "ingot/ops/interpreter.h"
#include "ingot/ops/standard_ops.h"

namespace ingot::ops {
namespace {

using ir::Attribute;
using ir::Attributes;
using Strings = std::vector<std::string>;

class StringsTest : public testing::Test {
 protected:
  std::vector<Tensor> Run(const std::string& op, const std::vector<Tensor>& inputs,
                          Attributes attributes = {}, size_t outputs = 1) {
    ir::Graph graph;
    ir::Builder builder(graph, registry_);
    std::vector<ir::Value*> values;
    for (const Tensor& input : inputs) {
      values.push_back(graph.AddInput("in" + std::to_string(values.size()),
                                      ir::Type::Tensor(input.dtype(), input.shape())));
    }
    for (ir::Value* output : builder.Ops(op, values, outputs, std::move(attributes))) {
      graph.AddOutput(output, "out" + std::to_string(graph.outputs().size()));
    }
    return InterpretInOrder(graph, inputs);
  }

  ir::OpRegistry registry_ = StandardOps();
};

TEST_F(StringsTest, ConcatBroadcasts) {
  const auto y = Run("StringConcat",
                     {Tensor::OfStrings({2, 1}, {"a", "b"}), Tensor::OfStrings({2}, {"x", ""})});
  EXPECT_EQ(y[0].shape(), (Shape{2, 2}));
  EXPECT_EQ(y[0].ToStrings(), (Strings{"ax", "a", "bx", "b"}));
}

TEST_F(StringsTest, SplitPadsWithEmptyStrings) {
  const Tensor x = Tensor::OfStrings({2}, {"a,b,,c", "d"});
  const auto y = Run("StringSplit", {x}, {{"delimiter", Attribute(std::string(","))}}, 2);
  EXPECT_EQ(y[0].shape(), (Shape{2, 4}));
  EXPECT_EQ(y[0].ToStrings(), (Strings{"a", "b", "", "c", "d", "", "", ""}));
  EXPECT_EQ(y[1].ToInts(), (std::vector<int64_t>{4, 1}));
}

TEST_F(StringsTest, SplitAtSpacesKeepsTheRestAfterTheLastSplit) {
  const Tensor x = Tensor::OfStrings({1}, {"  one  two three "});
  const auto y = Run("StringSplit", {x}, {{"maxsplit", Attribute(int64_t{1})}}, 2);
  EXPECT_EQ(y[0].ToStrings(), (Strings{"one", "two three"}));
}

TEST_F(StringsTest, NormalizerDropsStopWords) {
  const Tensor x = Tensor::OfStrings({3}, {"Monday", "monday", "Tuesday"});
  const Attributes attributes = {{"case_change_action", Attribute(std::string("UPPER"))},
                                 {"is_case_sensitive", Attribute(int64_t{1})},
                                 {"stopwords", Attribute(Strings{"monday"})}};
  EXPECT_EQ(Run("StringNormalizer", {x}, attributes)[0].ToStrings(),
            (Strings{"MONDAY", "TUESDAY"}));
}

TEST_F(StringsTest, RegexMatchesTheWholeString) {
  const Tensor x = Tensor::OfStrings({2}, {"ab12", "ab12c"});
  const auto y = Run("RegexFullMatch", {x}, {{"pattern", Attribute(std::string("[a-z]+[0-9]+"))}});
  EXPECT_EQ(y[0].ToInts(), (std::vector<int64_t>{1, 0}));
}

TEST_F(StringsTest, CastWritesAndReadsNumbers) {
  const Attributes to_string = {{"to", Attribute(static_cast<int64_t>(DType::kString))}};
  const Tensor x = Tensor::Of<float>({4}, {0.5F, 100, 1e-5F, -INFINITY});
  const auto texts = Run("Cast", {x}, to_string);
  EXPECT_EQ(texts[0].ToStrings(), (Strings{"0.5", "100.0", "1e-05", "-inf"}));
  const auto back = Run("Cast", {texts[0]}, {{"to", Attribute(static_cast<int64_t>(DType::kF32))}});
  EXPECT_EQ(back[0].ToDoubles(), x.ToDoubles());
}

TEST_F(StringsTest, MovingOpsMoveStrings) {
  const Tensor x = Tensor::OfStrings({2, 2}, {"a", "b", "c", "a longer text than fits in place"});
  const auto y = Run("Transpose", {x});
  EXPECT_EQ(y[0].ToStrings(), (Strings{"a", "c", "b", "a longer text than fits in place"}));
  const auto same = Run("Equal", {x, y[0]});
  EXPECT_EQ(same[0].ToInts(), (std::vector<int64_t>{1, 0, 0, 1}));
}

}  // namespace
}  // namespace ingot::ops
