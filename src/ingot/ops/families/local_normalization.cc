// Normalisations and poolings by a norm: LpNormalization, LRN, MeanVarianceNormalization, LpPool,
// GlobalLpPool.
#include <algorithm>
#include <cmath>
#include <string>

#include "ingot/base/error.h"
#include "ingot/ops/axis_split.h"
#include "ingot/ops/elementwise.h"
#include "ingot/ops/pooling.h"
#include "ingot/ops/window.h"

namespace ingot::ops {
namespace {

using ir::Attribute;
using ir::Attributes;
using ir::Builder;
using ir::GradientContext;
using ir::InferContext;
using ir::Type;
using ir::Value;
using Ints = std::vector<int64_t>;

ir::OpDefinition Normalization(std::string name, int since, std::string summary) {
  ir::OpDefinition op;
  op.name = std::move(name);
  op.since_version = since;
  op.summary = std::move(summary);
  op.inputs = {Required("X")};
  op.outputs = {Required("Y")};
  op.infer = [](InferContext& context) {
    RequireType(context, 0, Types::kFloat);
    context.SetOutput(0, context.input(0));
  };
  return op;
}

const Attributes kKeep = {{"keepdims", Attribute(int64_t{1})}};

// ---- LpNormalization ----

void RegisterLpNormalization(ir::OpRegistry& registry) {
  ir::OpDefinition op = Normalization("LpNormalization", 22,
                                      "X over its L1 or L2 norm along an axis; 0 where that is 0.");
  op.attributes = {IntAttribute("axis", -1), IntAttribute("p", 2)};
  op.reference = [](const ir::ReferenceCall& call) {
    const AxisSplit split(call.input(0).dims, call.node.GetInt("axis"));
    const int64_t p = call.node.GetInt("p");
    if (p != 1 && p != 2) {
      throw Error(ErrorCode::kInvalidInput,
                  "attribute 'p' is " + std::to_string(p) + ", expected 1 or 2");
    }
    DispatchFloat("LpNormalization", call.input(0).dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      for (int64_t o = 0; o < split.outer; ++o) {
        for (int64_t i = 0; i < split.inner; ++i) {
          const int64_t base = o * split.extent * split.inner + i;
          double norm = 0;
          for (int64_t e = 0; e < split.extent; ++e) {
            const double x = call.input(0).as<T>()[base + e * split.inner];
            norm += p == 1 ? std::fabs(x) : x * x;
          }
          if (p == 2) norm = std::sqrt(norm);
          for (int64_t e = 0; e < split.extent; ++e) {
            const double x = call.input(0).as<T>()[base + e * split.inner];
            call.output().as<T>()[base + e * split.inner] =
                static_cast<T>(norm == 0 ? 0 : x / norm);
          }
        }
      }
    });
  };
  // (dY - d(norm)/dX * sum(dY Y)) / norm, where the norm's slope is Y (L2) or sign(X) (L1).
  op.gradient = [](GradientContext& context) {
    if (!context.wants(0)) return;
    Builder& b = context.builder();
    Value* x = context.input(0);
    Value* y = context.output();
    Value* dy = context.output_gradient();
    Value* axis = b.Ints({context.node().GetInt("axis")});
    const bool l1 = context.node().GetInt("p") == 1;
    Value* norm = b.Op(l1 ? "ReduceL1" : "ReduceL2", {x, axis}, kKeep);
    Value* dot = b.Op("ReduceSum", {b.Mul(dy, y), axis}, kKeep);
    Value* slope = l1 ? b.Op("Sign", {x}) : y;
    Value* dx = b.Div(b.Sub(dy, b.Mul(slope, dot)), norm);
    Value* zero = b.ScalarLike(x, 0);
    context.SetInputGradient(0, b.Op("Where", {b.Op("Equal", {norm, zero}), zero, dx}));
  };
  const OpCase::Input x = Floats({2, 2}, {3, 4, -5, 12});
  OpCase l1 = ExpectedCase("l1", {Floats({4}, {1, -2, 4, 1})}, {0.125, -0.25, 0.5, 0.125},
                           {{"p", Attribute(int64_t{1})}});
  op.cases = {ExpectedCase("l2", {x}, {0.6, 0.8, -5.0 / 13, 12.0 / 13}), std::move(l1),
              ExpectedCase("first_axis", {Floats({2, 1}, {3, 4})}, {0.6, 0.8},
                           {{"axis", Attribute(int64_t{0})}}),
              ExpectedOnly("zero", {Floats({2}, {0, 0})}, {0, 0})};
  registry.Add(std::move(op));
}

// ---- LRN ----

// The sum of squares over the channels near each, as an op of its own: it is its own transpose
// where the window is symmetric, and with `mirrored` where it is not.
struct ChannelWindow {
  explicit ChannelWindow(const ir::Node& node) {
    const int64_t size = node.GetInt("size");
    before = (size - 1) / 2;
    after = size - 1 - before;
    if (node.GetInt("mirrored", 0) != 0) std::swap(before, after);
  }
  int64_t before, after;
};

void RegisterLrn(ir::OpRegistry& registry) {
  ir::OpDefinition window =
      Normalization("ChannelWindowSum", 1, "For each channel the sum over the channels near it.");
  window.domain = "ingot";
  window.attributes = {RequiredAttribute("size", ir::AttributeKind::kInt),
                       IntAttribute("mirrored", 0)};
  window.reference = [](const ir::ReferenceCall& call) {
    const AxisSplit split(call.input(0).dims, 1);
    const ChannelWindow near(call.node);
    DispatchFloat("ChannelWindowSum", call.input(0).dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      for (int64_t o = 0; o < split.outer; ++o) {
        for (int64_t c = 0; c < split.extent; ++c) {
          const int64_t first = std::max<int64_t>(0, c - near.before);
          const int64_t last = std::min(split.extent - 1, c + near.after);
          for (int64_t i = 0; i < split.inner; ++i) {
            double sum = 0;
            for (int64_t k = first; k <= last; ++k) {
              sum += static_cast<double>(
                  call.input(0).as<T>()[(o * split.extent + k) * split.inner + i]);
            }
            call.output().as<T>()[(o * split.extent + c) * split.inner + i] = static_cast<T>(sum);
          }
        }
      }
    });
  };
  window.gradient = [](GradientContext& context) {
    if (!context.wants(0)) return;
    const ir::Node& node = context.node();
    context.SetInputGradient(
        0, context.builder().Op("ingot.ChannelWindowSum", {context.output_gradient()},
                                {{"size", Attribute(node.GetInt("size"))},
                                 {"mirrored", Attribute(1 - node.GetInt("mirrored"))}}));
  };
  window.cases = {ExpectedCase("three", {Floats({1, 4}, {1, 2, 4, 8})}, {3, 7, 14, 12},
                               {{"size", Attribute(int64_t{3})}}),
                  ExpectedCase("even", {Floats({1, 4}, {1, 2, 4, 8})}, {3, 6, 12, 8},
                               {{"size", Attribute(int64_t{2})}})};
  registry.Add(std::move(window));

