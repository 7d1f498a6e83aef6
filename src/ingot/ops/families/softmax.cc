// Softmax and LogSoftmax along one axis, and the helpers of their gradients.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "ingot/base/error.h"
#include "ingot/ops/definition.h"
#include "ingot/ops/elementwise.h"

namespace ingot::ops {

void RegisterSoftmax(ir::OpRegistry& registry);

namespace {

using ir::GradientContext;
using ir::InferContext;
using ir::OpDefinition;

// A line is what one walks through along `axis`: `lines` of them, of `length` elements that stand
// `stride` apart.
struct Lines {
  int64_t count = 1, length = 1, stride = 1;
  // The first element of line i.
  int64_t Begin(int64_t i) const { return i / stride * length * stride + i % stride; }
};

Lines LinesOf(const TensorView& x, int64_t axis_attribute) {
  const int axis = NormalizeAxis(axis_attribute, x.rank());
  Lines lines;
  for (int i = 0; i < x.rank(); ++i) {
    if (i == axis) {
      lines.length = x.dim(i);
    } else {
      lines.count *= x.dim(i);
    }
    if (i > axis) lines.stride *= x.dim(i);
  }
  return lines;
}

// Calls f(line of input 0, line of input 1 (empty where there is none), line of the output) in
// double for each line.
template <typename F>
void ForEachLine(const ir::ReferenceCall& call, F f) {
  const TensorView& x = call.input(0);
  const Lines lines = LinesOf(x, call.node.GetInt("axis"));
  const bool has_second = call.has_input(1);
  DispatchFloat(call.node.op_type(), x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const auto length = static_cast<size_t>(lines.length);
    std::vector<double> first(length), second(has_second ? length : 0), out(length);
    for (int64_t i = 0; i < lines.count; ++i) {
      const auto at = [&](size_t j) {
        return lines.Begin(i) + static_cast<int64_t>(j) * lines.stride;
      };
      for (size_t j = 0; j < length; ++j) first[j] = x.as<T>()[at(j)];
      for (size_t j = 0; j < second.size(); ++j) second[j] = call.input(1).as<T>()[at(j)];
      f(first, second, out);
      for (size_t j = 0; j < length; ++j) call.output().as<T>()[at(j)] = static_cast<T>(out[j]);
    }
  });
}

using Line = std::vector<double>;

double LogSumExp(const Line& x, double highest) {
  double sum = 0;
  for (const double v : x) sum += std::exp(v - highest);
  return std::log(sum);
}

double Highest(const Line& x) {
  return x.empty() ? 0 : *std::max_element(x.begin(), x.end());
}

void SoftmaxLine(const Line& x, const Line&, Line& y) {
  const double highest = Highest(x);
  double sum = 0;
  for (size_t j = 0; j < x.size(); ++j) sum += y[j] = std::exp(x[j] - highest);
  for (double& v : y) v /= sum;
}

void LogSoftmaxLine(const Line& x, const Line&, Line& y) {
  const double highest = Highest(x);
  const double log_sum = LogSumExp(x, highest);
  for (size_t j = 0; j < x.size(); ++j) y[j] = (x[j] - highest) - log_sum;
}

void SoftmaxGradientLine(const Line& dy, const Line& y, Line& dx) {
  double dot = 0;
  for (size_t j = 0; j < y.size(); ++j) dot += dy[j] * y[j];
  for (size_t j = 0; j < y.size(); ++j) dx[j] = (dy[j] - dot) * y[j];
}

void LogSoftmaxGradientLine(const Line& dy, const Line& y, Line& dx) {
  double sum = 0;
  for (const double v : dy) sum += v;
  for (size_t j = 0; j < y.size(); ++j) dx[j] = dy[j] - std::exp(y[j]) * sum;
}

using LineFunction = void (*)(const Line&, const Line&, Line&);

void InferAlongAxis(InferContext& context) {
  RequireType(context, 0, Types::kFloat);
  const ir::Type& x = context.input(0);
  if (x.has_rank()) NormalizeAxis(context.node().GetInt("axis"), x.rank());
  context.SetOutput(0, x);
}

// Y = f(X), whose gradient is the helper NAMEGradient(dY, Y).
OpDefinition SoftmaxOp(const std::string& name, const std::string& summary, LineFunction f) {
  OpDefinition op;
  op.name = name;
  op.since_version = 13;
  op.summary = summary;
  op.inputs = {Required("X")};
  op.outputs = {Required("Y")};
  op.attributes = {IntAttribute("axis", -1)};
  op.infer = InferAlongAxis;
  op.reference = [f](const ir::ReferenceCall& call) { ForEachLine(call, f); };
  op.gradient = [name](GradientContext& context) {
    if (!context.wants(0)) return;
    context.SetInputGradient(0, context.builder().Op("ingot." + name + "Gradient",
                                                     {context.output_gradient(), context.output()},
                                                     {{"axis", context.node().GetInt("axis")}}));
  };
  op.may_run_in_place = true;
  const auto random = [](const char* case_name, Shape shape, int64_t axis, bool gradient = true) {
    return OpCase{.name = case_name,
                  .inputs = {Uniform(std::move(shape), -4, 4)},
                  .attributes = {{"axis", axis}},
                  .gradient = gradient};
  };
  op.cases = {random("rows", {3, 5}, -1),
              random("first_axis", {5, 3}, 0),
              random("middle_axis", {2, 5, 3}, 1),
              random("vector", {7}, 0),
              random("one_class", {4, 1}, 1),
              random("ragged", {13, 131}, 1, false),
              random("no_rows", {0, 3}, -1),
              random("batch", {128, 10}, -1, false),
              OpCase{.name = "default_axis", .inputs = {Uniform({2, 3})}}};
  return op;
}

OpDefinition Backward(const std::string& name, LineFunction f, double low, double high) {
  OpDefinition op;
  op.name = name + "Gradient";
  op.domain = "ingot";
  op.summary = "d(X) of " + name + " from d(Y) and Y.";
  op.inputs = {Required("dY"), Required("Y")};
  op.outputs = {Required("dX")};
  op.attributes = {IntAttribute("axis", -1)};
  op.infer = [](InferContext& context) {
    InferAlongAxis(context);
    const ir::Type& dy = context.input(0);
    const ir::Type& y = context.input(1);
    if (dy.is_static() && y.is_static() && !(dy == y)) {
      throw Error(ErrorCode::kInvalidInput,
                  "dY is " + dy.ToString() + " but Y is " + y.ToString() + ", expected one shape");
    }
  };
  op.reference = [f](const ir::ReferenceCall& call) { ForEachLine(call, f); };
  op.may_run_in_place = true;
  for (const Shape& shape : {Shape{3, 5}, Shape{17, 31}, Shape{2, 0}}) {
    op.cases.push_back(OpCase{.name = "rows_" + shape.ToString(),
                              .inputs = {Uniform(shape), Uniform(shape, low, high)},
                              .gradient = false});
  }
  op.cases.push_back(OpCase{.name = "middle_axis",
                            .inputs = {Uniform({2, 5, 3}), Uniform({2, 5, 3}, low, high)},
                            .attributes = {{"axis", int64_t{1}}},
                            .gradient = false});
  return op;
}

}  // namespace

