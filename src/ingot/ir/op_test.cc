// Tests of the registry and its messages.
#include "ingot/ir/op.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/base/error.h"
#include "ingot/ir/test_ops.h"

namespace ingot::ir {
namespace {

using ::testing::HasSubstr;

OpDefinition Minimal(const std::string& name) {
  OpDefinition op;
  op.name = name;
  op.infer = [](InferContext&) {};
  op.reference = [](const ReferenceCall&) {};
  return op;
}

std::string FailureOf(OpDefinition op) {
  OpRegistry registry = TestOps();
  try {
    registry.Add(std::move(op));
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidInput);
    return error.message();
  }
  return "";
}

TEST(OpRegistry, FindsByNameAndDomain) {
  OpRegistry registry = TestOps();
  OpDefinition mine = Minimal("Add");
  mine.domain = "my";
  registry.Add(std::move(mine));
  EXPECT_EQ(registry.Get("Add").FullName(), "Add");
  EXPECT_EQ(registry.Get("Add", "my").FullName(), "my.Add");
  EXPECT_EQ(registry.Find("Add", "other"), nullptr);
  EXPECT_EQ(registry.Find("my.Add"), nullptr);
  EXPECT_NE(registry.Get("Step", "ingot").FindAttribute("axis"), nullptr);
  EXPECT_EQ(registry.Get("Step", "ingot").FindAttribute("axi"), nullptr);
}

TEST(OpRegistry, SuggestsTheNearestName) {
  const OpRegistry registry = TestOps();
  try {
    registry.Get("MatMull");
    FAIL() << "there is no such op";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
    EXPECT_EQ(error.message(), "op 'MatMull' is not known");
    EXPECT_EQ(error.hint(), "did you mean 'MatMul'?");
  }
  try {
    registry.Get("Convolution", "com.example");
    FAIL() << "there is no such op";
  } catch (const Error& error) {
    EXPECT_EQ(error.message(), "op 'com.example.Convolution' is not known");
    EXPECT_THAT(error.hint(), HasSubstr("OpRegistry::Add"));
  }
}

TEST(OpRegistry, ListsOnnxOpsFirst) {
  const OpRegistry registry = TestOps();
  const std::vector<const OpDefinition*> all = registry.All();
  ASSERT_GT(all.size(), 3u);
  EXPECT_EQ(all.front()->FullName(), "Add");
  EXPECT_EQ(all.back()->FullName(), "ingot.Step");
}

TEST(OpRegistry, RefusesIncompleteDefinitions) {
  EXPECT_EQ(FailureOf(Minimal("Fine")), "");
  EXPECT_THAT(FailureOf(Minimal("")), HasSubstr("it has no name"));
  EXPECT_EQ(FailureOf(Minimal("Add")),
            "op 'Add' cannot be registered: an op of that name exists already");
  EXPECT_THAT(FailureOf(Minimal("my.Op")), HasSubstr("its name holds a dot"));
  OpDefinition op = Minimal("X");
  op.infer = nullptr;
  EXPECT_THAT(FailureOf(op), HasSubstr("no shape rule"));
  op = Minimal("X");
  op.reference = nullptr;
  EXPECT_THAT(FailureOf(op), HasSubstr("no reference kernel"));
  op.dynamic_reference = [](const Node&, std::span<const Tensor>) { return std::vector<Tensor>(); };
  EXPECT_EQ(FailureOf(op), "");
}

TEST(OpRegistry, RefusesContradictorySchemas) {
  OpDefinition op = Minimal("X");
  op.inputs = {{"a", Port::Presence::kVariadic}, {"b"}};
  EXPECT_THAT(FailureOf(op), HasSubstr("only the last input may be variadic, but 'a'"));
  op = Minimal("X");
  op.outputs = {{"a"}, {"a"}};
  EXPECT_THAT(FailureOf(op), HasSubstr("two outputs are named 'a'"));
  op = Minimal("X");
  op.attributes = {{"k", AttributeKind::kInt, Attribute(1.0), false}};
  EXPECT_THAT(FailureOf(op), HasSubstr("'k' is declared as int, but its default is of kind float"));
  op = Minimal("X");
  op.attributes = {{"k"}, {"k"}};
  EXPECT_THAT(FailureOf(op), HasSubstr("two attributes are named 'k'"));
}

}  // namespace
}  // namespace ingot::ir
