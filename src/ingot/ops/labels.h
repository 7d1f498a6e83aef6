// Class labels of samples, as losses and metrics take them: integers [N], or a distribution over
// the classes for each sample, float [N, C].
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "ingot/ir/op.h"

namespace ingot::ops {

// Checks that input `scores` is [N, C] and input `labels` holds N integers (or, where that is
// allowed, a distribution [N, C] of the scores' type). Throws Error(kInvalidInput) naming both
// types.
void CheckLabels(const ir::InferContext& context, size_t scores, size_t labels,
                 bool may_be_distributions);

// Integer labels; throws Error(kInvalidInput) naming the sample unless all are in [0, classes).
std::vector<int64_t> ReadLabels(const TensorView& labels, int64_t classes);

}  // namespace ingot::ops