void RegisterSoftmax(ir::OpRegistry& registry) {
  OpDefinition softmax =
      SoftmaxOp("Softmax", "Y = e^X / sum(e^X) along an axis, without overflow.", SoftmaxLine);
  const double e = std::exp(1.0);
  softmax.cases.push_back(OpCase{.name = "by_hand",
                                 .inputs = {Floats({2, 2}, {0, 1, -1024, 1024})},
                                 .expected = {{1 / (1 + e), e / (1 + e), 0, 1}}});
  softmax.cases.push_back(OpCase{.name = "masked",
                                 .inputs = {Floats({1, 3}, {2, -INFINITY, 2})},
                                 .expected = {{0.5, 0, 0.5}},
                                 .gradient = false});
  registry.Add(std::move(softmax));

  OpDefinition log_softmax =
      SoftmaxOp("LogSoftmax", "Y = X - log(sum(e^X)) along an axis.", LogSoftmaxLine);
  log_softmax.cases.push_back(OpCase{.name = "by_hand",
                                     .inputs = {Floats({2, 2}, {0, 1, -1024, 1024})},
                                     .expected = {{-std::log1p(e), 1 - std::log1p(e), -2048, 0}}});
  registry.Add(std::move(log_softmax));

  OpDefinition gradient = Backward("Softmax", SoftmaxGradientLine, 0, 1);
  gradient.cases.push_back(OpCase{.name = "by_hand",
                                  .inputs = {Floats({1, 2}, {4, 8}), Floats({1, 2}, {0.25, 0.75})},
                                  .expected = {{-0.75, 0.75}},
                                  .gradient = false});
  registry.Add(std::move(gradient));

  OpDefinition log_gradient = Backward("LogSoftmax", LogSoftmaxGradientLine, -4, 0);
  log_gradient.cases.push_back(OpCase{.name = "by_hand",
                                      .inputs = {Floats({1, 2}, {4, 8}), Floats({1, 2}, {0, -1})},
                                      .expected = {{-8, 8 - 12 / e}},
                                      .gradient = false});
  registry.Add(std::move(log_gradient));
}

}  // namespace ingot::ops
