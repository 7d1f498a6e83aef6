// What attention does to rows of scores, compiled for every instruction set.
//
// Rows have PanelWidth(columns) floats; what is behind `columns` is overwritten.
#pragma once

#include <cstddef>

namespace ingot::cpu {

// A row of scores that have just been computed from the products q . k.
struct ScoreRow {
  float* score = nullptr;  // in: q . k; out: the score, -infinity behind `visible`
  float* slope = nullptr;  // out, where softcap > 0: derivative of the score
  size_t columns = 0;
  size_t visible = 0;  // of the columns, those that a causal row may look at
  float scale = 1;
  float softcap = 0;
};
void FinishScores(const ScoreRow& row);

// Softmax over blocks of a row that come one after another: largest score, sum and the accumulated
// output so far.
struct OnlineSoftmax {
  float highest;
  float sum;
};
// p = e^(score - highest) in place; `output` (of PanelWidth(size) floats) is scaled to the new
// highest score.
void AddToSoftmax(float* score, size_t columns, OnlineSoftmax& state, float* output, size_t size);

// score -> p = e^(score - log_sum); dp -> ds = p (dp - delta) slope scale; slope may be null.
void ScoreGradients(float* score, float* dp, const float* slope, size_t columns, float log_sum,
                    float delta, float scale);

// The sum of a[i] * b[i] for i < count.
float Dot(const float* a, const float* b, size_t count);
// to[i] = from[i] * factor.
void Scale(const float* from, float factor, size_t count, float* to);

}  // namespace ingot::cpu
