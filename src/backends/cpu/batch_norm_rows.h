// Loops of batch normalisation over f32 [rows, channels]. Sums are f64 and run down the rows, so
// that their bits do not depend on the instruction set.
#pragma once

#include <cstddef>

namespace ingot::cpu {

struct ChannelRows {
  size_t rows = 0;
  size_t channels = 0;
};

// Adds to sum[c] the elements of x and to squares[c] their squares.
void AddMoments(const ChannelRows& size, const float* x, double* sum, double* squares);
// Adds to sum[c] the elements of dy and to centred[c] those of dy * (x - mean[c]).
void AddGradientMoments(const ChannelRows& size, const float* x, const double* mean,
                        const float* dy, double* sum, double* centred);
// y = (x - mean[c]) * factor[c] + bias[c], in f32; y may be x.
void NormalizeChannels(const ChannelRows& size, const float* x, const float* mean,
                       const float* factor, const float* bias, float* y);
// y = first[c] + x * second[c], in f64, where a large mean makes the two nearly cancel; y may be x.
void AffineChannels(const ChannelRows& size, const float* x, const double* first,
                    const double* second, float* y);
// dx = dy * factor[c] + (first[c] + x * second[c]), likewise; dx may be dy or x.
void JoinChannelGradients(const ChannelRows& size, const float* dy, const double* factor,
                          const float* x, const double* first, const double* second, float* dx);

}  // namespace ingot::cpu
