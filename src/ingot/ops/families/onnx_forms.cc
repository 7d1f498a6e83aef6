// Forms of ops that only models in files have: MaxPool that says where each maximum was, and
// BatchNormalization with the statistics of its batch. (Networks are trained with the ops of
// batch_norm_training.cc.)
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "ingot/base/error.h"
#include "ingot/ops/definition.h"
#include "ingot/ops/elementwise.h"
#include "ingot/ops/pooling.h"
#include "ingot/ops/window.h"

namespace ingot::ops {
namespace {

using ir::Attribute;
using ir::Attributes;
using ir::InferContext;
using ir::Type;
using Ints = std::vector<int64_t>;

// ---- ingot.MaxPoolWithIndices ----

Type PooledType(const ir::Node& node, const Type& x) {
  if (x.rank() < 3) {
    throw Error(ErrorCode::kInvalidInput,
                "X is " + x.ToString() + ", expected a batch, channels and spatial axes");
  }
  return ActivationType(x.dtype(), x.dim(0), x.dim(1),
                        OutputsOf(PoolWindows(node, SpatialDimensions(x, false))), false);
}

// The place of spatial position s (row-major) where the last axis counts fastest, or the first one.
int64_t PlaceIn(std::span<const int64_t> spatial, int64_t s, bool columns_first) {
  if (!columns_first) return s;
  int64_t place = 0, stride = 1;
  Ints index(spatial.size());
  for (size_t i = spatial.size(); i-- > 0; s /= spatial[i]) index[i] = s % spatial[i];
  for (size_t i = 0; i < spatial.size(); ++i) {
    place += index[i] * stride;
    stride *= spatial[i];
  }
  return place;
}

void MaxPoolReference(const ir::ReferenceCall& call) {
  const TensorView& x = call.input(0);
  const Activations from(x, false), to(call.output(), false);
  const TapTable table(
      PoolWindows(call.node, SpatialDimensions(Type::Tensor(x.dtype, Shape(x.dims)), false)));
  const bool columns_first = call.node.GetInt("storage_order") != 0;
  DispatchNumeric(call.node.op_type(), x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (int64_t n = 0; n < to.batch; ++n) {
      for (int64_t c = 0; c < to.channels; ++c) {
        for (int64_t o = 0; o < table.outputs(); ++o) {
          int64_t best = -1;
          for (int64_t t = 0; t < table.taps(); ++t) {
            const int64_t s = table.At(o, t);
            if (s < 0) continue;
            const bool better =
                best < 0 || static_cast<Compute<T>>(x.as<T>()[from.At(n, c, s)]) >
                                static_cast<Compute<T>>(x.as<T>()[from.At(n, c, best)]);
            if (better) best = s;
          }
          const int64_t at = to.At(n, c, o);
          if (best < 0) {
            throw Error(ErrorCode::kInvalidInput, "a window meets the padding alone");
          }
          call.output(0).as<T>()[at] = x.as<T>()[from.At(n, c, best)];
          call.output(1).as<int64_t>()[at] = (n * from.channels + c) * from.positions +
                                             PlaceIn(x.dims.subspan(2), best, columns_first);
        }
      }
    }
  });
}

void RegisterMaxPoolWithIndices(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "MaxPoolWithIndices";
  op.domain = "ingot";
  op.summary = "MaxPool, and where each maximum was.";
  op.inputs = {Required("X")};
  op.outputs = {Required("Y"), Required("Indices", "I")};
  op.attributes = WindowAttributeSpecs();
  std::erase_if(op.attributes,
                [](const ir::AttributeSpec& a) { return a.name == "channels_last"; });
  op.attributes.push_back(RequiredAttribute("kernel_shape", ir::AttributeKind::kInts));
  op.attributes.push_back(IntAttribute("ceil_mode", 0));
  op.attributes.push_back(IntAttribute("storage_order", 0));
  op.infer = [](InferContext& context) {
    RequireType(context, 0, Types::kNumeric);
    const Type& x = context.input(0);
    const Type y = x.has_rank() ? PooledType(context.node(), x) : x;
    context.SetOutput(0, y);
    context.SetOutput(1, y.WithDType(DType::kI64));
  };
  op.reference = MaxPoolReference;
  const auto make = [](const char* name, OpCase::Input x, std::vector<double> y,
                       std::vector<double> indices, int64_t order) {
    OpCase test = ExpectedOnly(
        name, {std::move(x)}, std::move(y),
        {{"kernel_shape", Attribute(Ints{1, 2})}, {"storage_order", Attribute(order)}});
    test.outputs = 2;
    test.expected.push_back(std::move(indices));
    return test;
  };
  const OpCase::Input x = Floats({1, 1, 2, 3}, {1, 3, 2, 6, 5, 4});
  op.cases = {make("rows_first", x, {3, 3, 6, 5}, {1, 1, 3, 4}, 0),
              make("columns_first", x, {3, 3, 6, 5}, {2, 2, 1, 3}, 1)};
  registry.Add(std::move(op));
}

// ---- ingot.BatchNormalizationOfBatch ----

void BatchReference(const ir::ReferenceCall& call) {
  const TensorView& x = call.input(0);
  const Activations layout(x, false);
  const double epsilon = call.node.GetFloat("epsilon"), momentum = call.node.GetFloat("momentum");
  const double count = static_cast<double>(layout.batch * layout.positions);
  const auto parameter = [&](size_t i, int64_t c) {
    double value = 0;
    const TensorView& view = call.input(i);
    ConvertElements(
        static_cast<const std::byte*>(view.data) + static_cast<size_t>(c) * ItemSize(view.dtype),
        view.dtype, &value, DType::kF64, 1);
    return value;
  };
  const auto store = [&](size_t i, int64_t c, double value) {
    const TensorView& view = call.output(i);
    ConvertElements(
        &value, DType::kF64,
        static_cast<std::byte*>(view.data) + static_cast<size_t>(c) * ItemSize(view.dtype),
        view.dtype, 1);
  };
  DispatchFloat(call.node.op_type(), x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (int64_t c = 0; c < layout.channels; ++c) {
      const auto walk = [&](const auto& f) {
        for (int64_t n = 0; n < layout.batch; ++n) {
          for (int64_t s = 0; s < layout.positions; ++s) f(layout.At(n, c, s));
        }
      };
      double mean = 0, variance = 0;
      walk([&](int64_t i) { mean += static_cast<double>(x.as<T>()[i]) / count; });
      walk([&](int64_t i) {
        const double rest = static_cast<double>(x.as<T>()[i]) - mean;
        variance += rest * rest / count;
      });
      const double factor = parameter(1, c) / std::sqrt(variance + epsilon);
      walk([&](int64_t i) {
        call.output().as<T>()[i] =
            static_cast<T>((static_cast<double>(x.as<T>()[i]) - mean) * factor + parameter(2, c));
      });
      if (call.outputs.size() > 1) {
        store(1, c, parameter(3, c) * momentum + mean * (1 - momentum));
      }
      if (call.outputs.size() > 2) {
        store(2, c, parameter(4, c) * momentum + variance * (1 - momentum));
      }
    }
  });
}

