// How fast this machine multiplies matrices with the CPU backend's own product: what the rate of a
// training step is compared with.
#pragma once

namespace ingot::cpu {

// GFLOP/s of f32 products, a multiply-add counted as two, all `threads` (1 or more) together, each
// with matrices of its own. The best of a few repetitions of a few shapes: other load on the
// machine makes a measurement slower and never faster. Takes some tens of milliseconds of each
// thread.
double MeasureGemmPeak(int threads);

}  // namespace ingot::cpu
