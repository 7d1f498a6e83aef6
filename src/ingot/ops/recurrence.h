// What the recurrent ops (LSTM, GRU, RNN) and their gradient are given, worked out from a node:
// shared by shape rules, references and the kernels of backends.
//
// With a[t] = W x[t] + R h[t-1] + Wb + Rb, gates stacked as ONNX stacks them:
//   LSTM: i, o, f = sigmoid, g = tanh;  c' = f c + i g;  h' = o tanh(c').
//   GRU:  z, r = sigmoid;  n = tanh(Wn x + Wbn + q) with q = r * (Rn h + Rbn) where
//         linear_before_reset, else Rn (r * h) + Rbn;  h' = (1 - z) n + z h.
//   RNN:  h' = tanh(a).
// For the gradient the forward pass keeps, for each step: LSTM i, o, f, g, c' (5 H numbers); GRU
// z, r, n and Rn h + Rbn (linear_before_reset) or r * h (4 H numbers); RNN nothing beside Y.
#pragma once

#include <cstdint>

#include "ingot/ir/graph.h"
#include "ingot/tensor/shape.h"

namespace ingot::ops {

enum class Cell { kLstm, kGru, kRnn };

// Throws Error(kInvalidInput) for a name other than LSTM, GRU and RNN.
Cell CellNamed(const std::string& name);

// Layout 0: X [T, B, C], Y [T, D, B, H], states [D, B, H]; layout 1 (batch first): X [B, T, C],
// Y [B, T, D, H], states [B, D, H]. W [D, G H, C], R [D, G H, H], biases [D, 2 G H].
struct RecurrentSizes {
  Cell cell = Cell::kLstm;
  int64_t steps = 0, batch = 0, inputs = 0, hidden = 0;
  int64_t directions = 1;
  bool first_reversed = false;  // direction 0 goes from the last step to the first
  bool batch_first = false;
  bool linear_before_reset = false;

  int64_t gates() const { return cell == Cell::kLstm ? 4 : cell == Cell::kGru ? 3 : 1; }
  int64_t kept() const { return cell == Cell::kLstm ? 5 : cell == Cell::kGru ? 4 : 0; }
  bool reversed(int64_t direction) const { return first_reversed || direction == 1; }
  // The step that a direction takes as its n-th.
  int64_t Step(int64_t direction, int64_t n) const {
    return reversed(direction) ? steps - 1 - n : n;
  }
  // Numbers of the row of X (of `width` numbers), of Y and Kept, and of a state.
  int64_t InputRow(int64_t t, int64_t b) const {
    return batch_first ? b * steps + t : t * batch + b;
  }
  int64_t OutputRow(int64_t t, int64_t d, int64_t b) const {
    return batch_first ? (b * steps + t) * directions + d : (t * directions + d) * batch + b;
  }
  int64_t StateRow(int64_t d, int64_t b) const {
    return batch_first ? b * directions + d : d * batch + b;
  }
};

// Throws Error(kInvalidInput) where the shapes do not fit the attributes or one another.
RecurrentSizes SizesOfRecurrence(Cell cell, const ir::Node& node, const Shape& x, const Shape& w,
                                 const Shape& r);

}  // namespace ingot::ops
