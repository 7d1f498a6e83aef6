// FusedMatMul: a matrix product with bias and activation in one kernel, made by fusion passes.
//
// The activations are the ops of that name: the reference adds the bias in double and calls their
// reference kernels on it, so that fused and unfused graphs mean the same.
#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "ingot/base/error.h"
#include "ingot/base/text.h"
#include "ingot/ops/definition.h"
#include "ingot/ops/elementwise.h"
#include "ingot/ops/matmul.h"

namespace ingot::ops {

void RegisterFusedMatmul(ir::OpRegistry& registry);

namespace {

using ir::InferContext;
using ir::OpDefinition;
using ir::Type;

// The op that an epilogue stands for: activation(x), or gradient(x, y) where x is the product.
struct Epilogue {
  const OpDefinition* op = nullptr;  // null: none
  ir::Attributes attributes;
  bool takes_alpha = false;
  bool takes_y = false;
};

using Epilogues = std::map<std::string, Epilogue>;

// The families of these ops stand before this one in the alphabet, and so are registered first.
Epilogues MakeEpilogues(const ir::OpRegistry& registry) {
  Epilogues epilogues;
  epilogues["none"];
  const auto add = [&](const std::string& name, const std::string& op, bool takes_alpha = false,
                       ir::Attributes attributes = {}) {
    epilogues[name] = {&registry.Get(op), attributes, takes_alpha, false};
    epilogues[name + "_gradient"] = {&registry.Get(op + "Gradient", "ingot"), attributes,
                                     takes_alpha, true};
  };
  add("relu", "Relu");
  add("leaky_relu", "LeakyRelu", true);
  add("elu", "Elu", true);
  add("sigmoid", "Sigmoid");
  add("tanh", "Tanh");
  add("gelu", "Gelu");
  add("gelu_tanh", "Gelu", false, {{"approximate", std::string("tanh")}});
  return epilogues;
}

const Epilogue& EpilogueOf(const ir::Node& node, const Epilogues& epilogues) {
  const std::string& name = node.GetString("epilogue");
  const auto found = epilogues.find(name);
  if (found != epilogues.end()) return found->second;
  std::vector<std::string> known;
  for (const auto& entry : epilogues) known.push_back(entry.first);
  throw Error(ErrorCode::kInvalidInput, "unknown epilogue '" + name + "'", DidYouMean(name, known));
}

constexpr size_t kBias = 2;
constexpr size_t kY = 3;

bool Transposes(const ir::Node& node, const char* name) {
  return node.GetInt(name) != 0;
}

void InferFusedMatMul(InferContext& context, const Epilogues& epilogues) {
  RequireType(context, 0, Types::kFloat);
  const Epilogue& epilogue = EpilogueOf(context.node(), epilogues);
  for (size_t i = 0; i < 2; ++i) {
    if (!context.input(i).has_rank() || context.input(i).rank() >= 2) continue;
    throw Error(ErrorCode::kInvalidInput, "input " + std::to_string(i) + " is " +
                                              context.input(i).ToString() + ", expected a matrix");
  }
  const Type type =
      ProductType(context.input(0), context.input(1), Transposes(context.node(), "trans_a"),
                  Transposes(context.node(), "trans_b"));
  if (context.HasInput(kBias) && context.input(kBias).has_rank() && type.has_rank()) {
    const Type& bias = context.input(kBias);
    const ir::Dimension columns = type.dim(-1);
    if (bias.rank() != 1 || (bias.dim(0).is_static() && columns.is_static() &&
                             bias.dim(0).value() != columns.value())) {
      throw Error(ErrorCode::kInvalidInput, "the bias is " + bias.ToString() + " but the product " +
                                                type.ToString() +
                                                ", expected one value for each column");
    }
  }
  if (context.HasInput(kY) != epilogue.takes_y) {
    throw Error(ErrorCode::kInvalidInput,
                "input 3 (y) is " + std::string(context.HasInput(kY) ? "given" : "absent") +
                    ", but epilogue '" + context.node().GetString("epilogue") + "' " +
                    (epilogue.takes_y ? "needs it" : "takes none"));
  }
  if (epilogue.takes_y && type.is_static() && context.input(kY).is_static() &&
      !(context.input(kY) == type)) {
    throw Error(ErrorCode::kInvalidInput, "y is " + context.input(kY).ToString() +
                                              " but the product " + type.ToString() +
                                              ", expected one shape");
  }
  context.SetOutput(0, type);
}

// Calls the epilogue's own reference kernel on doubles.
Tensor Apply(const ir::Node& node, const Epilogue& epilogue, const Tensor& x, const Tensor& y) {
  if (epilogue.op == nullptr) return x;
  ir::Attributes attributes = epilogue.attributes;
  if (epilogue.takes_alpha) attributes["alpha"] = node.GetFloat("alpha");
  ir::Graph graph("epilogue");
  const Type type = Type::Tensor(DType::kF64, x.shape());
  std::vector<ir::Value*> inputs = {graph.AddInput("x", type)};
  std::vector<TensorView> views = {x.view()};
  if (epilogue.takes_y) {
    inputs.push_back(graph.AddInput("y", type));
    views.push_back(y.view());
  }
  const ir::Node& applied = *graph.AddNode(*epilogue.op, inputs, attributes, 1);
  Tensor result(DType::kF64, x.shape());
  const TensorView output = result.view();
  epilogue.op->reference(ir::ReferenceCall{applied, views, {&output, 1}});
  return result;
}

void FusedMatMulReference(const ir::ReferenceCall& call, const Epilogues& epilogues) {
  const TensorView& out = call.output();
  Tensor sums(DType::kF64, Shape(out.dims));
  double* sum = sums.data<double>().data();
  DispatchFloat("ingot.FusedMatMul", out.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    ForEachProduct<double, T>(call.input(0), call.input(1), Transposes(call.node, "trans_a"),
                              Transposes(call.node, "trans_b"),
                              [&](int64_t first, const std::vector<double>& product) {
                                std::copy(product.begin(), product.end(), sum + first);
                              });
    if (call.has_input(kBias)) {
      const int64_t columns = out.dim(-1);
      for (int64_t i = 0; i < out.size(); ++i) sum[i] += call.input(kBias).as<T>()[i % columns];
    }
  });
  Tensor y;
  if (call.has_input(kY)) {
    y = Tensor(DType::kF64, Shape(out.dims));
    ConvertElements(call.input(kY).data, out.dtype, y.raw(), DType::kF64, out.size());
  }
  const Tensor result = Apply(call.node, EpilogueOf(call.node, epilogues), sums, y);
  ConvertElements(result.raw(), DType::kF64, out.data, out.dtype, out.size());
}

std::vector<OpCase> FusedMatMulCases(const Epilogues& epilogues) {
  const auto a = Floats({1, 2}, {1, 2});
  const auto b = Floats({2, 2}, {3, -4, 5, -6});
  const auto bias = Floats({2}, {-1, 1});  // a b + bias = 12, -15
  const auto with = [](const char* epilogue) {
    return ir::Attributes{{"epilogue", std::string(epilogue)}, {"alpha", 0.5}};
  };
  std::vector<OpCase> cases = {
      OpCase{.name = "product", .inputs = {a, b}, .expected = {{13, -16}}, .gradient = false},
      OpCase{.name = "bias", .inputs = {a, b, bias}, .expected = {{12, -15}}, .gradient = false},
      OpCase{.name = "relu_by_hand",
             .inputs = {a, b, bias},
             .attributes = with("relu"),
             .expected = {{12, 0}},
             .gradient = false},
      OpCase{.name = "leaky_relu_by_hand",
             .inputs = {a, b, bias},
             .attributes = with("leaky_relu"),
             .expected = {{12, -7.5}},
             .gradient = false},
      OpCase{.name = "relu_gradient_by_hand",
             .inputs = {a, b, Absent(), Floats({1, 2}, {0, 1})},
             .attributes = with("relu_gradient"),
             .expected = {{0, -16}},
             .gradient = false},
      OpCase{.name = "batches",
             .inputs = {Uniform({2, 3, 5}), Uniform({5, 4}), Uniform({4})},
             .attributes = with("tanh"),
             .gradient = false},
      OpCase{.name = "dense_layer",
             .inputs = {Uniform({128, 784}), Uniform({784, 64}), Uniform({64})},
             .attributes = with("relu"),
             .gradient = false},
  };
  for (const auto& [name, epilogue] : epilogues) {
    OpCase each{.name = "ragged_" + name,
                .inputs = {Uniform({13, 7}), Uniform({7, 17}), Uniform({17})},
                .attributes = with(name.c_str()),
                .gradient = false};
    // Every y that an activation's derivative may be written in lies in (0, 1) as well as outside.
    if (epilogue.takes_y) each.inputs.push_back(Uniform({13, 17}, -0.9, 0.9));
    cases.push_back(std::move(each));
  }
  for (const int64_t transposed : {1, 2, 3}) {
    const bool left = (transposed & 1) != 0, right = (transposed & 2) != 0;
    ir::Attributes attributes = with("sigmoid");
    attributes["trans_a"] = int64_t{left};
    attributes["trans_b"] = int64_t{right};
    cases.push_back(OpCase{.name = "transposed_" + std::to_string(transposed),
                           .inputs = {Uniform(left ? Shape{7, 13} : Shape{13, 7}),
                                      Uniform(right ? Shape{17, 7} : Shape{7, 17})},
                           .attributes = std::move(attributes),
                           .gradient = false});
  }
  return cases;
}

}  // namespace

void RegisterFusedMatmul(ir::OpRegistry& registry) {
  const Epilogues epilogues = MakeEpilogues(registry);
  OpDefinition op;
  op.name = "FusedMatMul";
  op.domain = "ingot";
  op.summary = "epilogue(A' B' + bias), where A' and B' are matrices, transposed if asked.";
  op.inputs = {Required("A"), Required("B"), Optional("bias"), Optional("y")};
  op.outputs = {Required("Y")};
  op.attributes = {IntAttribute("trans_a", 0), IntAttribute("trans_b", 0),
                   StringAttribute("epilogue", "none"), FloatAttribute("alpha", 0)};
  op.infer = [epilogues](InferContext& context) { InferFusedMatMul(context, epilogues); };
  op.reference = [epilogues](const ir::ReferenceCall& call) {
    FusedMatMulReference(call, epilogues);
  };
  op.cases = FusedMatMulCases(epilogues);
  registry.Add(std::move(op));
}

}  // namespace ingot::ops
