// LSTM, GRU and RNN with ONNX's semantics and layouts (ingot/ops/recurrence.h has the formulas),
// and ingot.RecurrentGradient, backpropagation through time.
//
// Beyond ONNX's outputs there is an optional last one, Kept, with what the gradient needs. Where a
// graph did not ask for it, the gradient runs the op again.
#include <cmath>
#include <string>
#include <vector>

#include "ingot/base/error.h"
#include "ingot/ops/definition.h"
#include "ingot/ops/doubles.h"
#include "ingot/ops/elementwise.h"
#include "ingot/ops/recurrence.h"

namespace ingot::ops {

void RegisterRecurrent(ir::OpRegistry& registry);

namespace {

using ir::Attributes;
using ir::GradientContext;
using ir::InferContext;
using ir::OpDefinition;
using ir::Type;
using ir::Value;
using Doubles = std::vector<double>;

void Write(const ir::ReferenceCall& call, size_t output, const Doubles& values) {
  if (output >= call.outputs.size()) return;
  WriteDoubles(values, call.output(output));
}

Shape ShapeOf(const TensorView& view) {
  return Shape(std::vector<int64_t>(view.dims.begin(), view.dims.end()));
}

double SigmoidOf(double x) {
  return 1 / (1 + std::exp(-x));
}

// Weights of a node and the products with them, by number of direction and gate row.
struct Weights {
  RecurrentSizes s;
  Doubles w, r, b;

  Weights(const ir::ReferenceCall& call, Cell cell)
      : s(SizesOfRecurrence(cell, call.node, ShapeOf(call.input(0)), ShapeOf(call.input(1)),
                            ShapeOf(call.input(2)))),
        w(ReadDoubles(call, 1)),
        r(ReadDoubles(call, 2)),
        b(ReadDoubles(call, 3)) {
    if (b.empty()) b.assign(static_cast<size_t>(s.directions * 2 * s.gates() * s.hidden), 0);
  }

