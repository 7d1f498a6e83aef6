// Steps of recurrent layers around the products of panel_product.h and the gates of
// recurrence_rows.h.
#include "backends/cpu/recurrence.h"

#include <algorithm>

#include "backends/cpu/panel_product.h"
#include "backends/cpu/recurrence_rows.h"
#include "backends/cpu/vector_ops.h"

namespace ingot::cpu {
namespace {

using ops::Cell;
using ops::RecurrentSizes;

// Rows of gate gradients that are multiplied with x and h at once.
constexpr size_t kChunkRows = 128;

struct Extents {
  size_t batch, inputs, hidden, gates;  // gates: numbers of a row, gates() * hidden
  size_t kept;                          // numbers of a row that are kept
  // Rows of buffers; not a power of two apart, so that columns do not share a line of the cache.
  size_t gates_width, inputs_width, hidden_width;

  explicit Extents(const RecurrentSizes& s)
      : batch(static_cast<size_t>(s.batch)),
        inputs(static_cast<size_t>(s.inputs)),
        hidden(static_cast<size_t>(s.hidden)),
        gates(static_cast<size_t>(s.gates() * s.hidden)),
        kept(static_cast<size_t>(s.kept() * s.hidden)),
        gates_width(PanelWidth(gates) + kPanelAlignment),
        inputs_width(PanelWidth(inputs) + kPanelAlignment),
        hidden_width(PanelWidth(hidden) + kPanelAlignment) {}
};

// Hands out parts of scratch; with no memory it only counts.
class Layout {
 public:
  explicit Layout(float* base) : base_(base) {}
  float* Take(size_t count) {
    float* taken = base_ == nullptr ? nullptr : base_ + floats_;
    floats_ += PanelWidth(count);
    return taken;
  }
  size_t floats() const { return floats_; }

 private:
  float* base_;
  size_t floats_ = 0;
};

// Row `row` of `width` numbers of a tensor.
template <typename T>
T* At(T* data, int64_t row, size_t width) {
  return data + static_cast<size_t>(row) * width;
}

class Forward {
 public:
  Forward(const RecurrentSizes& s, const RecurrentForward& x, Layout& layout)
      : s_(s), e_(s), x_(x) {
    w_ = layout.Take(PanelFloats(e_.inputs, e_.gates));
    r_ = layout.Take(PanelFloats(e_.hidden, e_.gates));
    input_ = layout.Take(e_.batch * e_.gates_width);
    recurrent_ = layout.Take(s.cell == Cell::kGru ? e_.batch * e_.gates_width : 0);
    inputs_ = layout.Take(e_.batch * e_.inputs_width);
    states_ = layout.Take(e_.batch * e_.hidden_width);
    bias_ = layout.Take(2 * e_.gates);
    kept_ = layout.Take(e_.batch * e_.kept);
    zeros_ = layout.Take(e_.hidden);
  }

  void Run() {
    std::fill_n(zeros_, e_.hidden, 0.0f);
    for (int64_t d = 0; d < s_.directions; ++d) {
      PackTransposedPanels(At(x_.w, d, e_.gates * e_.inputs), e_.inputs, e_.inputs, e_.gates, w_);
      PackTransposedPanels(At(x_.r, d, e_.gates * e_.hidden), e_.hidden, e_.hidden, e_.gates, r_);
      SetBias(d);
      for (int64_t n = 0; n < s_.steps; ++n) Step(d, n);
      KeepStates(d);
    }
  }

 private:
  // An LSTM's two biases meet in one sum, a GRU's do not.
  void SetBias(int64_t d) {
    if (x_.b == nullptr) {
      std::fill_n(bias_, 2 * e_.gates, 0.0f);
      return;
    }
    std::copy_n(At(x_.b, d, 2 * e_.gates), 2 * e_.gates, bias_);
    if (s_.cell == Cell::kLstm) {
      ApplyVectorOp(VectorOp::kAdd, 0, bias_, bias_ + e_.gates, bias_, e_.gates);
    }
  }

  float* KeptRow(int64_t t, int64_t d, int64_t b) {
    return x_.kept == nullptr ? At(kept_, b, e_.kept) : At(x_.kept, s_.OutputRow(t, d, b), e_.kept);
  }