  ir::OpDefinition op =
      Normalization("LRN", 13, "X over a power of the sum of squares of the channels near it.");
  op.attributes = {FloatAttribute("alpha", 1e-4), FloatAttribute("beta", 0.75),
                   FloatAttribute("bias", 1), RequiredAttribute("size", ir::AttributeKind::kInt)};
  op.reference = [](const ir::ReferenceCall& call) {
    const AxisSplit split(call.input(0).dims, 1);
    const ChannelWindow near(call.node);
    const double scale =
        call.node.GetFloat("alpha") / static_cast<double>(call.node.GetInt("size"));
    const double beta = call.node.GetFloat("beta"), bias = call.node.GetFloat("bias");
    DispatchFloat("LRN", call.input(0).dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      const auto at = [&](int64_t o, int64_t c, int64_t i) {
        return (o * split.extent + c) * split.inner + i;
      };
      for (int64_t o = 0; o < split.outer; ++o) {
        for (int64_t c = 0; c < split.extent; ++c) {
          const int64_t first = std::max<int64_t>(0, c - near.before);
          const int64_t last = std::min(split.extent - 1, c + near.after);
          for (int64_t i = 0; i < split.inner; ++i) {
            double sum = 0;
            for (int64_t k = first; k <= last; ++k) {
              const double x = call.input(0).as<T>()[at(o, k, i)];
              sum += x * x;
            }
            const double x = call.input(0).as<T>()[at(o, c, i)];
            call.output().as<T>()[at(o, c, i)] =
                static_cast<T>(x / std::pow(bias + scale * sum, beta));
          }
        }
      }
    });
  };
  // With s = bias + a sum(x^2): dX = dY s^-beta - 2 a beta x * window'(dY x s^(-beta - 1)).
  op.gradient = [](GradientContext& context) {
    if (!context.wants(0)) return;
    Builder& b = context.builder();
    const ir::Node& node = context.node();
    Value* x = context.input(0);
    Value* dy = context.output_gradient();
    const int64_t size = node.GetInt("size");
    const double scale = node.GetFloat("alpha") / static_cast<double>(size);
    const double beta = node.GetFloat("beta");
    Value* sum = b.Op("ingot.ChannelWindowSum", {b.Mul(x, x)}, {{"size", Attribute(size)}});
    Value* s = b.Add(b.MulScalar(sum, scale), b.ScalarLike(x, node.GetFloat("bias")));
    Value* direct = b.Mul(dy, b.Op("Pow", {s, b.ScalarLike(x, -beta)}));
    Value* through = b.Mul(b.Mul(dy, x), b.Op("Pow", {s, b.ScalarLike(x, -beta - 1)}));
    Value* back = b.Op("ingot.ChannelWindowSum", {through},
                       {{"size", Attribute(size)}, {"mirrored", Attribute(int64_t{1})}});
    context.SetInputGradient(0, b.Sub(direct, b.MulScalar(b.Mul(x, back), 2 * scale * beta)));
  };
  OpCase random;
  random.name = "random";
  random.inputs = {Uniform({2, 5, 3}, -2, 2)};
  random.attributes = {{"size", Attribute(int64_t{4})}, {"alpha", 0.5}, {"bias", 2.0}};
  op.cases = {std::move(random),
              ExpectedCase("three", {Floats({1, 3, 1}, {1, 2, 1})}, {1.0 / 6, 2.0 / 7, 1.0 / 6},
                           {{"size", Attribute(int64_t{3})}, {"alpha", 3.0}, {"beta", 1.0}})};
  registry.Add(std::move(op));
}