  size_t Row(int64_t d, int64_t row) const {
    return static_cast<size_t>(d * s.gates() * s.hidden + row);
  }
  double InputBias(int64_t d, int64_t row) const {
    return b[static_cast<size_t>(d * 2 * s.gates() * s.hidden + row)];
  }
  double HiddenBias(int64_t d, int64_t row) const {
    return b[static_cast<size_t>((d * 2 + 1) * s.gates() * s.hidden + row)];
  }
  double Input(int64_t d, int64_t row, const double* x) const {
    double sum = 0;
    const double* weight = w.data() + Row(d, row) * static_cast<size_t>(s.inputs);
    for (int64_t i = 0; i < s.inputs; ++i) sum += weight[i] * x[i];
    return sum;
  }
  double Hidden(int64_t d, int64_t row, const double* h) const {
    double sum = 0;
    const double* weight = r.data() + Row(d, row) * static_cast<size_t>(s.hidden);
    for (int64_t i = 0; i < s.hidden; ++i) sum += weight[i] * h[i];
    return sum;
  }
};

// One step of one sample: h and c become the new state, `kept` what the gradient needs.
void StepForward(const Weights& m, int64_t d, const double* x, Doubles& h, Doubles& c,
                 Doubles& kept) {
  const int64_t n = m.s.hidden;
  const auto size = static_cast<size_t>(n);
  const auto sum = [&](int64_t row) {
    return m.Input(d, row, x) + m.InputBias(d, row) + m.Hidden(d, row, h.data()) +
           m.HiddenBias(d, row);
  };
  Doubles next(size);
  if (m.s.cell == Cell::kRnn) {
    for (int64_t j = 0; j < n; ++j) next[static_cast<size_t>(j)] = std::tanh(sum(j));
  } else if (m.s.cell == Cell::kLstm) {
    for (size_t j = 0; j < 3 * size; ++j) kept[j] = SigmoidOf(sum(static_cast<int64_t>(j)));
    for (size_t j = 3 * size; j < 4 * size; ++j) kept[j] = std::tanh(sum(static_cast<int64_t>(j)));
    for (size_t j = 0; j < size; ++j) {
      c[j] = kept[2 * size + j] * c[j] + kept[j] * kept[3 * size + j];
      kept[4 * size + j] = c[j];
      next[j] = kept[size + j] * std::tanh(c[j]);
    }
  } else {
    for (size_t j = 0; j < 2 * size; ++j) kept[j] = SigmoidOf(sum(static_cast<int64_t>(j)));
    for (size_t j = 0; j < size; ++j) {
      const int64_t row = 2 * n + static_cast<int64_t>(j);
      kept[3 * size + j] = m.s.linear_before_reset
                               ? m.Hidden(d, row, h.data()) + m.HiddenBias(d, row)
                               : kept[size + j] * h[j];
    }
    for (size_t j = 0; j < size; ++j) {
      const int64_t row = 2 * n + static_cast<int64_t>(j);
      const double recurrent = m.s.linear_before_reset
                                   ? kept[size + j] * kept[3 * size + j]
                                   : m.Hidden(d, row, &kept[3 * size]) + m.HiddenBias(d, row);
      kept[2 * size + j] = std::tanh(m.Input(d, row, x) + m.InputBias(d, row) + recurrent);
      next[j] = (1 - kept[j]) * kept[2 * size + j] + kept[j] * h[j];
    }
  }
  h = std::move(next);
}

// Row `row` of `values`, rows of `width`; zeros where there are no values.
Doubles RowOf(const Doubles& values, int64_t row, int64_t width) {
  if (values.empty()) return Doubles(static_cast<size_t>(width), 0);
  const auto begin = values.begin() + row * width;
  return Doubles(begin, begin + width);
}

void SetRow(Doubles& values, int64_t row, const Doubles& from) {
  std::copy(from.begin(), from.end(), values.begin() + row * static_cast<int64_t>(from.size()));
}

template <Cell kCell>
void ForwardReference(const ir::ReferenceCall& call) {
  const Weights m(call, kCell);
  const RecurrentSizes& s = m.s;
  const Doubles x = ReadDoubles(call, 0), h0 = ReadDoubles(call, 5), c0 = ReadDoubles(call, 6);
  const auto rows = static_cast<size_t>(s.steps * s.directions * s.batch * s.hidden);
  const auto states = static_cast<size_t>(s.directions * s.batch * s.hidden);
  Doubles y(rows), all_kept(rows * static_cast<size_t>(s.kept())), last_h(states), last_c(states);
  Doubles kept(static_cast<size_t>(s.kept() * s.hidden));
  for (int64_t d = 0; d < s.directions; ++d) {
    for (int64_t b = 0; b < s.batch; ++b) {
      Doubles h = RowOf(h0, s.StateRow(d, b), s.hidden), c = RowOf(c0, s.StateRow(d, b), s.hidden);
      for (int64_t n = 0; n < s.steps; ++n) {
        const int64_t t = s.Step(d, n);
        StepForward(m, d, x.data() + s.InputRow(t, b) * s.inputs, h, c, kept);
        SetRow(y, s.OutputRow(t, d, b), h);
        SetRow(all_kept, s.OutputRow(t, d, b), kept);
      }
      SetRow(last_h, s.StateRow(d, b), h);
      SetRow(last_c, s.StateRow(d, b), c);
    }
  }
  Write(call, 0, y);
  Write(call, 1, last_h);
  if (kCell == Cell::kLstm) Write(call, 2, last_c);
  if (kCell != Cell::kRnn) Write(call, kCell == Cell::kLstm ? 3 : 2, all_kept);
}

// ---- gradient ----

// Gradients of the sums that the gates are functions of: of a[t], and of its recurrent part where
// that is another (the last gate of a GRU with linear_before_reset).
struct StepGradient {
  Doubles input, hidden;
};

// `dh` and `dc` (of the new state) become what reaches the old state beside the products with R.
StepGradient GateGradients(const RecurrentSizes& s, const Doubles& kept, const Doubles& h,
                           const Doubles& old_h, const Doubles& old_c, Doubles& dh, Doubles& dc) {
  const auto n = static_cast<size_t>(s.hidden);
  StepGradient out{Doubles(static_cast<size_t>(s.gates()) * n), {}};
  Doubles& a = out.input;
  for (size_t j = 0; j < n; ++j) {
    if (s.cell == Cell::kRnn) {
      a[j] = dh[j] * (1 - h[j] * h[j]);
      dh[j] = 0;
    } else if (s.cell == Cell::kLstm) {
      const double i = kept[j], o = kept[n + j], f = kept[2 * n + j], g = kept[3 * n + j];
      const double t = std::tanh(kept[4 * n + j]);
      dc[j] += dh[j] * o * (1 - t * t);
      a[j] = dc[j] * g * i * (1 - i);
      a[n + j] = dh[j] * t * o * (1 - o);
      a[2 * n + j] = dc[j] * old_c[j] * f * (1 - f);
      a[3 * n + j] = dc[j] * i * (1 - g * g);
      dc[j] *= f;
      dh[j] = 0;
    } else {
      const double z = kept[j], candidate = kept[2 * n + j];
      a[j] = dh[j] * (old_h[j] - candidate) * z * (1 - z);
      a[2 * n + j] = dh[j] * (1 - z) * (1 - candidate * candidate);
      dh[j] *= z;
    }
  }
  return out;
}

// The reset gate of a GRU, whose gradient is behind a product where not linear_before_reset.
void ResetGradient(const Weights& m, int64_t d, const Doubles& kept, const Doubles& old_h,
                   StepGradient& gradient, Doubles& dh) {
  const auto n = static_cast<size_t>(m.s.hidden);
  Doubles& a = gradient.input;
  gradient.hidden = a;
  for (size_t j = 0; j < n; ++j) {
    const double r = kept[n + j];
    double dr = 0;
    if (m.s.linear_before_reset) {
      dr = a[2 * n + j] * kept[3 * n + j];
      gradient.hidden[2 * n + j] = a[2 * n + j] * r;
    } else {
      double product = 0;  // d(r * h)
      for (size_t k = 0; k < n; ++k) {
        product += m.r[m.Row(d, static_cast<int64_t>(2 * n + k)) * n + j] * a[2 * n + k];
      }
      dr = product * old_h[j];
      dh[j] += product * r;
    }
    a[n + j] = gradient.hidden[n + j] = dr * r * (1 - r);
  }
}

struct Gradients {
  Doubles x, w, r, b, h0, c0;
};

// Adds the products of one step with the gates' gradients; `dh` gets what R carries back.
void AddProducts(const Weights& m, int64_t d, const StepGradient& gradient, const double* x,
                 const Doubles& old_h, const Doubles& kept, Gradients& g, double* dx, Doubles& dh) {
  const RecurrentSizes& s = m.s;
  const auto n = static_cast<size_t>(s.hidden);
  const Doubles& hidden = gradient.hidden.empty() ? gradient.input : gradient.hidden;
  const auto gates = static_cast<size_t>(s.gates()) * n;
  for (size_t row = 0; row < gates; ++row) {
    const size_t at = m.Row(d, static_cast<int64_t>(row));
    const bool reset = s.cell == Cell::kGru && !s.linear_before_reset && row >= 2 * n;
    for (size_t i = 0; i < static_cast<size_t>(s.inputs); ++i) {
      const size_t weight = at * static_cast<size_t>(s.inputs) + i;
      dx[i] += m.w[weight] * gradient.input[row];
      g.w[weight] += gradient.input[row] * x[i];
    }
    for (size_t i = 0; i < n; ++i) {
      // Behind the reset gate the left factor was r * h, and ResetGradient went through R already.
      g.r[at * n + i] += hidden[row] * (reset ? kept[3 * n + i] : old_h[i]);
      if (!reset) dh[i] += m.r[at * n + i] * hidden[row];
    }
    g.b[static_cast<size_t>(d) * 2 * gates + row] += gradient.input[row];
    g.b[(static_cast<size_t>(d) * 2 + 1) * gates + row] += hidden[row];
  }
}

// Inputs X, W, R, B, initial_h, initial_c, Y, Kept, dY, dY_h, dY_c.
void BackwardReference(const ir::ReferenceCall& call) {
  const Weights m(call, CellNamed(call.node.GetString("cell")));
  const RecurrentSizes& s = m.s;
  const Doubles x = ReadDoubles(call, 0), h0 = ReadDoubles(call, 4), c0 = ReadDoubles(call, 5),
                y = ReadDoubles(call, 6), all_kept = ReadDoubles(call, 7),
                dy = ReadDoubles(call, 8), d_last_h = ReadDoubles(call, 9),
                d_last_c = ReadDoubles(call, 10);
  const auto states = static_cast<size_t>(s.directions * s.batch * s.hidden);
  Gradients g{Doubles(x.size(), 0),   Doubles(m.w.size(), 0), Doubles(m.r.size(), 0),
              Doubles(m.b.size(), 0), Doubles(states, 0),     Doubles(states, 0)};
  const int64_t width = s.kept() * s.hidden;
  for (int64_t d = 0; d < s.directions; ++d) {
    for (int64_t b = 0; b < s.batch; ++b) {
      const int64_t state = s.StateRow(d, b);
      Doubles dh = RowOf(d_last_h, state, s.hidden), dc = RowOf(d_last_c, state, s.hidden);
      for (int64_t n = s.steps; n-- > 0;) {
        const int64_t row = s.OutputRow(s.Step(d, n), d, b);
        const int64_t before = n > 0 ? s.OutputRow(s.Step(d, n - 1), d, b) : 0;
        const Doubles kept = RowOf(all_kept, row, width);
        const Doubles h = RowOf(y, row, s.hidden);
        const Doubles old_h = n > 0 ? RowOf(y, before, s.hidden) : RowOf(h0, state, s.hidden);
        Doubles old_c = RowOf(c0, state, s.hidden);
        if (s.cell == Cell::kLstm && n > 0) {
          const Doubles old_kept = RowOf(all_kept, before, width);
          old_c.assign(old_kept.end() - s.hidden, old_kept.end());
        }
        const Doubles above = RowOf(dy, row, s.hidden);
        for (size_t j = 0; j < dh.size(); ++j) dh[j] += above[j];
        StepGradient gradient = GateGradients(s, kept, h, old_h, old_c, dh, dc);
        if (s.cell == Cell::kGru) ResetGradient(m, d, kept, old_h, gradient, dh);
        const int64_t input = s.InputRow(s.Step(d, n), b) * s.inputs;
        AddProducts(m, d, gradient, x.data() + input, old_h, kept, g, g.x.data() + input, dh);
      }
      SetRow(g.h0, state, dh);
      SetRow(g.c0, state, dc);
    }
  }
  const Doubles* all[] = {&g.x, &g.w, &g.r, &g.b, &g.h0, &g.c0};
  for (size_t i = 0; i < 6; ++i) Write(call, i, *all[i]);
}

// ---- shapes ----

template <Cell kCell>
void InferForward(InferContext& context) {
  RequireType(context, 0, Types::kFloat);
  const ir::Node& node = context.node();
  if (context.HasInput(4)) {
    throw Error(ErrorCode::kUnsupported, "sequences of different length (input sequence_lens)",
                "pad them on the left, or mask what follows (in ONNX models layout 0 has them)");
  }
  const Type& x = context.input(0);
  const Type& r = context.input(2);
  const DType dtype = x.dtype();
  const size_t outputs = node.outputs().size();
  if (!x.has_rank() || x.rank() != 3 || !r.has_rank() || r.rank() != 3) {
    for (size_t i = 0; i < outputs; ++i) {
      context.SetOutput(i, Type::TensorOfUnknownRank(dtype));
    }
    return;
  }
  // Whatever is not a number yet (the batch) takes no part in what is checked: 1 stands for it.
  const auto numbers = [](const Type& type) {
    std::vector<int64_t> dims;
    for (const ir::Dimension& dim : type.dims()) dims.push_back(dim.is_static() ? dim.value() : 1);
    return Shape(std::move(dims));
  };
  const bool weights_known = context.input(1).is_static() && r.is_static() && x.dim(2).is_static();
  const bool batch_first = node.GetInt("layout") != 0;
  const int64_t directions = node.GetString("direction") == "bidirectional" ? 2 : 1;
  RecurrentSizes s;
  s.cell = kCell;
  if (weights_known)
    s = SizesOfRecurrence(kCell, node, numbers(x), context.input(1).shape(), r.shape());
  const ir::Dimension steps = x.dim(batch_first ? 1 : 0), batch = x.dim(batch_first ? 0 : 1);
  const ir::Dimension hidden = r.dim(2);
  const ir::Dimension kept =
      hidden.is_static() ? ir::Dimension(s.kept() * hidden.value()) : ir::Dimension();
  const auto rows = [&](const ir::Dimension& width) {
    return Type::Tensor(dtype, batch_first ? ir::Dimensions{batch, steps, directions, width}
                                           : ir::Dimensions{steps, directions, batch, width});
  };
  const Type state = Type::Tensor(dtype, batch_first ? ir::Dimensions{batch, directions, hidden}
                                                     : ir::Dimensions{directions, batch, hidden});
  for (size_t i = 0; i < outputs; ++i) {
    const size_t last_state = kCell == Cell::kLstm ? 2 : 1;
    context.SetOutput(i, i == 0 ? rows(hidden) : i <= last_state ? state : rows(kept));
  }
}

void InferBackward(InferContext& context) {
  RequireType(context, 0, Types::kFloat);
  CellNamed(context.node().GetString("cell"));
  for (size_t i = 0; i < 3; ++i) context.SetOutput(i, context.input(i));
  const Type& r = context.input(2);
  const Type& y = context.input(6);
  const DType dtype = r.dtype();
  const size_t outputs = context.node().outputs().size();
  if (!r.has_rank() || !y.has_rank() || y.rank() != 4) {
    for (size_t i = 3; i < outputs; ++i) {
      context.SetOutput(i, Type::TensorOfUnknownRank(dtype));
    }
    return;
  }
  const ir::Dimension rows =
      r.dim(1).is_static() ? ir::Dimension(2 * r.dim(1).value()) : ir::Dimension();
  context.SetOutput(3, Type::Tensor(dtype, {r.dim(0), rows}));
  const bool batch_first = context.node().GetInt("layout") != 0;
  const Type state =
      Type::Tensor(dtype, batch_first ? ir::Dimensions{y.dim(0), y.dim(2), y.dim(3)}
                                      : ir::Dimensions{y.dim(1), y.dim(2), y.dim(3)});
  for (size_t i = 4; i < outputs; ++i) context.SetOutput(i, state);
}

std::vector<ir::AttributeSpec> RecurrentAttributes() {
  return {StringAttribute("direction", "forward"), IntAttribute("layout", 0),
          OptionalAttribute("hidden_size", ir::AttributeKind::kInt)};
}

template <Cell kCell>
void Gradient(GradientContext& context) {
  ir::Builder& b = context.builder();
  const ir::Node& node = context.node();
  const size_t states = kCell == Cell::kLstm ? 2 : 1;
  const size_t all = kCell == Cell::kRnn ? 2 : states + 2;
  std::vector<Value*> outputs(node.outputs().begin(), node.outputs().end());
  if (outputs.size() < all && kCell != Cell::kRnn) {
    outputs =
        b.Ops(node.op_type(), {node.inputs().begin(), node.inputs().end()}, all, node.attributes());
  }
  const auto of = [&](size_t i) {
    return i < node.outputs().size() ? context.output_gradient(i) : nullptr;
  };
  if (kCell != Cell::kRnn && of(states + 1) != nullptr) {
    throw Error(ErrorCode::kUnsupported,
                node.Describe() + ": the gradient of what is kept for the gradient (output " +
                    std::to_string(states + 1) + ") is not defined");
  }
  Attributes attributes = node.attributes();
  attributes["cell"] = node.op_type();
  const std::vector<Value*> gradients =
      b.Ops("ingot.RecurrentGradient",
            {node.input(0), node.input(1), node.input(2), node.input(3), node.input(5),
             node.input(6), outputs[0], kCell == Cell::kRnn ? nullptr : outputs[states + 1], of(0),
             of(1), kCell == Cell::kLstm ? of(2) : nullptr},
            4 + states, std::move(attributes));
  const size_t inputs[] = {0, 1, 2, 3, 5, 6};
  for (size_t i = 0; i < gradients.size(); ++i) {
    if (context.wants(inputs[i])) context.SetInputGradient(inputs[i], gradients[i]);
  }
}

// ---- cases ----

OpCase Random(std::string name, Cell cell, const std::string& direction, bool batch_first,
              int64_t steps, int64_t batch, int64_t inputs, int64_t hidden, Attributes more = {},
              bool gradient = true) {
  RecurrentSizes s;
  s.cell = cell;
  const int64_t d = direction == "bidirectional" ? 2 : 1;
  const int64_t rows = s.gates() * hidden;
  const Shape state = batch_first ? Shape{batch, d, hidden} : Shape{d, batch, hidden};
  OpCase op_case;
  op_case.name = std::move(name);
  op_case.inputs = {
      Uniform(batch_first ? Shape{batch, steps, inputs} : Shape{steps, batch, inputs}),
      Uniform({d, rows, inputs}),
      Uniform({d, rows, hidden}),
      Uniform({d, 2 * rows}),
      Absent(),
      Uniform(state)};
  if (cell == Cell::kLstm) op_case.inputs.push_back(Uniform(state));
  op_case.attributes = std::move(more);
  op_case.attributes["direction"] = direction;
  if (batch_first) op_case.attributes["layout"] = int64_t{1};
  op_case.outputs = cell == Cell::kLstm ? 3 : 2;
  // Kept, whose gradient is not defined, is compared in the cases without a gradient.
  if (!gradient && cell != Cell::kRnn) ++op_case.outputs;
  op_case.gradient = gradient;
  return op_case;
}

template <Cell kCell>
OpDefinition RecurrentOp(std::string name, std::string summary) {
  OpDefinition op;
  op.name = std::move(name);
  op.since_version = 22;
  op.summary = std::move(summary);
  op.inputs = {Required("X"),
               Required("W"),
               Required("R"),
               Optional("B"),
               Optional("sequence_lens", "I"),
               Optional("initial_h")};
  op.outputs = {Required("Y"), Optional("Y_h")};
  if (kCell == Cell::kLstm) {
    op.inputs.push_back(Optional("initial_c"));
    op.outputs.push_back(Optional("Y_c"));
  }
  if (kCell != Cell::kRnn) op.outputs.push_back(Optional("Kept"));
  op.attributes = RecurrentAttributes();
  if (kCell == Cell::kGru) op.attributes.push_back(IntAttribute("linear_before_reset", 0));
  op.infer = InferForward<kCell>;
  op.reference = ForwardReference<kCell>;
  op.gradient = Gradient<kCell>;
  op.cases = {Random("steps_first", kCell, "forward", false, 3, 2, 3, 2),
              Random("batch_first", kCell, "forward", true, 3, 2, 2, 3),
              Random("reverse", kCell, "reverse", true, 3, 2, 2, 2),
              Random("both_directions", kCell, "bidirectional", true, 3, 2, 2, 2),
              Random("both_directions_steps_first", kCell, "bidirectional", false, 2, 3, 2, 2),
              OpCase{.name = "weights_alone",
                     .inputs = {Uniform({2, 3, 2}), Uniform({1, RecurrentSizes{kCell}.gates(), 2}),
                                Uniform({1, RecurrentSizes{kCell}.gates(), 1})}},
              Random("ragged", kCell, "forward", true, 5, 7, 19, 23, {}, false),
              Random("ragged_both", kCell, "bidirectional", false, 4, 5, 17, 9, {}, false),
              Random("blocks", kCell, "forward", true, 6, 16, 32, 32, {}, false)};
  return op;
}

OpDefinition Lstm() {
  OpDefinition op = RecurrentOp<Cell::kLstm>("LSTM", "A layer of long short-term memory.");
  // All weights 0, biases of the gates 0: i = o = f = 1/2; g = tanh(1) by its bias.
  const double c = std::tanh(1.0) / 2 + 2;
  op.cases.push_back(OpCase{
      .name = "by_hand",
      .inputs = {Floats({1, 1, 1}, {3}), Floats({1, 4, 1}, {0, 0, 0, 0}),
                 Floats({1, 4, 1}, {0, 0, 0, 0}), Floats({1, 8}, {0, 0, 0, 0.5, 0, 0, 0, 0.5}),
                 Absent(), Floats({1, 1, 1}, {7}), Floats({1, 1, 1}, {4})},
      .expected = {{std::tanh(c) / 2}, {std::tanh(c) / 2}, {c}},
      .outputs = 3});
  return op;
}

OpDefinition Gru() {
  OpDefinition op = RecurrentOp<Cell::kGru>("GRU", "A layer of gated recurrent units.");
  const Attributes linear = {{"linear_before_reset", int64_t{1}}};
  op.cases.push_back(
      Random("linear_before_reset", Cell::kGru, "forward", true, 3, 2, 2, 3, linear));
  op.cases.push_back(Random("linear_both", Cell::kGru, "bidirectional", false, 3, 2, 2, 2, linear));
  op.cases.push_back(
      Random("linear_ragged", Cell::kGru, "forward", true, 5, 7, 19, 23, linear, false));
  // z = r = 1/2, h = 4: Rn (r h) + Rbn = 2 * 0.5 + 1 = 2; linear: r (Rn h + Rbn) = 1.5.
  for (const bool before : {false, true}) {
    op.cases.push_back(
        OpCase{.name = before ? "linear_by_hand" : "by_hand",
               .inputs = {Floats({1, 1, 1}, {3}), Floats({1, 3, 1}, {0, 0, 0}),
                          Floats({1, 3, 1}, {0, 0, 0.5}), Floats({1, 6}, {0, 0, 0, 0, 0, 1}),
                          Absent(), Floats({1, 1, 1}, {4})},
               .attributes = {{"linear_before_reset", int64_t{before}}},
               .expected = {{std::tanh(before ? 1.5 : 2.0) / 2 + 2}}});
  }
  return op;
}

OpDefinition Rnn() {
  OpDefinition op = RecurrentOp<Cell::kRnn>("RNN", "A layer of plain recurrence with tanh.");
  op.cases.push_back(OpCase{
      .name = "by_hand",
      .inputs = {Floats({2, 1, 1}, {1, 0}), Floats({1, 1, 1}, {0.5}), Floats({1, 1, 1}, {2})},
      .expected = {{std::tanh(0.5), std::tanh(2 * std::tanh(0.5))}}});
  return op;
}

OpDefinition RecurrentGradient() {
  OpDefinition op;
  op.name = "RecurrentGradient";
  op.domain = "ingot";
  op.summary = "The gradients of LSTM, GRU or RNN for X, W, R, B and the initial states.";
  op.inputs = {Required("X"),         Required("W"),         Required("R"),   Optional("B"),
               Optional("initial_h"), Optional("initial_c"), Required("Y"),   Optional("Kept"),
               Optional("dY"),        Optional("dY_h"),      Optional("dY_c")};
  op.outputs = {Required("dX"), Required("dW"),          Required("dR"),
                Required("dB"), Required("d_initial_h"), Optional("d_initial_c")};
  op.attributes = RecurrentAttributes();
  op.attributes.push_back(ir::AttributeSpec{"cell", ir::AttributeKind::kString, {}, true});
  op.attributes.push_back(IntAttribute("linear_before_reset", 0));
  op.infer = InferBackward;
  op.reference = BackwardReference;
  // h' = tanh(w x + r h): with y = 1/2 the slope is 3/4; x = 2, w = 3, r = 5, h = 1.
  op.cases = {OpCase{.name = "rnn_by_hand",
                     .inputs = {Floats({1, 1, 1}, {2}), Floats({1, 1, 1}, {3}),
                                Floats({1, 1, 1}, {5}), Absent(), Floats({1, 1, 1}, {1}), Absent(),
                                Floats({1, 1, 1, 1}, {0.5}), Absent(), Floats({1, 1, 1, 1}, {4})},
                     .attributes = {{"cell", std::string("RNN")}},
                     .expected = {{9}, {6}, {3}, {3, 3}, {15}},
                     .outputs = 5,
                     .gradient = false}};
  const auto random = [&](std::string name, const char* cell, const std::string& direction,
                          bool batch_first, int64_t steps, int64_t batch, int64_t inputs,
                          int64_t hidden, Attributes more = {}) {
    OpCase op_case = Random(std::move(name), CellNamed(cell), direction, batch_first, steps, batch,
                            inputs, hidden, std::move(more), false);
    RecurrentSizes s;
    s.cell = CellNamed(cell);
    const int64_t d = direction == "bidirectional" ? 2 : 1;
    const auto rows = [&](int64_t width) {
      return batch_first ? Shape{batch, steps, d, width} : Shape{steps, d, batch, width};
    };
    std::vector<OpCase::Input>& in = op_case.inputs;
    const OpCase::Input state = in[5];
    in = {in[0], in[1], in[2], in[3], state};
    in.push_back(s.cell == Cell::kLstm ? state : Absent());
    in.push_back(Uniform(rows(hidden)));
    in.push_back(s.cell == Cell::kRnn ? Absent() : Uniform(rows(s.kept() * hidden), 0.1, 0.9));
    in.push_back(Uniform(rows(hidden)));
    in.push_back(state);
    if (s.cell == Cell::kLstm) in.push_back(state);
    op_case.attributes["cell"] = std::string(cell);
    op_case.outputs = s.cell == Cell::kLstm ? 6 : 5;
    return op_case;
  };
  op.cases.push_back(random("lstm", "LSTM", "forward", true, 5, 7, 19, 23));
  op.cases.push_back(random("lstm_both", "LSTM", "bidirectional", false, 4, 5, 17, 9));
  op.cases.push_back(random("lstm_blocks", "LSTM", "forward", true, 6, 16, 32, 32));
  op.cases.push_back(random("gru", "GRU", "forward", true, 5, 7, 19, 23));
  op.cases.push_back(random("gru_linear", "GRU", "reverse", true, 5, 7, 19, 23,
                            {{"linear_before_reset", int64_t{1}}}));
  op.cases.push_back(random("rnn", "RNN", "bidirectional", true, 5, 7, 19, 23));
  return op;
}

}  // namespace

void RegisterRecurrent(ir::OpRegistry& registry) {
  registry.Add(Lstm());
  registry.Add(Gru());
  registry.Add(Rnn());
  registry.Add(RecurrentGradient());
}

}  // namespace ingot::ops
