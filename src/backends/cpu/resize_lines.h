// Resizing one axis of f32: every output element is a weighted sum of input elements.
//
// Each element is computed by itself, its taps in order, so that the bits depend neither on the
// instruction set nor on who computes which part.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace ingot::cpu {

// The taps of output n: source[begin[n]], ... with their weights, up to begin[n + 1].
struct ResizeTaps {
  std::vector<uint32_t> begin, source;
  std::vector<float> weight;

  size_t outputs() const { return begin.size() - 1; }
};

// y [outputs, inner] of x [extent, inner]: outputs [from, to). `outside` where there is no tap.
void ResizeLine(const ResizeTaps& taps, size_t from, size_t to, size_t inner, const float* x,
                float outside, float* y);

}  // namespace ingot::cpu