// ---- MeanVarianceNormalization ----

// (x - mean) / (sqrt(variance) + 1e-9).
Value* Normalized(Builder& b, Value* x, Value* axes, Value** deviation) {
  Value* centred = b.Sub(x, b.Op("ReduceMean", {x, axes}, kKeep));
  Value* variance = b.Op("ReduceMean", {b.Mul(centred, centred), axes}, kKeep);
  *deviation = b.Add(b.Op("Sqrt", {variance}), b.ScalarLike(x, 1e-9));
  return b.Div(centred, *deviation);
}

void RegisterMeanVariance(ir::OpRegistry& registry) {
  ir::OpDefinition op = Normalization("MeanVarianceNormalization", 13,
                                      "X less its mean, over its standard deviation.");
  op.attributes = {
      ir::AttributeSpec{"axes", ir::AttributeKind::kInts, Attribute(Ints{0, 2, 3}), false}};
  op.reference = [](const ir::ReferenceCall& call) {
    const TensorView& x = call.input(0);
    std::vector<int64_t> strides(x.dims.size(), 0);
    std::vector<bool> reduced(x.dims.size(), false);
    for (const int64_t axis : call.node.GetInts("axes")) {
      reduced[static_cast<size_t>(NormalizeAxis(axis, x.rank()))] = true;
    }
    int64_t groups = 1;
    for (size_t i = x.dims.size(); i-- > 0;) {
      if (reduced[i]) continue;
      strides[i] = groups;
      groups *= x.dims[i];
    }
    const double count = groups == 0 ? 0 : static_cast<double>(x.size() / groups);
    DispatchFloat("MeanVarianceNormalization", x.dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      std::vector<double> mean(static_cast<size_t>(groups), 0), variance = mean;
      const auto walk = [&](const auto& f) {
        StridedIndex<1> at(x.dims, {strides});
        for (int64_t i = 0; i < x.size(); ++i, at.Next()) {
          f(static_cast<size_t>(at[0]), static_cast<double>(x.as<T>()[i]), i);
        }
      };
      walk([&](size_t g, double v, int64_t) { mean[g] += v / count; });
      walk([&](size_t g, double v, int64_t) {
        variance[g] += (v - mean[g]) * (v - mean[g]) / count;
      });
      walk([&](size_t g, double v, int64_t i) {
        call.output().as<T>()[i] = static_cast<T>((v - mean[g]) / (std::sqrt(variance[g]) + 1e-9));
      });
    });
  };
  // (dY - mean(dY) - Y mean(dY Y)) / deviation, but for the 1e-9.
  op.gradient = [](GradientContext& context) {
    if (!context.wants(0)) return;
    Builder& b = context.builder();
    Value* dy = context.output_gradient();
    Value* axes = b.Ints(context.node().GetInts("axes"));
    Value* deviation = nullptr;
    Value* y = Normalized(b, context.input(0), axes, &deviation);
    Value* mean = b.Op("ReduceMean", {dy, axes}, kKeep);
    Value* dot = b.Op("ReduceMean", {b.Mul(dy, y), axes}, kKeep);
    context.SetInputGradient(0, b.Div(b.Sub(b.Sub(dy, mean), b.Mul(y, dot)), deviation));
  };
  OpCase random;
  random.name = "random";
  random.inputs = {Uniform({3, 2, 2, 3}, -2, 2)};
  op.cases = {std::move(random),
              ExpectedOnly("axis", {Floats({2, 2}, {1, 3, 2, 6})},
                           {-1 / (1 + 1e-9), 1 / (1 + 1e-9), -2 / (2 + 1e-9), 2 / (2 + 1e-9)},
                           {{"axes", Attribute(Ints{1})}})};
  registry.Add(std::move(op));
}

