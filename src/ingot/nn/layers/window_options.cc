// Reading extents and padding.
#include "ingot/nn/layers/window_options.h"

#include <algorithm>

#include "ingot/base/error.h"

namespace ingot::nn {

namespace {

bool IsWord(const ConfigNode& node, const char* word) {
  return node.is_scalar() && node.scalar() == word;
}

}  // namespace

std::vector<int64_t> SpatialExtents(const std::string& what, const ir::Value* x) {
  const ir::Type& type = x->type();
  if (type.rank() < 3 || type.rank() > 5) {
    throw Error(ErrorCode::kInvalidInput,
                what +
                    " takes pictures [batch, channels, height, width] (or one or three axes "
                    "behind the channels), got " +
                    ir::ToString(type.dims()),
                "reshape them first");
  }
  std::vector<int64_t> extents;
  for (int i = 1; i < type.rank(); ++i) {
    if (!type.dim(i).is_static()) {
      throw Error(ErrorCode::kInvalidInput,
                  what + " needs to know all extents of " + type.ToString());
    }
    if (i > 1) extents.push_back(type.dim(i).value());
  }
  return extents;
}

void CheckPerAxis(const ConfigNode& node, int64_t least) {
  CheckPerAxis<int64_t>(node, AtLeast(static_cast<double>(least)));
}

std::vector<int64_t> PerAxis(const ConfigNode& node, size_t axes) {
  std::vector<int64_t> numbers = Numbers<int64_t>(node);
  if (!node.is_list()) numbers.resize(axes, numbers[0]);
  if (numbers.size() != axes) {
    node.Fail("expected a number for each of the " + std::to_string(axes) + " axes, got " +
              node.Describe());
  }
  return numbers;
}

void CheckPadding(const ConfigNode& node) {
  if (IsWord(node, "same") || IsWord(node, "valid")) return;
  if (node.is_scalar() && !node.scalar().empty() &&
      (node.scalar()[0] < '0' || node.scalar()[0] > '9') && node.scalar()[0] != '-') {
    node.Fail("expected same, valid or numbers, got " + node.Describe());
  }
  for (const int64_t number : Numbers<int64_t>(node)) {
    CheckLimits(node, static_cast<double>(number), AtLeast(0));
  }
}

std::vector<int64_t> Pads(const ConfigNode& node, const std::vector<int64_t>& input,
                          const std::vector<int64_t>& kernel, const std::vector<int64_t>& stride,
                          const std::vector<int64_t>& dilation) {
  const size_t axes = input.size();
  std::vector<int64_t> pads(2 * axes, 0);
  if (IsWord(node, "valid")) return pads;
  if (IsWord(node, "same")) {
    for (size_t i = 0; i < axes; ++i) {
      const int64_t span = (kernel[i] - 1) * dilation[i] + 1;
      const int64_t output = (input[i] + stride[i] - 1) / stride[i];
      const int64_t total = std::max<int64_t>((output - 1) * stride[i] + span - input[i], 0);
      pads[i] = total / 2;
      pads[axes + i] = total - total / 2;
    }
    return pads;
  }
  const std::vector<int64_t> numbers = Numbers<int64_t>(node);
  for (size_t i = 0; i < axes; ++i) {
    if (!node.is_list()) {
      pads[i] = pads[axes + i] = numbers[0];
    } else if (numbers.size() == axes) {
      pads[i] = pads[axes + i] = numbers[i];
    } else if (numbers.size() == 2 * axes) {
      pads[i] = numbers[2 * i];
      pads[axes + i] = numbers[2 * i + 1];
    } else {
      node.Fail("expected " + std::to_string(axes) + " or " + std::to_string(2 * axes) +
                " numbers, got " + node.Describe());
    }
  }
  return pads;
}

std::string Times(const ConfigNode& node) {
  std::string text;
  for (const int64_t number : Numbers<int64_t>(node)) {
    text += (text.empty() ? "" : "x") + std::to_string(number);
  }
  return text;
}

}  // namespace ingot::nn