  // The rows of all samples side by side: those of a batch-major tensor lie so far apart that they
  // would push each other out of the first-level cache.
  void CopyRows(const float* from, int64_t zeroth, int64_t first, size_t count, float* to,
                size_t width) const {
    for (int64_t b = 0; b < s_.batch; ++b) {
      std::copy_n(At(from, zeroth + b * (first - zeroth), count), count, At(to, b, width));
    }
  }

  void Step(int64_t d, int64_t n) {
    const int64_t t = s_.Step(d, n);
    const int64_t before = n > 0 ? s_.Step(d, n - 1) : 0;
    const bool gru = s_.cell == Cell::kGru;
    CopyRows(x_.x, s_.InputRow(t, 0), s_.InputRow(t, 1), e_.inputs, inputs_, e_.inputs_width);
    const PanelProduct of_input{.a = inputs_,
                                .a_row = e_.inputs_width,
                                .b = w_,
                                .c = input_,
                                .c_row = e_.gates_width,
                                .m = e_.batch,
                                .n = e_.gates,
                                .k = e_.inputs,
                                .packed = true};
    PanelProduct of_state = of_input;
    of_state.a = states_;
    of_state.a_row = e_.hidden_width;
    of_state.b = r_;
    of_state.k = e_.hidden;
    of_state.c = gru ? recurrent_ : input_;
    const bool has_state = n > 0 || x_.h0 != nullptr;
    if (n > 0) {
      CopyRows(x_.y, s_.OutputRow(before, d, 0), s_.OutputRow(before, d, 1), e_.hidden, states_,
               e_.hidden_width);
    } else if (has_state) {
      CopyRows(x_.h0, s_.StateRow(d, 0), s_.StateRow(d, 1), e_.hidden, states_, e_.hidden_width);
    }
    if (has_state && !gru) {
      MultiplyBoth(of_input, of_state);
    } else {
      Multiply(of_input);
      if (has_state) Multiply(of_state);
      if (gru && !has_state) std::fill_n(recurrent_, e_.batch * e_.gates_width, 0.0f);
    }
    for (int64_t b = 0; b < s_.batch; ++b) {
      GateRow row;
      row.hidden = e_.hidden;
      row.input = At(input_, b, e_.gates_width);
      row.recurrent = gru ? At(recurrent_, b, e_.gates_width) : nullptr;
      row.bias = bias_;
      row.bias_h = bias_ + e_.gates;
      row.old_h = OldState(x_.y, x_.h0, before, d, b, n, e_.hidden, 0);
      row.old_c = gru ? nullptr
                      : (n > 0 ? KeptRow(before, d, b) + 4 * e_.hidden
                               : OldState(nullptr, x_.c0, 0, d, b, 0, 0, 0));
      row.kept = KeptRow(t, d, b);
      row.h = At(x_.y, s_.OutputRow(t, d, b), e_.hidden);
      gru ? GruGates(row) : LstmGates(row);
    }
  }

  const float* OldState(const float* rows, const float* initial, int64_t before, int64_t d,
                        int64_t b, int64_t n, size_t width, size_t offset) const {
    if (n > 0) return At(rows, s_.OutputRow(before, d, b), width) + offset;
    return initial == nullptr ? zeros_ : At(initial, s_.StateRow(d, b), e_.hidden);
  }

  void KeepStates(int64_t d) {
    const int64_t last = s_.steps > 0 ? s_.Step(d, s_.steps - 1) : 0;
    for (int64_t b = 0; b < s_.batch; ++b) {
      const int64_t state = s_.StateRow(d, b);
      const auto copy = [&](float* to, const float* initial, const float* newest) {
        if (to == nullptr) return;
        const float* from =
            s_.steps > 0 ? newest : (initial == nullptr ? zeros_ : At(initial, state, e_.hidden));
        std::copy_n(from, e_.hidden, At(to, state, e_.hidden));
      };
      copy(x_.last_h, x_.h0, At(x_.y, s_.OutputRow(last, d, b), e_.hidden));
      if (s_.cell == Cell::kLstm) copy(x_.last_c, x_.c0, KeptRow(last, d, b) + 4 * e_.hidden);
    }
  }

