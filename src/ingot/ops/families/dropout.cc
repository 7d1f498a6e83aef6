// Dropout: ONNX's, which does nothing in inference, and the one of training, keyed by sample.
#include "ingot/ops/dropout.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "ingot/base/error.h"
#include "ingot/ops/definition.h"
#include "ingot/ops/elementwise.h"

namespace ingot::ops {

void RegisterDropout(ir::OpRegistry& registry);

namespace {

using ir::AttributeKind;
using ir::GradientContext;
using ir::InferContext;
using ir::OpDefinition;
using ir::Type;

// ---- ONNX's Dropout(data, ratio, training_mode) -> output, mask ----

void InferOnnxDropout(InferContext& context) {
  RequireType(context, 0, Types::kFloat);
  context.SetOutput(0, context.input(0));
  if (context.node().outputs().size() > 1) {
    context.SetOutput(1, context.input(0).WithDType(DType::kBool));
  }
}

// In training mode numbers are keyed by the seed (0 where there is none) and the node's name.
void DropAtRandom(const ir::ReferenceCall& call) {
  double ratio = 0.5;
  if (call.has_input(1)) {
    ConvertElements(call.input(1).data, call.input(1).dtype, &ratio, DType::kF64, 1);
  }
  if (!(ratio >= 0 && ratio < 1)) {
    throw Error(ErrorCode::kInvalidInput,
                "ratio is " + std::to_string(ratio) + ", expected at least 0 and less than 1");
  }
  const int64_t seed = call.node.HasAttribute("seed") ? call.node.GetInt("seed") : 0;
  const RandomKey key(static_cast<uint64_t>(seed), "Dropout/" + call.node.name());
  DispatchFloat("Dropout", call.input(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (int64_t i = 0; i < call.output().size(); ++i) {
      const bool kept = key.Uniform(static_cast<uint64_t>(i)) >= ratio;
      const double value = call.input(0).as<T>()[i];
      call.output().as<T>()[i] = static_cast<T>(kept ? value / (1 - ratio) : 0.0);
      if (call.outputs.size() > 1) call.output(1).as<bool>()[i] = kept;
    }
  });
}

bool IsTraining(const Tensor* mode) {
  return mode != nullptr && mode->ToInts().at(0) != 0;
}

void OnnxDropoutReference(const ir::ReferenceCall& call) {
  if (call.has_input(2) && *call.input(2).as<bool>()) return DropAtRandom(call);
  std::memmove(call.output().data, call.input(0).data, call.output().bytes());
  if (call.outputs.size() > 1) std::fill_n(call.output(1).as<bool>(), call.output(1).size(), true);
}

OpDefinition OnnxDropout() {
  OpDefinition op;
  op.name = "Dropout";
  op.since_version = 13;
  op.summary = "The identity, or in training mode a share of the values set to 0.";
  op.inputs = {Required("data"), Optional("ratio", "R"), Optional("training_mode", "B")};
  op.outputs = {Required("output"), Optional("mask", "B")};
  op.attributes = {OptionalAttribute("seed", AttributeKind::kInt)};
  op.infer = InferOnnxDropout;
  op.gradient = [](GradientContext& context) {
    if (IsTraining(ConstantValue(context.node().input(2)))) {
      throw Error(ErrorCode::kUnsupported, "training_mode is true, expected inference",
                  "in training use ingot.Dropout, whose random numbers have a key");
    }
    if (context.wants(0)) context.SetInputGradient(0, context.output_gradient());
  };
  op.reference = OnnxDropoutReference;
  OpCase::Input ratio = Floats({}, {0.5});
  ratio.differentiable = false;
  OpCase::Input zero = Floats({}, {0});
  zero.differentiable = false;
  op.cases = {
      OpCase{.name = "identity", .inputs = {Floats({3}, {1, -2, 3})}, .expected = {{1, -2, 3}}},
      OpCase{.name = "with_mask",
             .inputs = {Floats({2, 1}, {1, -2}), ratio, Integers({}, {0}, DType::kBool)},
             .expected = {{1, -2}, {1, 1}},
             .outputs = 2},
      OpCase{.name = "training_without_dropping",
             .inputs = {Floats({2, 1}, {1, -2}), zero, Integers({}, {1}, DType::kBool)},
             .expected = {{1, -2}, {1, 1}},
             .outputs = 2,
             .gradient = false},
      OpCase{.name = "ragged", .inputs = {Uniform({5, 17})}},
  };
  op.never_merged = true;
  return op;
}

// ---- ingot.Dropout(x [N, ...], random_key i64[3]) ----

void InferDropout(InferContext& context) {
  RequireType(context, 0, Types::kFloat);
  const Type& x = context.input(0);
  const Type& key = context.input(1);
  const double ratio = context.node().GetFloat("ratio");
  if (!(ratio >= 0 && ratio < 1)) {
    throw Error(ErrorCode::kInvalidInput, "attribute 'ratio' is " + std::to_string(ratio) +
                                              ", expected at least 0 and less than 1");
  }
  const bool has_key_shape =
      !key.has_rank() || (key.rank() == 1 && (!key.dim(0).is_static() || key.dim(0).value() == 3));
  if (key.dtype() != DType::kI64 || !has_key_shape) {
    throw Error(ErrorCode::kInvalidInput, "input 1 (random_key) is " + key.ToString() +
                                              ", expected i64[3]: seed, step, first sample");
  }
  if (x.has_rank() && x.rank() == 0) {
    throw Error(ErrorCode::kInvalidInput,
                "input 0 (X) is " + x.ToString() + ", expected an axis of samples");
  }
  context.SetOutput(0, x);
}

void DropoutReference(const ir::ReferenceCall& call) {
  const TensorView& x = call.input(0);
  const double ratio = call.node.GetFloat("ratio");
  const int64_t stream = call.node.GetInt("stream");
  const uint32_t threshold = DropoutThreshold(ratio);
  const double scale = 1 / (1 - ratio);
  const int64_t rows = x.dim(0);
  const int64_t elements = rows == 0 ? 0 : x.size() / rows;
  DispatchFloat("ingot.Dropout", x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (int64_t row = 0; row < rows; ++row) {
      const RandomKey key = DropoutKey(call.input(1).as<int64_t>(), stream, row);
      // Words come four to a block, which takes much longer to make than to use.
      PhiloxCounter words{};
      for (int64_t j = 0; j < elements; ++j) {
        if (j % 4 == 0) words = key.Block(static_cast<uint64_t>(j / 4));
        const bool kept = words[static_cast<size_t>(j % 4)] >= threshold;
        const double value = x.as<T>()[row * elements + j];
        call.output().as<T>()[row * elements + j] = static_cast<T>(kept ? value * scale : 0.0);
      }
    }
  });
}

void DropoutGradient(GradientContext& context) {
  if (!context.wants(0)) return;
  context.SetInputGradient(
      0, context.builder().Op("ingot.Dropout", {context.output_gradient(), context.input(1)},
                              context.node().attributes()));
}

OpDefinition Dropout() {
  OpDefinition op;
  op.name = "Dropout";
  op.domain = "ingot";
  op.summary = "Sets a share `ratio` of the values of each sample to 0 and scales up the others.";
  op.inputs = {Required("X"), Required("random_key", "K")};
  op.outputs = {Required("Y")};
  op.attributes = {RequiredAttribute("ratio", AttributeKind::kFloat), IntAttribute("stream", 0)};
  op.infer = InferDropout;
  op.gradient = DropoutGradient;
  op.reference = DropoutReference;
  op.may_run_in_place = true;
  op.never_merged = true;
  const auto random = [](const char* name, Shape shape, double ratio, int64_t stream) {
    return OpCase{.name = name,
                  .inputs = {Uniform(std::move(shape)), Integers({3}, {7, 100, 32})},
                  .attributes = {{"ratio", ratio}, {"stream", stream}}};
  };
  op.cases = {OpCase{.name = "nothing_dropped",
                     .inputs = {Floats({2, 2}, {1, 2, 3, 4}), Integers({3}, {1, 2, 3})},
                     .attributes = {{"ratio", 0.0}},
                     .expected = {{1, 2, 3, 4}}},
              random("half", {5, 9}, 0.5, 1), random("images", {3, 4, 2, 2}, 0.25, 2),
              random("one_value_each", {17}, 0.75, 3), random("no_samples", {0, 3}, 0.5, 4)};
  return op;
}

}  // namespace

void RegisterDropout(ir::OpRegistry& registry) {
  registry.Add(OnnxDropout());
  registry.Add(Dropout());
}

}  // namespace ingot::ops