// ---- LpPool and GlobalLpPool ----

void LpPoolReference(const ir::ReferenceCall& call) {
  const TensorView& x = call.input(0);
  const Activations from(x, false), to(call.output(), false);
  const std::vector<WindowAxis> windows =
      PoolWindows(call.node, SpatialDimensions(Type::Tensor(x.dtype, Shape(x.dims)), false));
  const TapTable table(windows);
  const auto p = static_cast<double>(call.node.GetInt("p"));
  DispatchFloat(call.node.op_type(), x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (int64_t n = 0; n < to.batch; ++n) {
      for (int64_t c = 0; c < to.channels; ++c) {
        for (int64_t o = 0; o < table.outputs(); ++o) {
          double sum = 0;
          for (int64_t t = 0; t < table.taps(); ++t) {
            const int64_t s = table.At(o, t);
            if (s < 0) continue;
            sum += std::pow(std::fabs(static_cast<double>(x.as<T>()[from.At(n, c, s)])), p);
          }
          call.output().as<T>()[to.At(n, c, o)] = static_cast<T>(std::pow(sum, 1 / p));
        }
      }
    }
  });
}

// dX = the sum over windows of dY sign(x) (|x| / y)^(p - 1). Inputs X, Y, dY.
void LpPoolGradientReference(const ir::ReferenceCall& call) {
  const TensorView& x = call.input(0);
  const Activations from(x, false), to(call.input(1), false);
  const TapTable table(
      PoolWindows(call.node, SpatialDimensions(Type::Tensor(x.dtype, Shape(x.dims)), false)));
  const auto p = static_cast<double>(call.node.GetInt("p"));
  DispatchFloat(call.node.op_type(), x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    std::vector<double> sums(static_cast<size_t>(x.size()), 0);
    for (int64_t n = 0; n < to.batch; ++n) {
      for (int64_t c = 0; c < to.channels; ++c) {
        for (int64_t o = 0; o < table.outputs(); ++o) {
          const double y = call.input(1).as<T>()[to.At(n, c, o)];
          const double dy = call.input(2).as<T>()[to.At(n, c, o)];
          for (int64_t t = 0; y > 0 && t < table.taps(); ++t) {
            const int64_t s = table.At(o, t);
            if (s < 0) continue;
            const double value = x.as<T>()[from.At(n, c, s)];
            const double slope = std::pow(std::fabs(value) / y, p - 1);
            sums[static_cast<size_t>(from.At(n, c, s))] += dy * std::copysign(slope, value);
          }
        }
      }
    }
    for (size_t i = 0; i < sums.size(); ++i) call.output().as<T>()[i] = static_cast<T>(sums[i]);
  });
}

std::vector<ir::AttributeSpec> LpPoolAttributes() {
  std::vector<ir::AttributeSpec> attributes = WindowAttributeSpecs();
  std::erase_if(attributes, [](const ir::AttributeSpec& a) { return a.name == "channels_last"; });
  attributes.push_back(IntAttribute("ceil_mode", 0));
  attributes.push_back(RequiredAttribute("kernel_shape", ir::AttributeKind::kInts));
  attributes.push_back(IntAttribute("p", 2));
  return attributes;
}