  const RecurrentSizes& s_;
  Extents e_;
  const RecurrentForward& x_;
  float *w_, *r_, *input_, *recurrent_, *inputs_, *states_, *bias_, *kept_, *zeros_;
};

class Backward {
 public:
  Backward(const RecurrentSizes& s, const RecurrentBackward& x, Layout& layout)
      : s_(s),
        e_(s),
        x_(x),
        chunk_steps_(std::max<size_t>(1, kChunkRows / std::max<size_t>(1, e_.batch))) {
    const size_t rows = chunk_steps_ * e_.batch;
    w_ = layout.Take(PanelFloats(e_.gates, e_.inputs));
    r_ = layout.Take(PanelFloats(e_.gates, e_.hidden));
    d_input_ = layout.Take(rows * e_.gates_width);
    d_recurrent_ = s.cell == Cell::kGru ? layout.Take(rows * e_.gates_width) : d_input_;
    inputs_ = layout.Take(rows * e_.inputs_width);
    states_ = layout.Take(rows * e_.hidden_width);
    dh_ = layout.Take(e_.batch * e_.hidden_width);
    dc_ = layout.Take(e_.batch * e_.hidden_width);
    zeros_ = layout.Take(e_.hidden);
  }

  void Run() {
    std::fill_n(zeros_, e_.hidden, 0.0f);
    const auto directions = static_cast<size_t>(s_.directions);
    std::fill_n(x_.dw, directions * e_.gates * e_.inputs, 0.0f);
    std::fill_n(x_.dr, directions * e_.gates * e_.hidden, 0.0f);
    std::fill_n(x_.db, directions * 2 * e_.gates, 0.0f);
    for (int64_t d = 0; d < s_.directions; ++d) {
      PackPanels(At(x_.w, d, e_.gates * e_.inputs), e_.inputs, e_.gates, e_.inputs, w_);
      PackPanels(At(x_.r, d, e_.gates * e_.hidden), e_.hidden, e_.gates, e_.hidden, r_);
      LoadStates(d);
      size_t filled = 0;
      for (int64_t n = s_.steps; n-- > 0;) {
        Step(d, n, filled * e_.batch);
        if (++filled < chunk_steps_ && n > 0) continue;
        AddChunk(d, filled * e_.batch);
        filled = 0;
      }
      StoreStates(d);
    }
  }

 private:
  void LoadStates(int64_t d) {
    for (int64_t b = 0; b < s_.batch; ++b) {
      const int64_t state = s_.StateRow(d, b);
      const auto load = [&](const float* from, float* to) {
        std::copy_n(from == nullptr ? zeros_ : At(from, state, e_.hidden), e_.hidden,
                    At(to, b, e_.hidden_width));
      };
      load(x_.d_last_h, dh_);
      load(x_.d_last_c, dc_);
    }
  }

  void StoreStates(int64_t d) {
    for (int64_t b = 0; b < s_.batch; ++b) {
      const int64_t state = s_.StateRow(d, b);
      std::copy_n(At(dh_, b, e_.hidden_width), e_.hidden, At(x_.dh0, state, e_.hidden));
      if (x_.dc0 == nullptr) continue;
      std::copy_n(At(dc_, b, e_.hidden_width), e_.hidden, At(x_.dc0, state, e_.hidden));
    }
  }

