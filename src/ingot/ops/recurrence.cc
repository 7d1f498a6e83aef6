// Sizes of the recurrent ops.
#include "ingot/ops/recurrence.h"

#include <string>

#include "ingot/base/error.h"
#include "ingot/ir/op.h"

namespace ingot::ops {

Cell CellNamed(const std::string& name) {
  if (name == "LSTM") return Cell::kLstm;
  if (name == "GRU") return Cell::kGru;
  if (name == "RNN") return Cell::kRnn;
  throw Error(ErrorCode::kInvalidInput, "attribute 'cell' is '" + name + "'",
              "expected one of: LSTM, GRU, RNN");
}

RecurrentSizes SizesOfRecurrence(Cell cell, const ir::Node& node, const Shape& x, const Shape& w,
                                 const Shape& r) {
  RecurrentSizes sizes;
  sizes.cell = cell;
  sizes.batch_first = node.GetInt("layout") != 0;
  sizes.linear_before_reset = node.GetInt("linear_before_reset", 0) != 0;
  const std::string& direction = node.GetString("direction");
  if (direction != "forward" && direction != "reverse" && direction != "bidirectional") {
    throw Error(ErrorCode::kInvalidInput, "attribute 'direction' is '" + direction + "'",
                "expected one of: forward, reverse, bidirectional");
  }
  sizes.directions = direction == "bidirectional" ? 2 : 1;
  sizes.first_reversed = direction == "reverse";
  const std::string shapes =
      "X " + x.ToString() + ", W " + w.ToString() + ", R " + r.ToString() + ", " + direction;
  if (x.rank() != 3 || w.rank() != 3 || r.rank() != 3) {
    throw Error(ErrorCode::kInvalidInput, shapes + ": expected three tensors of rank 3");
  }
  sizes.steps = x[sizes.batch_first ? 1 : 0];
  sizes.batch = x[sizes.batch_first ? 0 : 1];
  sizes.inputs = x[2];
  sizes.hidden = r[2];
  const int64_t rows = sizes.gates() * sizes.hidden;
  if (w != Shape{sizes.directions, rows, sizes.inputs} ||
      r != Shape{sizes.directions, rows, sizes.hidden}) {
    throw Error(ErrorCode::kInvalidInput,
                shapes + " do not fit: expected W " +
                    Shape{sizes.directions, rows, sizes.inputs}.ToString() + " and R " +
                    Shape{sizes.directions, rows, sizes.hidden}.ToString());
  }
  if (node.HasAttribute("hidden_size") && node.GetInt("hidden_size") != sizes.hidden) {
    throw Error(ErrorCode::kInvalidInput, "attribute 'hidden_size' is " +
                                              std::to_string(node.GetInt("hidden_size")) +
                                              ", but R is " + r.ToString());
  }
  return sizes;
}

}  // namespace ingot::ops
