// What the importer makes of models: names, subgraphs, functions, initializers, old versions.
#include "ingot/onnx/import.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/base/error.h"
#include "ingot/onnx/test_model.h"
#include "ingot/ops/definition.h"

namespace ingot::onnx {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Tensor Floats(std::initializer_list<float> values) {
  return Tensor::Of<float>({static_cast<int64_t>(values.size())}, values);
}

// What went wrong; "" where nothing did.
std::string Failure(const TestModel& model) {
  try {
    model.Import();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(ImportTest, NodesInAnyOrder) {
  TestModel model;
  TestGraph graph = model.graph().Input("x", DType::kF32, {"n"}).Output("z");
  graph.Node("Neg", {"y"}, {"z"});
  graph.Node("Exp", {"x"}, {"y"});
  EXPECT_THAT(model.Run({{"x", Floats({0})}}).ToDoubles(), ElementsAre(-1));
}

TEST(ImportTest, CyclesNameTheirNodes) {
  TestModel model;
  TestGraph graph = model.graph().Input("x", DType::kF32, {"n"}).Output("z");
  graph.Node("Add", {"x", "z"}, {"y"});
  graph.Node("Neg", {"y"}, {"z"});
  EXPECT_THAT(Failure(model), HasSubstr("these nodes wait for each other: Add node 'the_Add', Neg "
                                        "node 'the_Neg'"));
}

TEST(ImportTest, UnknownNamesAndNamesThatAreTakenAreRefused) {
  TestModel unknown;
  unknown.graph().Output("y").Node("Neg", {"x"}, {"y"});
  EXPECT_THAT(Failure(unknown), HasSubstr("Neg node 'the_Neg': it takes 'x', which is no input, "
                                          "initializer or output of a node"));
  TestModel twice;
  TestGraph graph = twice.graph().Input("x", DType::kF32, {"n"}).Output("y");
  graph.Node("Neg", {"x"}, {"y"});
  graph.Node("Exp", {"x"}, {"y"});
  EXPECT_THAT(Failure(twice), HasSubstr("'y' is made twice"));
  TestModel hidden;
  hidden.graph().Input("x", DType::kF32, {"n"}).Output("y").Node("Neg", {"x"}, {"x"});
  EXPECT_NE(Failure(hidden), "");
}

TEST(ImportTest, AllMissingOpsAreListed) {
  TestModel model;
  TestGraph graph = model.graph().Input("x", DType::kF32, {"n"}).Output("z");
  graph.Node("Swirl", {"x"}, {"a"}, "com.example");
  graph.Node("Swirl", {"a"}, {"b"}, "com.example").set_name("second");
  auto& choice = graph.Node("If", {"x"}, {"z"});
  Subgraph(choice, "then_branch").Output("t").Node("NoSuchOp", {"b"}, {"t"});
  const std::string message = Failure(model);
  EXPECT_THAT(message, HasSubstr("it has 2 ops that Ingot does not have:\n  NoSuchOp: node "
                                 "'the_If/the_NoSuchOp'\n  com.example.Swirl: nodes 'the_Swirl', "
                                 "'second'"));
}

// Running sums along an axis.
onnx_proto::NodeProto& AddScan(TestGraph& graph, const Names& inputs) {
  auto& scan = graph.Node("Scan", inputs, {"last", "sums"});
  SetInt(scan, "num_scan_inputs", 1);
  TestGraph body = Subgraph(scan, "body")
                       .Input("state", DType::kF32, {"2"})
                       .Input("x", DType::kF32, {"2"})
                       .Output("next")
                       .Output("each");
  body.Node("Add", {"state", "x"}, {"next"});
  body.Node("Identity", {"next"}, {"each"});
  return scan;
}

TEST(ImportTest, ScansWithAndWithoutABatch) {
  const Tensor x = Tensor::Of<float>({1, 3, 2}, {1, 2, 3, 4, 5, 6});
  TestModel now;
  TestGraph graph = now.graph()
                        .Input("x", DType::kF32, {"3", "2"})
                        .Initializer("start", Floats({0, 0}))
                        .Output("sums");
  AddScan(graph, {"start", "x"});
  EXPECT_THAT(now.Run({{"x", x.Reshape({3, 2})}}).ToDoubles(), ElementsAre(1, 2, 4, 6, 9, 12));
  TestModel old(8);
  TestGraph batched = old.graph()
                          .Input("x", DType::kF32, {"1", "3", "2"})
                          .Initializer("start", Tensor(DType::kF32, {1, 2}))
                          .Output("sums");
  AddScan(batched, {"", "start", "x"});
  const Tensor sums = old.Run({{"x", x}});
  EXPECT_EQ(sums.Describe(), "f32[1, 3, 2]");
  EXPECT_THAT(sums.ToDoubles(), ElementsAre(1, 2, 4, 6, 9, 12));
}

TEST(ImportTest, GradientsAreNodes) {
  TestModel model;
  TestGraph graph =
      model.graph().Input("a", DType::kF32, {"2"}).Input("b", DType::kF32, {"2"}).Output("db");
  auto& gradient = graph.Node("Gradient", {"a", "b"}, {"da", "db"}, "ai.onnx.preview.training");
  auto& xs = AddAttribute(gradient, "xs");
  xs.set_type(onnx_proto::AttributeProto::STRINGS);
  xs.add_strings("a");
  xs.add_strings("b");
  SetText(gradient, "y", "c");
  graph.Node("Mul", {"a", "b"}, {"c"});
  EXPECT_THAT(model.Run({{"a", Floats({3, 5})}, {"b", Floats({1, 1})}}).ToDoubles(),
              ElementsAre(3, 5));
}

// f(a, b, scale) = LeakyRelu(a - b, alpha = scale), where b may be left out.
onnx_proto::FunctionProto& AddFunction(TestModel& model) {
  model.proto.add_opset_import()->set_domain("local");
  model.proto.mutable_opset_import(1)->set_version(1);
  auto& function = *model.proto.add_functions();
  function.set_name("F");
  function.set_domain("local");
  function.add_input("a");
  function.add_input("b");
  function.add_output("r");
  function.add_attribute("scale");
  function.add_opset_import()->set_version(13);
  return function;
}

TEST(ImportTest, FunctionsAreInlinedWithTheirAttributes) {
  TestModel model;
  auto& function = AddFunction(model);
  auto& sub = *function.add_node();
  sub.set_op_type("Sub");
  sub.add_input("a");
  sub.add_input("b");
  sub.add_output("d");
  auto& leaky = *function.add_node();
  leaky.set_op_type("LeakyRelu");
  leaky.add_input("d");
  leaky.add_output("r");
  auto& alpha = *leaky.add_attribute();
  alpha.set_name("alpha");
  alpha.set_ref_attr_name("scale");
  alpha.set_type(onnx_proto::AttributeProto::FLOAT);
  TestGraph graph = model.graph().Input("x", DType::kF32, {"n"}).Output("z");
  SetFloat(graph.Node("F", {"x", "x"}, {"zero"}, "local"), "scale", 0.5F);
  SetFloat(graph.Node("F", {"zero", "x"}, {"z"}, "local"), "scale", 0.25F);
  EXPECT_THAT(model.Run({{"x", Floats({4, -2})}}).ToDoubles(), ElementsAre(-1, 2));
}

TEST(ImportTest, FunctionsThatCallThemselvesAreRefused) {
  TestModel model;
  auto& node = *AddFunction(model).add_node();
  node.set_op_type("F");
  node.set_domain("local");
  node.add_input("a");
  node.add_output("r");
  model.graph().Input("x", DType::kF32, {"n"}).Output("z").Node("F", {"x"}, {"z"}, "local");
  EXPECT_THAT(Failure(model), HasSubstr("function 'F' calls itself"));
}

TEST(ImportTest, FunctionsCannotMakeMoreNodesThanMemoryHolds) {
  TestModel model;
  model.proto.add_opset_import()->set_domain("local");
  for (int i = 0; i < 40; ++i) {
    auto& function = *model.proto.add_functions();
    function.set_domain("local");
    function.set_name("F" + std::to_string(i));
    function.add_input("a");
    function.add_output("r");
    for (const char* out : {"b", "r"}) {
      auto& node = *function.add_node();
      node.set_op_type(i == 0 ? "Neg" : "F" + std::to_string(i - 1));
      if (i > 0) node.set_domain("local");
      node.add_input(out[0] == 'b' ? "a" : "b");
      node.add_output(out);
    }
  }
  model.graph().Input("x", DType::kF32, {"n"}).Output("z").Node("F39", {"x"}, {"z"}, "local");
  EXPECT_THAT(Failure(model), HasSubstr("when its functions are inlined"));
}

TEST(ImportTest, InitializersThatAreInputsCanBeReplaced) {
  TestModel model;
  TestGraph graph = model.graph()
                        .Input("x", DType::kF32, {"n"})
                        .Input("w", DType::kF32, {"1"})
                        .Initializer("w", Floats({2}))
                        .Output("y");
  graph.Node("Mul", {"x", "w"}, {"y"});
  EXPECT_THAT(model.Run({{"x", Floats({3})}}).ToDoubles(), ElementsAre(6));
  const ImportedModel other = model.Import({{{"w", Floats({5})}}});
  EXPECT_EQ(other.replaceable.count("w"), 1u);
  EXPECT_THAT(ops::Interpret(*other.graph, {{"x", Floats({3})}}).at("y").ToDoubles(),
              ElementsAre(15));
  EXPECT_THROW(model.Import({{{"w", Floats({5, 6})}}}), Error);
  EXPECT_THROW(model.Import({{{"x", Floats({5})}}}), Error);
}

TEST(ImportTest, SubgraphsCaptureValuesAndConstants) {
  TestModel model;
  TestGraph graph = model.graph()
                        .Input("x", DType::kF32, {"n"})
                        .Input("choice", DType::kBool)
                        .Initializer("two", Floats({2}))
                        .Output("y");
  graph.Node("Exp", {"x"}, {"e"});
  auto& choice = graph.Node("If", {"choice"}, {"y"});
  Subgraph(choice, "then_branch").Output("t").Node("Mul", {"x", "two"}, {"t"});
  TestGraph otherwise = Subgraph(choice, "else_branch").Output("o");
  otherwise.Node("Add", {"e", "x"}, {"o"});
  const Tensor x = Floats({0, 3});
  EXPECT_THAT(model.Run({{"x", x}, {"choice", Tensor::Scalar(true)}}).ToDoubles(),
              ElementsAre(0, 6));
  EXPECT_EQ(model.Run({{"x", x}, {"choice", Tensor::Scalar(false)}}).ToDoubles()[0], 1);
}

TEST(ImportTest, LoopsCarryAndStack) {
  TestModel model;
  TestGraph graph = model.graph()
                        .Input("times", DType::kI64)
                        .Input("x", DType::kF32, {"n"})
                        .Initializer("start", Floats({1}))
                        .Output("all");
  auto& loop = graph.Node("Loop", {"times", "", "start"}, {"last", "all"});
  TestGraph body = Subgraph(loop, "body")
                       .Input("i", DType::kI64)
                       .Input("go", DType::kBool)
                       .Input("v", DType::kF32, {"1"})
                       .Output("again")
                       .Output("next")
                       .Output("each");
  body.Node("Identity", {"go"}, {"again"});
  body.Node("Mul", {"v", "x"}, {"next"});
  body.Node("Neg", {"next"}, {"each"});
  const Tensor all = model.Run({{"times", Tensor::Scalar<int64_t>(3)}, {"x", Floats({2})}});
  EXPECT_EQ(all.Describe(), "f32[3, 1]");
  EXPECT_THAT(all.ToDoubles(), ElementsAre(-2, -4, -8));
}

// Passes look for the tensor of a Constant, whichever attribute it was given by.
TEST(ImportTest, ConstantsAreTensorsInEveryForm) {
  TestModel model;
  TestGraph graph = model.graph().Output("f").Output("i").Output("fs").Output("is");
  SetFloat(graph.Node("Constant", {}, {"f"}), "value_float", 0.5F);
  SetInt(graph.Node("Constant", {}, {"i"}), "value_int", -3);
  auto* floats = graph.Node("Constant", {}, {"fs"}).add_attribute();
  floats->set_name("value_floats");
  floats->set_type(onnx_proto::AttributeProto::FLOATS);
  floats->add_floats(1.5F);
  floats->add_floats(2);
  SetInts(graph.Node("Constant", {}, {"is"}), "value_ints", {7, 8, 9});
  const ImportedModel imported = model.Import();
  const std::vector<std::vector<double>> expected = {{0.5}, {-3}, {1.5, 2}, {7, 8, 9}};
  for (size_t i = 0; i < expected.size(); ++i) {
    const Tensor* tensor = ops::ConstantValue(imported.graph->outputs()[i]);
    ASSERT_NE(tensor, nullptr) << i;
    EXPECT_EQ(tensor->ToDoubles(), expected[i]) << i;
    EXPECT_EQ(tensor->dtype(), i % 2 == 0 ? DType::kF32 : DType::kI64) << i;
  }
}

TEST(ImportTest, StringsAndSequencesPass) {
  TestModel model;
  TestGraph graph = model.graph().Input("text", DType::kString, {"n"}).Output("y");
  graph.Node("SequenceConstruct", {"text", "text"}, {"both"});
  graph.Node("Constant", {}, {"last"}).add_attribute()->set_name("value_int");
  graph.proto().mutable_node(1)->mutable_attribute(0)->set_i(-1);
  graph.proto().mutable_node(1)->mutable_attribute(0)->set_type(onnx_proto::AttributeProto::INT);
  graph.Node("SequenceAt", {"both", "last"}, {"one"});
  SetInt(graph.Node("Concat", {"one", "text"}, {"y"}), "axis", 0);
  EXPECT_THAT(model.Run({{"text", Tensor::OfStrings({2}, {"a", "bc"})}}).ToStrings(),
              ElementsAre("a", "bc", "a", "bc"));
}

// Of one number, with weights of one.
Tensor RunRecurrence(const Names& activations, const std::string& direction) {
  const int64_t directions = direction == "bidirectional" ? 2 : 1;
  TestModel model;
  const Tensor ones = Tensor::Of<float>({2, 1, 1}, {1, 1});
  const Tensor weights = directions == 2 ? ones : Tensor::Of<float>({1, 1, 1}, {1});
  TestGraph graph = model.graph()
                        .Input("x", DType::kF32, {"1", "1", "1"})
                        .Initializer("w", weights)
                        .Initializer("r", weights)
                        .Output("y");
  auto& node = graph.Node("RNN", {"x", "w", "r"}, {"y"});
  SetInt(node, "hidden_size", 1);
  SetText(node, "direction", direction);
  SetTexts(node, "activations", activations);
  return model.Run({{"x", Tensor::Of<float>({1, 1, 1}, {0.5F})}});
}

TEST(ImportTest, ActivationsOfRecurrencesMayBeNamed) {
  const auto tanh = testing::DoubleNear(0.46211715, 1e-6);
  EXPECT_THAT(RunRecurrence({"Tanh"}, "forward").ToDoubles(), ElementsAre(tanh));
  EXPECT_THAT(RunRecurrence({"tanh", "Tanh"}, "bidirectional").ToDoubles(),
              ElementsAre(tanh, tanh));
  EXPECT_THROW(RunRecurrence({"Relu"}, "forward"), Error);
  EXPECT_THROW(RunRecurrence({"Tanh"}, "bidirectional"), Error);
}

TEST(OldVersionTest, UpsampleIsResize) {
  TestModel model(9);
  TestGraph graph = model.graph()
                        .Input("x", DType::kF32, {"1", "1", "1", "2"})
                        .Initializer("scales", Floats({1, 1, 1, 2}))
                        .Output("y");
  SetText(graph.Node("Upsample", {"x", "scales"}, {"y"}), "mode", "nearest");
  EXPECT_THAT(model.Run({{"x", Tensor::Of<float>({1, 1, 1, 2}, {1, 2})}}).ToDoubles(),
              ElementsAre(1, 1, 2, 2));
}

// ---- old versions ----

TEST(OldVersionTest, BroadcastingAlongAnAxis) {
  TestModel model(6);
  TestGraph graph = model.graph()
                        .Input("x", DType::kF32, {"1", "2", "2"})
                        .Initializer("b", Floats({10, 20}))
                        .Output("y");
  auto& add = graph.Node("Add", {"x", "b"}, {"y"});
  SetInt(add, "broadcast", 1);
  SetInt(add, "axis", 1);
  EXPECT_THAT(model.Run({{"x", Tensor::Of<float>({1, 2, 2}, {1, 2, 3, 4})}}).ToDoubles(),
              ElementsAre(11, 12, 23, 24));
}

TEST(OldVersionTest, AttributesThatBecameInputs) {
  const Tensor x = Tensor::Of<float>({2, 3}, {1, 2, 3, 4, 5, 6});
  const auto run = [&](int64_t opset, const std::string& op, const auto& attributes) {
    TestModel model(opset);
    TestGraph graph = model.graph().Input("x", DType::kF32, {"2", "3"}).Output("y");
    attributes(graph.Node(op, {"x"}, {"y"}));
    return model.Run({{"x", x}}).ToDoubles();
  };
  EXPECT_THAT(run(9, "Slice",
                  [](auto& node) {
                    SetInts(node, "starts", {1});
                    SetInts(node, "ends", {3});
                    SetInts(node, "axes", {1});
                  }),
              ElementsAre(2, 3, 5, 6));
  EXPECT_THAT(run(6, "Clip",
                  [](auto& node) {
                    SetFloat(node, "min", 2);
                    SetFloat(node, "max", 5);
                  }),
              ElementsAre(2, 2, 3, 4, 5, 5));
  EXPECT_THAT(run(11, "ReduceSum",
                  [](auto& node) {
                    SetInts(node, "axes", {0});
                    SetInt(node, "keepdims", 0);
                  }),
              ElementsAre(5, 7, 9));
  EXPECT_THAT(run(10, "Pad",
                  [](auto& node) {
                    SetInts(node, "pads", {0, 0, 0, 1});
                    SetFloat(node, "value", 9);
                  }),
              ElementsAre(1, 2, 3, 9, 4, 5, 6, 9));
  EXPECT_THAT(run(7, "Dropout", [](auto& node) { SetFloat(node, "ratio", 0.75F); }),
              ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_THAT(run(11, "Unsqueeze", [](auto& node) { SetInts(node, "axes", {0}); }),
              ElementsAre(1, 2, 3, 4, 5, 6));
}

// A box of one pixel in a picture whose values are their columns: the middle of what it reads.
TEST(OldVersionTest, BoxesWereNotMovedByHalfAPixel) {
  for (const int64_t opset : {10, 16}) {
    TestModel model(opset);
    TestGraph graph = model.graph()
                          .Input("x", DType::kF32, {"1", "1", "4", "4"})
                          .Initializer("boxes", Tensor::Of<float>({1, 4}, {1, 1, 2, 2}))
                          .Initializer("batch", Tensor::Of<int64_t>({1}, {0}))
                          .Output("y");
    auto& node = graph.Node("RoiAlign", {"x", "boxes", "batch"}, {"y"});
    SetInt(node, "output_height", 1);
    SetInt(node, "output_width", 1);
    SetInt(node, "sampling_ratio", 1);
    std::vector<float> columns;
    for (int i = 0; i < 16; ++i) columns.push_back(static_cast<float>(i % 4));
    const Tensor x = Tensor::Of<float>({1, 1, 4, 4}, columns);
    EXPECT_THAT(model.Run({{"x", x}}).ToDoubles(), ElementsAre(opset == 10 ? 1.5 : 1.0)) << opset;
  }
}

TEST(OldVersionTest, SoftmaxSawAMatrix) {
  TestModel model(11);
  TestGraph graph = model.graph().Input("x", DType::kF32, {"1", "2", "2"}).Output("y");
  graph.Node("Softmax", {"x"}, {"y"});
  EXPECT_THAT(model.Run({{"x", Tensor(DType::kF32, {1, 2, 2})}}).ToDoubles(),
              ElementsAre(0.25, 0.25, 0.25, 0.25));
}

TEST(OldVersionTest, VersionsOutsideAreRefused) {
  for (const int64_t version : {int64_t{0}, kNewestOpset + 1}) {
    TestModel model(version);
    model.graph().Input("x", DType::kF32, {"n"}).Output("y").Node("Neg", {"x"}, {"y"});
    EXPECT_THAT(Failure(model), HasSubstr("it uses opset " + std::to_string(version) +
                                          "; opsets 1 to 28 are read"));
  }
}

}  // namespace
}  // namespace ingot::onnx