void RegisterBatchNormalizationOfBatch(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "BatchNormalizationOfBatch";
  op.domain = "ingot";
  op.summary = "BatchNormalization with the statistics of its batch, and the running ones moved.";
  op.inputs = {Required("X"), Required("scale", "T1"), Required("B", "T1"),
               Required("input_mean", "T2"), Required("input_var", "T2")};
  op.outputs = {Required("Y"), Optional("running_mean", "T2"), Optional("running_var", "T2")};
  op.attributes = {FloatAttribute("epsilon", 1e-5), FloatAttribute("momentum", 0.9)};
  op.infer = [](InferContext& context) {
    RequireType(context, 0, Types::kFloat);
    const Type& x = context.input(0);
    if (x.has_rank() && x.rank() < 2) {
      throw Error(ErrorCode::kInvalidInput,
                  "X is " + x.ToString() + ", expected a batch and channels");
    }
    for (size_t i = 1; i < 5; ++i) {
      const Type& given = context.input(i);
      if (!given.is_static() || !x.has_rank() || !x.dim(1).is_static()) continue;
      if (given.shape() == Shape({x.dim(1).value()})) continue;
      throw Error(ErrorCode::kInvalidInput, context.node().op().inputs[i].name + " is " +
                                                given.ToString() + ", but X is " + x.ToString());
    }
    context.SetOutput(0, x);
    for (size_t i = 1; i < context.node().outputs().size(); ++i) {
      context.SetOutput(i, context.input(i + 2));
    }
  };
  op.reference = BatchReference;
  // Mean 2 and variance 1.
  OpCase test = ExpectedOnly("two_samples",
                             {Floats({2, 1}, {1, 3}), Floats({1}, {2}), Floats({1}, {0.5}),
                              Floats({1}, {0}), Floats({1}, {0})},
                             {-1.5, 2.5}, {{"epsilon", 0.0}, {"momentum", 0.75}});
  test.outputs = 3;
  test.expected.push_back({0.5});
  test.expected.push_back({0.25});
  op.cases = {std::move(test)};
  registry.Add(std::move(op));
}

}  // namespace

void RegisterOnnxForms(ir::OpRegistry& registry) {
  RegisterMaxPoolWithIndices(registry);
  RegisterBatchNormalizationOfBatch(registry);
}

}  // namespace ingot::ops
