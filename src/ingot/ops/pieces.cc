// Pieces of tensors along an axis.
#include "ingot/ops/pieces.h"

#include <cstring>
#include <string>

#include "ingot/base/error.h"
#include "ingot/ops/broadcast.h"

namespace ingot::ops {

Tensor PartOf(const Tensor& tensor, int axis, int64_t begin, int64_t extent) {
  std::vector<int64_t> dims = tensor.shape().dims();
  INGOT_ASSERT(begin >= 0 && extent >= 0 && begin + extent <= dims.at(static_cast<size_t>(axis)),
               "a part outside of its tensor");
  const std::vector<int64_t> strides = Strides(dims);
  dims[static_cast<size_t>(axis)] = extent;
  Tensor part(tensor.dtype(), Shape(dims));
  if (part.size() > 0) {
    GatherStrided(tensor.raw(), begin * strides[static_cast<size_t>(axis)], strides, dims,
                  part.raw(), ItemSize(tensor.dtype()));
  }
  part.KeepTexts({&tensor, 1});
  return part;
}

Tensor SliceOf(const Tensor& tensor, int axis, int64_t index) {
  std::vector<int64_t> dims = tensor.shape().dims();
  dims.erase(dims.begin() + axis);
  return PartOf(tensor, axis, index, 1).Reshape(Shape(dims));
}

Tensor Concatenated(std::span<const Tensor> parts, int64_t axis) {
  if (parts.empty()) throw Error(ErrorCode::kInvalidInput, "there is nothing to concatenate");
  std::vector<int64_t> dims = parts[0].shape().dims();
  const auto along = static_cast<size_t>(NormalizeAxis(axis, static_cast<int>(dims.size())));
  dims[along] = 0;
  for (const Tensor& part : parts) {
    std::vector<int64_t> own = part.shape().dims();
    if (own.size() == dims.size()) std::swap(own[along], dims[along]);
    // Now `own` has the sum so far and `dims` the extent of this part, so that the rest compares.
    const bool fits = part.dtype() == parts[0].dtype() && own.size() == dims.size();
    bool same = fits;
    for (size_t i = 0; same && i < dims.size(); ++i) same = i == along || own[i] == dims[i];
    if (!same) {
      throw Error(ErrorCode::kInvalidInput, "cannot join " + parts[0].Describe() + " and " +
                                                part.Describe() + " along axis " +
                                                std::to_string(along));
    }
    dims[along] += own[along];
  }
  Tensor whole(parts[0].dtype(), Shape(dims));
  const std::vector<int64_t> strides = Strides(dims);
  int64_t begin = 0;
  for (const Tensor& part : parts) {
    if (part.size() > 0) {
      ScatterStrided(part.raw(), part.shape().dims(), whole.raw(), begin * strides[along], strides,
                     ItemSize(part.dtype()));
    }
    whole.KeepTexts({&part, 1});
    begin += part.shape()[static_cast<int>(along)];
  }
  return whole;
}

Tensor Stacked(std::span<const Tensor> parts, int64_t axis) {
  if (parts.empty()) throw Error(ErrorCode::kInvalidInput, "there is nothing to stack");
  const int rank = parts[0].shape().rank() + 1;
  const int along = NormalizeAxis(axis, rank);
  std::vector<Tensor> thick;
  for (const Tensor& part : parts) {
    std::vector<int64_t> dims = part.shape().dims();
    dims.insert(dims.begin() + std::min<int64_t>(along, part.shape().rank()), 1);
    thick.push_back(part.Reshape(Shape(dims)));
  }
  return Concatenated(thick, along);
}

ir::Type CommonType(const ir::Type& a, const ir::Type& b) {
  using Kind = ir::Type::Kind;
  if (a.kind() == Kind::kUnknown) return b;
  if (b.kind() == Kind::kUnknown) return a;
  // An optional that surely holds something is what it holds.
  if (a.kind() == Kind::kOptional && b.kind() != Kind::kOptional) {
    return ir::Type::Optional(CommonType(a.element(), b));
  }
  if (b.kind() == Kind::kOptional && a.kind() != Kind::kOptional) return CommonType(b, a);
  if (a.kind() != b.kind() || a.dtype() != b.dtype()) {
    throw Error(ErrorCode::kInvalidInput,
                "a value cannot be both " + a.ToString() + " and " + b.ToString());
  }
  if (a.kind() == Kind::kSequence) return ir::Type::Sequence(CommonType(a.element(), b.element()));
  if (a.kind() == Kind::kOptional) return ir::Type::Optional(CommonType(a.element(), b.element()));
  if (!a.has_rank() || !b.has_rank() || a.rank() != b.rank()) {
    return ir::Type::TensorOfUnknownRank(a.dtype());
  }
  ir::Dimensions dims;
  for (int i = 0; i < a.rank(); ++i) {
    dims.push_back(a.dim(i).SurelyEquals(b.dim(i)) ? a.dim(i) : ir::Dimension());
  }
  return ir::Type::Tensor(a.dtype(), std::move(dims));
}

}  // namespace ingot::ops
