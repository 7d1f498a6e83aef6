// Checks of class labels.
#include "ingot/ops/labels.h"

#include <string>

#include "ingot/base/error.h"

namespace ingot::ops {

namespace {

bool MayEqual(const ir::Dimension& a, const ir::Dimension& b) {
  return !a.is_static() || !b.is_static() || a.value() == b.value();
}

}  // namespace

void CheckLabels(const ir::InferContext& context, size_t scores, size_t labels,
                 bool may_be_distributions) {
  const ir::Type& x = context.input(scores);
  const ir::Type& y = context.input(labels);
  const bool are_distributions = may_be_distributions && y.dtype() == x.dtype();
  const std::string expected = std::string("expected scores [N, C] and labels: integers [N]") +
                               (may_be_distributions ? " or floats [N, C]" : "");
  const auto fail = [&](const std::string& hint) {
    throw Error(
        ErrorCode::kInvalidInput,
        "the scores are " + x.ToString() + " and the labels " + y.ToString() + ", " + expected,
        hint);
  };
  if (!IsInteger(y.dtype()) && !are_distributions) {
    fail(IsFloat(y.dtype()) ? "cast the labels to i64, or one-hot encode them" : "");
  }
  if (x.has_rank() && x.rank() != 2) fail("flatten the scores to one row for each sample");
  const int rank = are_distributions ? 2 : 1;
  if (y.has_rank() && y.rank() != rank) fail("");
  if (!x.has_rank() || !y.has_rank()) return;
  if (!MayEqual(x.dim(0), y.dim(0))) fail("");
  if (are_distributions && !MayEqual(x.dim(1), y.dim(1))) fail("");
}

std::vector<int64_t> ReadLabels(const TensorView& labels, int64_t classes) {
  std::vector<int64_t> values(static_cast<size_t>(labels.size()));
  ConvertElements(labels.data, labels.dtype, values.data(), DType::kI64, labels.size());
  for (size_t n = 0; n < values.size(); ++n) {
    if (values[n] >= 0 && values[n] < classes) continue;
    throw Error(ErrorCode::kInvalidInput,
                "label " + std::to_string(values[n]) + " of sample " + std::to_string(n) +
                    " of the batch is outside the " + std::to_string(classes) + " classes",
                "labels count from 0 to " + std::to_string(classes - 1));
  }
  return values;
}

}  // namespace ingot::ops
