// Random numbers: RandomUniform, RandomNormal, their Like forms, Bernoulli, Multinomial.
//
// ONNX gives these a seed and no key. Here the numbers are a function of the seed (0 where there is
// none), the op and the node's name, so that every run of a model repeats them.
#include <bit>
#include <cmath>
#include <string>

#include "ingot/base/error.h"
#include "ingot/ops/elementwise.h"
#include "ingot/tensor/philox.h"

namespace ingot::ops {
namespace {

using ir::Attribute;
using ir::AttributeKind;
using ir::InferContext;
using ir::Type;

RandomKey KeyOf(const ir::Node& node) {
  const double seed = node.HasAttribute("seed") ? node.GetFloat("seed") : 0;
  return {std::bit_cast<uint64_t>(seed), node.op_type() + "/" + node.name()};
}

DType DTypeAttribute(const ir::Node& node, DType otherwise) {
  if (!node.HasAttribute("dtype")) return otherwise;
  const int64_t number = node.GetInt("dtype");
  if (number > 0 && number <= static_cast<int64_t>(DType::kI2) &&
      IsArithmetic(static_cast<DType>(number))) {
    return static_cast<DType>(number);
  }
  throw Error(ErrorCode::kInvalidInput,
              "attribute 'dtype' is " + std::to_string(number) + ", which is no type of numbers");
}

// output[i] = f(i), converted.
template <typename F>
void Fill(const TensorView& out, const F& f) {
  std::vector<double> values(static_cast<size_t>(out.size()));
  for (size_t i = 0; i < values.size(); ++i) values[i] = f(i);
  ConvertElements(values.data(), DType::kF64, out.data, out.dtype, out.size());
}

// Uniform in [low, high) or normal; of a shape in the attributes, or of the input's.
void RegisterDistribution(ir::OpRegistry& registry, bool normal, bool like) {
  ir::OpDefinition op;
  op.name = std::string(normal ? "RandomNormal" : "RandomUniform") + (like ? "Like" : "");
  op.since_version = 22;
  op.summary = std::string("Random numbers, ") +
               (normal ? "normally distributed" : "uniform between low and high") +
               (like ? ", of the input's shape." : ".");
  if (like) op.inputs = {Required("input")};
  op.outputs = {Required("output", "T2")};
  op.attributes = {OptionalAttribute("dtype", AttributeKind::kInt),
                   OptionalAttribute("seed", AttributeKind::kFloat)};
  if (normal) {
    op.attributes.push_back(FloatAttribute("mean", 0));
    op.attributes.push_back(FloatAttribute("scale", 1));
  } else {
    op.attributes.push_back(FloatAttribute("low", 0));
    op.attributes.push_back(FloatAttribute("high", 1));
  }
  if (!like) op.attributes.push_back(RequiredAttribute("shape", AttributeKind::kInts));
  op.infer = [like](InferContext& context) {
    const ir::Node& node = context.node();
    if (like) {
      const Type& x = context.input(0);
      context.SetOutput(0, x.WithDType(DTypeAttribute(node, x.dtype())));
    } else {
      context.SetOutput(
          0, Type::Tensor(DTypeAttribute(node, DType::kF32), Shape(node.GetInts("shape"))));
    }
  };
  op.reference = [normal](const ir::ReferenceCall& call) {
    const RandomKey key = KeyOf(call.node);
    const double base = call.node.GetFloat(normal ? "mean" : "low");
    const double range = normal ? call.node.GetFloat("scale") : call.node.GetFloat("high") - base;
    Fill(call.output(),
         [&](size_t i) { return base + range * (normal ? key.Normal(i) : key.Uniform(i)); });
  };
  op.never_merged = true;
  // Without any spread the result is known.
  ir::Attributes narrow = {{normal ? "scale" : "high", ir::Attribute(normal ? 0.0 : 3.0)},
                           {normal ? "mean" : "low", ir::Attribute(3.0)}};
  if (!like) narrow["shape"] = Attribute(std::vector<int64_t>{2});
  std::vector<OpCase::Input> inputs;
  if (like) inputs.push_back(Uniform({2}));
  op.cases = {ExpectedOnly("without_spread", std::move(inputs), {3, 3}, std::move(narrow))};
  registry.Add(std::move(op));
}

void RegisterBernoulli(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "Bernoulli";
  op.since_version = 22;
  op.summary = "1 with the probability that the input gives, else 0.";
  op.inputs = {Required("input")};
  op.outputs = {Required("output", "T2")};
  op.attributes = {OptionalAttribute("dtype", AttributeKind::kInt),
                   OptionalAttribute("seed", AttributeKind::kFloat)};
  op.infer = [](InferContext& context) {
    RequireType(context, 0, Types::kFloat);
    const Type& x = context.input(0);
    context.SetOutput(0, x.WithDType(DTypeAttribute(context.node(), x.dtype())));
  };
  op.reference = [](const ir::ReferenceCall& call) {
    const TensorView& x = call.input(0);
    std::vector<double> chance(static_cast<size_t>(x.size()));
    ConvertElements(x.data, x.dtype, chance.data(), DType::kF64, x.size());
    const RandomKey key = KeyOf(call.node);
    Fill(call.output(), [&](size_t i) { return key.Uniform(i) < chance[i] ? 1.0 : 0.0; });
  };
  op.never_merged = true;
  op.cases = {ExpectedOnly("certain", {Floats({4}, {0, 1, 1, 0})}, {0, 1, 1, 0})};
  registry.Add(std::move(op));
}

void RegisterMultinomial(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "Multinomial";
  op.since_version = 22;
  op.summary = "Samples of classes, drawn by the unnormalised log probabilities of each row.";
  op.inputs = {Required("input")};
  op.outputs = {Required("output", "T2")};
  op.attributes = {IntAttribute("dtype", static_cast<int64_t>(DType::kI32)),
                   IntAttribute("sample_size", 1),
                   OptionalAttribute("seed", AttributeKind::kFloat)};
  op.infer = [](InferContext& context) {
    RequireType(context, 0, Types::kFloat);
    const Type& x = context.input(0);
    if (x.has_rank() && x.rank() != 2) {
      throw Error(ErrorCode::kInvalidInput, "input is " + x.ToString() + ", expected [N, classes]");
    }
    const auto dtype = static_cast<DType>(context.node().GetInt("dtype"));
    if (dtype != DType::kI32 && dtype != DType::kI64) {
      throw Error(ErrorCode::kInvalidInput, "attribute 'dtype' must be that of i32 or i64");
    }
    context.SetOutput(0, Type::Tensor(dtype, {x.has_rank() ? x.dim(0) : ir::Dimension(),
                                              context.node().GetInt("sample_size")}));
  };
  op.reference = [](const ir::ReferenceCall& call) {
    const TensorView& x = call.input(0);
    const auto classes = static_cast<size_t>(x.dim(1));
    const auto samples = static_cast<size_t>(call.output().dim(1));
    std::vector<double> logs(static_cast<size_t>(x.size()));
    ConvertElements(x.data, x.dtype, logs.data(), DType::kF64, x.size());
    const RandomKey key = KeyOf(call.node);
    Fill(call.output(), [&](size_t i) {
      const double* row = logs.data() + i / samples * classes;
      double highest = -INFINITY, sum = 0;
      for (size_t c = 0; c < classes; ++c) highest = std::fmax(highest, row[c]);
      for (size_t c = 0; c < classes; ++c) sum += std::exp(row[c] - highest);
      double rest = key.Uniform(i) * sum;
      size_t chosen = 0;
      for (; chosen + 1 < classes; ++chosen) {
        rest -= std::exp(row[chosen] - highest);
        if (rest < 0) break;
      }
      return static_cast<double>(chosen);
    });
  };
  op.never_merged = true;
  op.cases = {ExpectedOnly("certain", {Floats({2, 3}, {-4096, 0, -4096, 0, -4096, -4096})},
                           {1, 1, 0, 0}, {{"sample_size", Attribute(int64_t{2})}})};
  registry.Add(std::move(op));
}

}  // namespace

void RegisterRandom(ir::OpRegistry& registry) {
  for (const bool normal : {false, true}) {
    for (const bool like : {false, true}) RegisterDistribution(registry, normal, like);
  }
  RegisterBernoulli(registry);
  RegisterMultinomial(registry);
}

}  // namespace ingot::ops