void RegisterLpPoolGradient(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "LpPoolGradient";
  op.domain = "ingot";
  op.summary = "d(X) of LpPool from X, Y and d(Y).";
  op.inputs = {Required("X"), Required("Y"), Required("dY")};
  op.outputs = {Required("dX")};
  op.attributes = LpPoolAttributes();
  op.infer = [](InferContext& context) { context.SetOutput(0, context.input(0)); };
  op.reference = LpPoolGradientReference;
  op.cases = {ExpectedOnly(
      "line", {Floats({1, 1, 2}, {3, -4}), Floats({1, 1, 1}, {5}), Floats({1, 1, 1}, {10})},
      {6, -8}, {{"kernel_shape", Attribute(Ints{2})}})};
  registry.Add(std::move(op));
}

void RegisterLpPool(ir::OpRegistry& registry) {
  RegisterLpPoolGradient(registry);
  ir::OpDefinition op;
  op.name = "LpPool";
  op.since_version = 22;
  op.summary = "The p-norm of each window.";
  op.inputs = {Required("X")};
  op.outputs = {Required("Y")};
  op.attributes = LpPoolAttributes();
  op.gradient = [](GradientContext& context) {
    if (!context.wants(0)) return;
    context.SetInputGradient(
        0, context.builder().Op("ingot.LpPoolGradient",
                                {context.input(0), context.output(), context.output_gradient()},
                                context.node().attributes()));
  };
  op.infer = [](InferContext& context) {
    RequireType(context, 0, Types::kFloat);
    const Type& x = context.input(0);
    if (!x.has_rank()) {
      context.SetOutput(0, x);
      return;
    }
    if (x.rank() < 3) {
      throw Error(ErrorCode::kInvalidInput,
                  "X is " + x.ToString() + ", expected a batch, channels and spatial axes");
    }
    context.SetOutput(
        0,
        ActivationType(x.dtype(), x.dim(0), x.dim(1),
                       OutputsOf(PoolWindows(context.node(), SpatialDimensions(x, false))), false));
  };
  op.reference = LpPoolReference;
  OpCase random;
  random.name = "random";
  random.inputs = {Uniform({2, 2, 4, 3}, 0.25, 2)};
  random.attributes = {{"kernel_shape", Attribute(Ints{3, 2})},
                       {"pads", Attribute(Ints{1, 0, 1, 1})},
                       {"p", Attribute(int64_t{3})}};
  op.cases = {
      std::move(random),
      ExpectedOnly("line", {Floats({1, 1, 3}, {3, 4, 0})}, {5, 4},
                   {{"kernel_shape", Attribute(Ints{2})}}),
      ExpectedOnly("p1", {Floats({1, 1, 2, 2}, {1, -2, 3, -4})}, {10},
                   {{"kernel_shape", Attribute(Ints{2, 2})}, {"p", Attribute(int64_t{1})}})};
  registry.Add(std::move(op));

  ir::OpDefinition global;
  global.name = "GlobalLpPool";
  global.since_version = 22;
  global.summary = "The p-norm of each channel.";
  global.inputs = {Required("X")};
  global.outputs = {Required("Y")};
  global.attributes = {IntAttribute("p", 2)};
  global.infer = [](InferContext& context) {
    RequireType(context, 0, Types::kFloat);
    const Type& x = context.input(0);
    if (!x.has_rank()) {
      context.SetOutput(0, x);
      return;
    }
    ir::Dimensions dims = x.dims();
    for (size_t i = 2; i < dims.size(); ++i) dims[i] = 1;
    context.SetOutput(0, Type::Tensor(x.dtype(), std::move(dims)));
  };
  global.reference = [](const ir::ReferenceCall& call) {
    const auto p = static_cast<double>(call.node.GetInt("p"));
    const int64_t lines = call.output().size();
    DispatchFloat("GlobalLpPool", call.input(0).dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      const int64_t each = lines == 0 ? 0 : call.input(0).size() / lines;
      for (int64_t line = 0; line < lines; ++line) {
        double sum = 0;
        for (int64_t i = 0; i < each; ++i) {
          sum +=
              std::pow(std::fabs(static_cast<double>(call.input(0).as<T>()[line * each + i])), p);
        }
        call.output().as<T>()[line] = static_cast<T>(std::pow(sum, 1 / p));
      }
    });
  };
  global.cases = {ExpectedOnly("two", {Floats({1, 2, 2}, {3, 4, 5, 12})}, {5, 13})};
  registry.Add(std::move(global));
}

}  // namespace

void RegisterLocalNormalization(ir::OpRegistry& registry) {
  RegisterLpNormalization(registry);
  RegisterLrn(registry);
  RegisterMeanVariance(registry);
  RegisterLpPool(registry);
}

}  // namespace ingot::ops