  // The gradients of one step, as rows [first, first + batch) of the chunk.
  void Step(int64_t d, int64_t n, size_t first) {
    const int64_t t = s_.Step(d, n);
    const int64_t before = n > 0 ? s_.Step(d, n - 1) : 0;
    const bool gru = s_.cell == Cell::kGru;
    for (int64_t b = 0; b < s_.batch; ++b) {
      const auto at = static_cast<int64_t>(first) + b;
      const int64_t out = s_.OutputRow(t, d, b);
      const int64_t old = s_.OutputRow(before, d, b);
      const int64_t state = s_.StateRow(d, b);
      const auto initial = [&](const float* from) {
        return from == nullptr ? zeros_ : At(from, state, e_.hidden);
      };
      GateGradientRow row;
      row.hidden = e_.hidden;
      row.kept = At(x_.kept, out, e_.kept);
      row.old_h = n > 0 ? At(x_.y, old, e_.hidden) : initial(x_.h0);
      if (!gru) row.old_c = n > 0 ? At(x_.kept, old, e_.kept) + 4 * e_.hidden : initial(x_.c0);
      row.dy = x_.dy == nullptr ? nullptr : At(x_.dy, out, e_.hidden);
      row.dh = At(dh_, b, e_.hidden_width);
      row.dc = At(dc_, b, e_.hidden_width);
      row.d_input = At(d_input_, at, e_.gates_width);
      row.d_recurrent = At(d_recurrent_, at, e_.gates_width);
      gru ? GruGateGradients(row) : LstmGateGradients(row);
      std::copy_n(At(x_.x, s_.InputRow(t, b), e_.inputs), e_.inputs,
                  At(inputs_, at, e_.inputs_width));
      std::copy_n(row.old_h, e_.hidden, At(states_, at, e_.hidden_width));
    }
    const auto rows = static_cast<int64_t>(first);
    Multiply({.a = At(d_recurrent_, rows, e_.gates_width),
              .a_row = e_.gates_width,
              .b = r_,
              .c = dh_,
              .c_row = e_.hidden_width,
              .m = e_.batch,
              .n = e_.hidden,
              .k = e_.gates,
              .continues = gru,
              .packed = true});
    if (x_.dx == nullptr) return;
    const int64_t input = s_.InputRow(t, 0);
    Multiply({.a = At(d_input_, rows, e_.gates_width),
              .a_row = e_.gates_width,
              .b = w_,
              .c = At(x_.dx, input, e_.inputs),
              .c_row = static_cast<size_t>(s_.InputRow(t, 1) - input) * e_.inputs,
              .m = e_.batch,
              .n = e_.inputs,
              .k = e_.gates,
              .continues = d > 0,
              .packed = true});
  }

  // Adds to the gradients of weights and biases.
  void AddChunk(int64_t d, size_t rows) {
    Multiply({.a = d_input_,
              .a_row = 1,
              .a_column = e_.gates_width,
              .b = inputs_,
              .b_row = e_.inputs_width,
              .c = At(x_.dw, d, e_.gates * e_.inputs),
              .c_row = e_.inputs,
              .m = e_.gates,
              .n = e_.inputs,
              .k = rows,
              .continues = true});
    Multiply({.a = d_recurrent_,
              .a_row = 1,
              .a_column = e_.gates_width,
              .b = states_,
              .b_row = e_.hidden_width,
              .c = At(x_.dr, d, e_.gates * e_.hidden),
              .c_row = e_.hidden,
              .m = e_.gates,
              .n = e_.hidden,
              .k = rows,
              .continues = true});
    float* bias = At(x_.db, d, 2 * e_.gates);
    for (size_t i = 0; i < rows; ++i) {
      ApplyVectorOp(VectorOp::kAdd, 0, bias, d_input_ + i * e_.gates_width, bias, e_.gates);
      ApplyVectorOp(VectorOp::kAdd, 0, bias + e_.gates, d_recurrent_ + i * e_.gates_width,
                    bias + e_.gates, e_.gates);
    }
  }

  const RecurrentSizes& s_;
  Extents e_;
  const RecurrentBackward& x_;
  size_t chunk_steps_;
  float *w_, *r_, *d_input_, *d_recurrent_, *inputs_, *states_, *dh_, *dc_, *zeros_;
};

}  // namespace

size_t RecurrentScratchFloats(const RecurrentSizes& sizes) {
  Layout layout(nullptr);
  const RecurrentForward none{};
  const Forward forward(sizes, none, layout);
  return layout.floats();
}

void RunRecurrent(const RecurrentSizes& sizes, const RecurrentForward& operands, float* scratch) {
  Layout layout(scratch);
  Forward(sizes, operands, layout).Run();
}

size_t RecurrentGradientScratchFloats(const RecurrentSizes& sizes) {
  Layout layout(nullptr);
  const RecurrentBackward none{};
  const Backward backward(sizes, none, layout);
  return layout.floats();
}

void RunRecurrentGradient(const RecurrentSizes& sizes, const RecurrentBackward& operands,
                          float* scratch) {
  Layout layout(scratch);
  Backward(sizes, operands, layout).Run();
}

}  // namespace ingot::cpu
