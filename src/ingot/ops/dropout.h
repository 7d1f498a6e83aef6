// Which values dropout keeps: shared by the reference and the kernels of the backends.
//
// Value j of sample s is kept where word j of the stream RandomKey(seed, "dropout", layer's stream,
// step).Fold(s) is at least DropoutThreshold(ratio): a pure function of the job, the layer, the
// step and the sample, whoever computes it and however the batch is cut.
#pragma once

#include <cmath>
#include <cstdint>

#include "ingot/tensor/philox.h"

namespace ingot::ops {

// The key of one sample. `random_key` holds seed, step and the batch index of row 0; `row` counts
// from there.
inline RandomKey DropoutKey(const int64_t* random_key, int64_t stream, int64_t row) {
  return RandomKey(static_cast<uint64_t>(random_key[0]), "dropout", static_cast<uint64_t>(stream),
                   static_cast<uint64_t>(random_key[1]))
      .Fold(static_cast<uint64_t>(random_key[2] + row));
}

// ratio in [0, 1).
inline uint32_t DropoutThreshold(double ratio) {
  return static_cast<uint32_t>(std::floor(ratio * 0x1p32));
}

}  // namespace ingot::ops
