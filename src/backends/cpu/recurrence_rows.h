// The gates of recurrent cells, a row (one sample, one step) at a time, and their gradients, for
// every instruction set. Formulas, and what is kept: ingot/ops/recurrence.h.
#pragma once

#include <cstddef>

namespace ingot::cpu {

struct GateRow {
  size_t hidden = 0;
  float* input = nullptr;         // W x (LSTM: + R h), [gates * hidden]
  float* recurrent = nullptr;     // GRU: R h
  const float* bias = nullptr;    // of `input`
  const float* bias_h = nullptr;  // GRU: of `recurrent`
  const float* old_h = nullptr;
  const float* old_c = nullptr;  // LSTM; may be `kept` + 4 * hidden
  float* kept = nullptr;
  float* h = nullptr;
};
void LstmGates(const GateRow& row);
void GruGates(const GateRow& row);  // linear_before_reset

struct GateGradientRow {
  size_t hidden = 0;
  const float* kept = nullptr;
  const float* old_h = nullptr;  // GRU
  const float* old_c = nullptr;  // LSTM
  const float* dy = nullptr;     // what comes from above, or null
  float* dh = nullptr;           // in: of the new state; out, GRU: what goes past the gates
  float* dc = nullptr;           // LSTM: of the new state -> of the old one
  float* d_input = nullptr;      // out, [gates * hidden]
  float* d_recurrent = nullptr;  // out, GRU
};
void LstmGateGradients(const GateGradientRow& row);
void GruGateGradients(const GateGradientRow& row);

}  // namespace ingot::cpu
